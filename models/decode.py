"""Choose the next token, and know when an answer ends.

Greedy by default, and with a temperature so low that nothing but the likeliest token is left; with
a higher one, from the smallest set of tokens that holds ``top_p`` of
the probability (nucleus sampling, arXiv 1904.09751), by a seeded generator.  A repetition penalty
(CTRL, arXiv 1909.05858) makes tokens that came before less likely.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

GREEDY = 1e-3  # a temperature: here a logit that is 0.01 less is 22,000 times less likely


@dataclass(frozen=True, kw_only=True, slots=True)
class Decoding:
    """How an answer is spoken."""

    max_tokens: int = 128
    temperature: float = 0.0  # below `GREEDY`: greedy
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise ValueError(f"max_tokens={self.max_tokens}: an answer needs at least one")
        if not (math.isfinite(self.temperature) and self.temperature >= 0):
            raise ValueError(f"temperature={self.temperature}: must be 0 (greedy) or more, finite")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p={self.top_p}: must be above 0 and at most 1")
        if not (math.isfinite(self.repetition_penalty) and self.repetition_penalty > 0):
            raise ValueError(f"repetition_penalty={self.repetition_penalty}: must be above 0")
        if not 0 <= self.seed < 1 << 63:
            raise ValueError(f"seed={self.seed}: must be 0 or more, below 2^63")


class Chooser:
    """Next tokens of one answer; the same seed gives the same ones.

    Args:
        before: ids that came before, for the repetition penalty.
    """

    def __init__(self, decoding: Decoding, before: Iterable[int] = ()) -> None:
        self._decoding = decoding
        self._generator = torch.Generator().manual_seed(decoding.seed)
        self._before = set(before) if decoding.repetition_penalty != 1 else set()

    def choose(self, logits: Tensor) -> int:
        """Logits ``[V]`` -> token id."""
        if self._before:
            logits = self._penalised(logits)
        token = self._chosen(logits)
        if self._decoding.repetition_penalty != 1:
            self._before.add(token)
        return token

    def _chosen(self, logits: Tensor) -> int:
        if self._decoding.temperature < GREEDY:
            return int(logits.argmax())
        scores = logits.float().cpu() / self._decoding.temperature
        shares, order = scores.softmax(-1).sort(descending=True)
        is_tail = shares.cumsum(-1) - shares >= self._decoding.top_p
        is_tail[0] = False  # the likeliest stays, however small `top_p` is in float32
        shares = shares.masked_fill(is_tail, 0.0)
        return int(order[torch.multinomial(shares, 1, generator=self._generator)])

    def _penalised(self, logits: Tensor) -> Tensor:
        """Divided where positive, multiplied where negative."""
        penalty, ids = self._decoding.repetition_penalty, sorted(self._before)
        logits = logits.clone()
        said = logits[ids]
        logits[ids] = torch.where(said > 0, said / penalty, said * penalty)
        return logits
