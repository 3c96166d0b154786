"""ReKV's window (arXiv 2503.00540): a band of ``n_local`` tokens, and a sink that never recedes.

    a query at place i sees key j    at distance i - j         where i - j < n_local
                       sink token j  at distance n_local - 1   where it has left that band

Chunks still leave whole, once no later query can see their last token: the window holds up to a
step more than ``n_local``, and the mask hides what is too old.  1-D positions.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import torch
from torch import Tensor

from longtake.kernels.clamped import attend_clamped
from longtake.memory.chunk import Chunk
from longtake.memory.layout import Rotary
from longtake.memory.window import Window, WindowShape


class ClampedWindow(Window):
    """See `Window`; ``shape.window_tokens`` is ``n_local``."""

    def __init__(
        self, shape: WindowShape, sink: Tensor, rotary: Rotary, dtype: torch.dtype, device: object
    ) -> None:
        self._n_local = shape.window_tokens
        held = self._n_local + shape.step_tokens
        super().__init__(
            replace(shape, window_tokens=held, window_s=float("inf")), sink, rotary, dtype, device
        )
        self._is_whole = True  # nothing has left yet
        self._far: tuple[Tensor, Tensor] | None = None
        self._near: Tensor | None = None
        self._band: Tensor | None = None

    def begin(self, positions: Tensor) -> None:
        super().begin(positions)
        if not self.has_sink:
            return
        tokens, sink, device = positions.shape[1], self._sink_tokens, self._keys.device
        # Places count from the sink's first token while nothing has left; later only those
        # behind the sink matter, and the sink is out of every query's band.
        queries = sink + self.tokens + torch.arange(tokens, device=device)[:, None]
        keys = torch.arange(sink + self.tokens + tokens, device=device)
        age = queries - keys
        self._band = (age >= 0) & (age < self._n_local)
        self._near = self._band[:, :sink] & self._is_whole
        self._band[:, :sink] = True
        self._far = self._rotary.table(torch.full((1, tokens), self._n_local - 1))

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        if self._sink is None or self._band is None or self._near is None or self._far is None:
            return super().attend(layer, query, key, value, scale)
        turned, past = self._take(layer, query, key, value)
        return attend_clamped(
            turned,
            self._rotary.rotate(query, self._far),
            self._sink.keys[layer : layer + 1],
            self._rotated[layer : layer + 1, :, past],
            self._values[layer : layer + 1, :, past],
            scale,
            self._band,
            self._near,
        )

    def _step_mask(self, tokens: int, keys: int) -> Tensor | None:
        return None if self.has_sink else super()._step_mask(tokens, keys)

    def restore(self, chunks: Iterable[Chunk]) -> None:
        found = list(chunks)
        self._is_whole = not found or found[0].info.number == 0
        super().restore(found)

    def _evict(self) -> list[Chunk]:
        gone = super()._evict()
        self._is_whole = self._is_whole and not gone
        return gone
