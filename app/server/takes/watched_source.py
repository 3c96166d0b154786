"""A camera that a take watches, as one of its sources."""

from __future__ import annotations

from typing import TYPE_CHECKING

from longtake.server.own_places import without_places
from longtake.server.takes.lens import Lens, Sight
from longtake.server.takes.source_state import SourceState, shown_address

if TYPE_CHECKING:
    from longtake.live_watch import LiveWatch
    from longtake.take import Take


class WatchedSource:
    """Of one `LiveWatch`; any thread may call."""

    def __init__(self, take: Take, watch: LiveWatch) -> None:
        self.camera, self.kind = watch.camera, watch.kind
        self._take, self._watch = take, watch
        self.lens = Lens(watch.camera, self._look, lambda: take.masks)

    def state(self, id: str) -> SourceState:
        stats = self._watch.stats()
        return SourceState(
            id=id,
            camera=self.camera,
            kind=self.kind,
            address=shown_address(stats.address),
            state=stats.state,
            error=without_places(stats.error),
            fps=stats.fps,
            seen=stats.seen,
            kept=stats.kept,
            dropped=sum(stats.dropped.values()),
            lag_s=stats.lag_s,
            size=stats.size,
        )

    @property
    def runs(self) -> bool:
        """Its time runs with the clock."""
        return not self._watch.is_read

    def halt(self) -> None:
        """Begin to stop; returns at once."""
        self._watch.halt()

    def stop(self, wait_s: float = 1.0) -> None:
        """Watch no further; what came is still seen.  Returns within about ``wait_s``."""
        self._watch.stop(wait_s)

    def forget(self) -> None:
        """What was shown is not shown any more."""
        self.lens.forget()

    def _look(self) -> Sight | None:
        still = self._watch.newest.latest
        if still is None or self._watch.is_read:
            return None
        return Sight(still.number, still.arrived_s, image=still.frame().image)
