"""The model about to speak at one moment of a stream: a turn whose prompt has gone through.

What would be said, and how likely other words are, can be asked as often as one likes: each time
the turn goes back to where its prompt ended.

V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from longtake.memory.turn import Turn
from longtake.models.base import Adapter
from longtake.models.decode import Chooser, Decoding
from longtake.turns import put_words


class Voice:
    """Words behind a turn.

    Args:
        turn: with room for a line behind its prompt.
        first_logits: ``[V]`` of a line's first token.
        context_ids: of what was said before, for a repetition penalty.
        moment: number of this moment; sampled lines of different moments draw different numbers.
    """

    def __init__(
        self,
        adapter: Adapter,
        turn: Turn,
        first_logits: Tensor,
        context_ids: Iterable[int] = (),
        moment: int = 0,
    ) -> None:
        self._adapter, self._turn, self._mark = adapter, turn, turn.forwards
        self.first_logits = first_logits
        self._context_ids, self._moment = frozenset(context_ids), moment

    @property
    def stop_ids(self) -> frozenset[int]:
        """Any of these as a line's first token is silence."""
        return self._adapter.stop_ids

    @torch.inference_mode()
    def log_probs(self, ids: Sequence[int]) -> Tensor:
        """Float32 ``[len(ids)]``: how likely these tokens are as the line, each behind the ones
        before it.  Forgotten afterwards."""
        logits = self.first_logits[None]
        if len(ids) > 1:
            try:
                logits = torch.cat([logits, self._adapter.logits(self._forward(ids[:-1]))])
            finally:
                self._turn.rewind(self._mark)
        said = torch.tensor(list(ids), device=logits.device)
        return logits.float().log_softmax(-1).gather(1, said[:, None])[:, 0].cpu()

    @torch.inference_mode()
    def speak(self, decoding: Decoding, never: frozenset[int] = frozenset()) -> list[int]:
        """A line's tokens, without its end.  Forgotten afterwards.

        Args:
            never: tokens that may not come first: with `stop_ids` something is said.
        """
        seed = (decoding.seed + self._moment) % (1 << 63)
        chooser = Chooser(replace(decoding, seed=seed), self._context_ids)
        logits = self.first_logits.clone()
        logits[list(never)] = float("-inf")
        ids: list[int] = []
        if len(never) == len(logits):
            return ids
        try:
            while len(ids) < decoding.max_tokens:
                token = chooser.choose(logits)
                if token in self.stop_ids:
                    break
                ids.append(token)
                if len(ids) < decoding.max_tokens:
                    logits = self._adapter.logits(self._forward([token]))[-1]
        finally:
            self._turn.rewind(self._mark)
        return ids

    def text(self, ids: Sequence[int]) -> str:
        return self._adapter.text(ids)

    def _forward(self, ids: Sequence[int]) -> Tensor:
        return put_words(self._adapter, self._turn, torch.tensor(list(ids)))
