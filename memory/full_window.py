"""A window that nothing leaves: its buffers grow, by doubling, up to ``window_tokens``."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from longtake.memory.chunk import Chunk
from longtake.memory.window import Window, WindowShape

_FIRST_STEPS = 16


class FullWindow(Window):
    """See `Window`; a step that does not fit any more is refused, and nothing is evicted."""

    def begin(self, positions: Tensor) -> None:
        tokens = self.tokens + positions.shape[1]
        if self.has_sink and tokens > self.shape.window_tokens:
            raise ValueError(
                f"{tokens} tokens of video: everything is to stay in the context, and "
                f"{self.shape.window_tokens} is what the model can be given. Lower --fps or "
                "--max-pixels, see less of it (--to), or let --mode recall forget and recall"
            )
        super().begin(positions)

    def _first_slots(self, shape: WindowShape) -> int:
        return min(self._most_slots, self._sink_tokens + _FIRST_STEPS * shape.step_tokens)

    @property
    def _most_slots(self) -> int:
        return self._sink_tokens + self.shape.window_tokens + self.shape.step_tokens

    def restore(self, chunks: Iterable[Chunk]) -> None:
        found = list(chunks)
        self._make_room(sum(chunk.tokens for chunk in found))
        super().restore(found)

    def _make_room(self, tokens: int) -> None:
        """All buffers or none: there may not be enough memory for the last one."""
        needed = self._high + tokens
        if needed <= self._keys.shape[2]:
            return
        slots = max(min(self._most_slots, 2 * self._keys.shape[2]), needed)
        self._keys, self._values, self._rotated = [
            self._larger(held, slots) for held in (self._keys, self._values, self._rotated)
        ]

    def _larger(self, held: Tensor, slots: int) -> Tensor:
        layers, heads, _, dim = held.shape
        with torch.inference_mode(False):  # written to inside and outside of that mode
            larger = held.new_zeros((layers, heads, slots, dim))
        larger[:, :, : self._high] = held[:, :, : self._high]
        return larger

    def _evict(self) -> list[Chunk]:
        return []
