"""Frames of cameras whose sources are gone: numbers that are told go on where they ended."""

from __future__ import annotations

from collections.abc import Iterable

from longtake.server.takes.source_state import SourceState

MOST_CAMERAS = 64  # beyond them the one that went first is forgotten


class Counts:
    """Of one take; whoever has it keeps threads apart."""

    def __init__(self) -> None:
        self._gone: dict[str, tuple[int, int]] = {}  # camera -> came, dropped

    def add(self, state: SourceState) -> None:
        """A source is gone, and this is how it stood."""
        came, dropped = self._gone.pop(state.camera, (0, 0))
        while len(self._gone) >= MOST_CAMERAS:
            del self._gone[next(iter(self._gone))]
        self._gone[state.camera] = came + state.seen, dropped + state.dropped

    def with_more(self, states: Iterable[SourceState]) -> dict[str, tuple[int, int]]:
        """Those that are gone and these: came and dropped, by camera."""
        sums = dict(self._gone)
        for state in states:
            came, dropped = sums.get(state.camera, (0, 0))
            sums[state.camera] = came + state.seen, dropped + state.dropped
        return sums
