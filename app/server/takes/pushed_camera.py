"""A camera whose frames visitors push: counted as they come, and looked at through a lens.

What becomes of a frame, the take says.  Who may push, and over what, is not known here.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from longtake.server.takes.lens import Lens, Sight
from longtake.server.takes.source_state import SourceState
from longtake.streaming.capture_stats import Tally
from longtake.streaming.encoded import size_of

if TYPE_CHECKING:
    from longtake.inbox import Pushed
    from longtake.take import Take

STALLED_S = 2.0  # without a frame for so long
LEFT_S = 60.0  # one that nobody claimed is no source any more

Clock = Callable[[], float]


class PushedCamera:
    """Of one name in one take; any thread may call.

    Args:
        on_removed: told when somebody takes this source away; None: nobody is there to be told.
    """

    kind = "push"

    def __init__(
        self,
        take: Take,
        camera: str,
        on_removed: Callable[[], object] | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        self.camera, self.is_claimed = camera, on_removed is not None
        self._take, self._on_removed, self._clock = take, on_removed, clock
        self._lock = threading.Lock()
        self._tally = Tally()
        self._tally.connect(clock())
        self._arrived_s, self._since_s, self._age_s = float("-inf"), clock(), 0.0
        self._sight: Sight | None = None
        self._missed = self._count = 0
        self.runs = False  # its frames come as they are taken, without times of their own
        self.lens = Lens(camera, lambda: self._sight, lambda: take.masks)

    def push(
        self,
        data: bytes,
        *,
        age_s: float = 0.0,
        pts_s: float | None = None,
        wall_s: float | None = None,
    ) -> Pushed:
        """Show one JPEG or PNG to the take.  Decodes it where the take wants it.

        Raises:
            ValueError: if it is no picture, or too large; it is not counted.
            RuntimeError: if the take is closed.
        """
        arrived_s = self._clock()
        size = size_of(data)
        pushed = self._take.push(data, pts_s, age_s=age_s, camera=self.camera, wall_s=wall_s)
        with self._lock:
            self._count += 1
            self._tally.saw(size, False, arrived_s)
            self._tally.count(None if pushed.accepted else pushed.reason)
            self._arrived_s, self._age_s, self.runs = arrived_s, age_s, pts_s is None
            self._sight = Sight(self._count, arrived_s - age_s, data, size=size)
        return pushed

    @property
    def has_come(self) -> bool:
        """At least one frame of it was shown to the take."""
        return self._count > 0

    def miss(self) -> None:
        """A frame came and was let go for a newer one before it was shown to the take."""
        with self._lock:
            self._missed += 1

    def state(self, id: str) -> SourceState:
        now_s = self._clock()
        with self._lock:
            tally, silent_s = self._tally, now_s - max(self._arrived_s, self._since_s)
            has_come = self._arrived_s > float("-inf")
            state = "connecting" if not has_come else "live" if silent_s <= STALLED_S else "stalled"
            if silent_s > LEFT_S and not self.is_claimed:
                state = "ended"
            return SourceState(
                id=id,
                camera=self.camera,
                kind=self.kind,
                address="",
                state=state,
                fps=tally.fps(now_s),
                seen=tally.seen + self._missed,
                kept=tally.kept,
                dropped=tally.seen - tally.kept + self._missed,
                lag_s=now_s - self._arrived_s + self._age_s if has_come else 0.0,
                size=tally.size,
            )

    def halt(self) -> None:
        """Nothing to be begun: `stop` does not wait."""

    def stop(self, wait_s: float = 0.0) -> None:
        """Whoever pushes is told to leave."""
        if self._on_removed is not None:
            self._on_removed()

    def forget(self) -> None:
        """What was shown is not shown any more."""
        with self._lock:
            self._sight = None
        self.lens.forget()
