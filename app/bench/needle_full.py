"""Full attention for needles: the unmodified model over the whole stream so far.

Only streams that fit the context the model was trained for are asked this way.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import DynamicCache

from longtake.bench.needle_streams import Needle
from longtake.bench.plain import Plain
from longtake.models.base import Adapter, Image
from longtake.models.decode import Decoding

SPOKEN = Decoding(max_tokens=16)  # twice the longest answer; in every condition


class WholeStream(Plain):
    """The plain twin over one growing cache: questions in rising time, answered greedily."""

    def __init__(self, adapter: Adapter, name: str) -> None:
        super().__init__(adapter, name)
        self._adapter, self._cache, self._seen = adapter, DynamicCache(), 0
        self._steps: list[Tensor] = []

    def fits(self, needle: Needle) -> bool:
        words = len(self._sink) + len(self.prompt(needle.text)) + SPOKEN.max_tokens
        return words + needle.chunks * self._step_tokens <= self._limit

    @torch.inference_mode()
    def begin(self, images: Sequence[Image]) -> None:
        """Encode a stream's frames; the decoder sees them as questions come."""
        self._cache, self._seen, self._steps = DynamicCache(), 0, []
        for batch in torch.split(self.pixels(images), self.batch_frames):
            for step in self._see(batch):
                self._steps.append(self._stamped_step(step, len(self._steps)))
        self._forward(self._embed(self._sink), self._cache)

    @torch.inference_mode()
    def answer(self, needle: Needle) -> str:
        new = self._steps[self._seen : needle.chunks]
        if new:
            self._forward(torch.cat(new), self._cache)
            self._seen = needle.chunks
        before, following = self._cache.get_seq_length(), self.prompt(needle.text)
        ids: list[int] = []
        while len(ids) < SPOKEN.max_tokens:
            hidden = self._forward(self._embed(following), self._cache)
            token = int(self._model.lm_head(hidden[0, -1]).argmax())
            if token in self._adapter.stop_ids:
                break
            ids.append(token)
            following = [token]
        self._cache.crop(before - self._cache.get_seq_length())  # the question goes again
        return self._adapter.text(ids)
