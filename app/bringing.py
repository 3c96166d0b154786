"""Chosen chunks become the context of a layer: ``[sink | recalled | window]``.

Where all layers' chunks are known beforehand they are read ahead of the decoder, otherwise one
layer's together.  Which chunks are chosen is not known here.

L layers, G key heads, T tokens, D head dimension.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from longtake.memory.layout import Segment
from longtake.windows import Patience, Window

if TYPE_CHECKING:
    from longtake.session import Session


class Bringing:
    """The contexts of one question's layers, in their order.

    Args:
        patience: how long may be waited for all of them.
        window: chunks of the newest part of the stream, which need not be read.
        with_window: whether they stand in every context.
        fixed: ``[L, G, T, D]`` each, in place of all this: nothing comes back.
        by_layer: chunk numbers of all layers in time order, where they are known already.
    """

    def __init__(
        self,
        session: Session,
        patience: Patience,
        window: Window,
        *,
        with_window: bool,
        fixed: Sequence[Segment] | None = None,
        by_layer: Sequence[Sequence[int]] | None = None,
    ) -> None:
        self._session, self._fixed = session, fixed
        self._live = {number: segment for number, segment in window if segment is not None}
        self._wanted_live = len(window) if with_window else 0
        self._in_context = [s for _, s in window if s is not None] if with_window else []
        self._wanted = self._arrived = 0
        self.chosen: list[Sequence[int]] = []  # chunk numbers of the layers laid out so far
        ahead = None
        if by_layer is not None:
            ahead = [[] if fixed is not None else self._away(numbers) for numbers in by_layer]
        self._fetch = session.fetch(ahead, patience_s=patience.left_s, is_over=patience.is_over)

    @property
    def coverage(self) -> float:
        """Chunks that arrived / chunks selected, over the layers so far."""
        return self._arrived / self._wanted if self._wanted else 1.0

    def layer(self, layer: int, numbers: Sequence[int]) -> list[Segment]:
        """A layer's context, ``[G, T, D]`` each, on the device; valid until the next call.

        A chunk that cannot be read, or does not come in time, is left out, told by `coverage`.

        Args:
            numbers: in time order; those of `by_layer` where that was given.
        """
        self.chosen.append(numbers)
        if self._fixed is not None:
            return [segment.layer(layer) for segment in self._fixed]
        away = self._away(numbers)
        came = dict(zip(away, self._fetch.layer(layer, away), strict=True))
        device, segments = self._session.adapter.device, [self._session.window.sink.layer(layer)]
        for number in numbers:
            if number in self._live:
                segments.append(self._live[number].layer(layer))
            elif (found := came[number]) is not None:
                keys, values, positions = found
                segments.append(Segment(keys.to(device), values.to(device), positions))
        segments += [s.layer(layer) for s in self._in_context]
        self._wanted += len(numbers) + self._wanted_live
        self._arrived += len(segments) - 1
        return segments

    def close(self) -> None:
        """Drop what was not read yet."""
        self._fetch.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _away(self, numbers: Sequence[int]) -> list[int]:
        """Those that are to be read."""
        return [number for number in numbers if number not in self._live]
