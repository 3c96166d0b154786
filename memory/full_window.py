"""A window that nothing leaves: its buffers grow, by doubling, up to ``window_tokens``."""

from __future__ import annotations

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

    def _make_room(self, tokens: int) -> None:
        slots = min(self._most_slots, max(2 * self._keys.shape[2], self._high + tokens))
        for name in ("_keys", "_values", "_rotated"):
            held = getattr(self, name)
            layers, heads, _, dim = held.shape
            with torch.inference_mode(False):  # written to inside and outside of that mode
                larger = held.new_zeros((layers, heads, slots, dim))
            larger[:, :, : self._high] = held[:, :, : self._high]
            setattr(self, name, larger)

    def _evict(self) -> list[Chunk]:
        return []
