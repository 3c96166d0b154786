"""Play a recording as if it were a camera: each frame when its time has come.

Frames are held until then and never dropped here; who is too slow for them loses them later, as
with a camera.
"""

from __future__ import annotations

from collections.abc import Callable

from longtake.streaming.clock import SessionClock
from longtake.streaming.report import SourceReport


class Pace:
    """When each frame of one recording is due.

    Args:
        clock: monotonic seconds.
        wait: waits for so many seconds, or until it is all over; True: it is.
    """

    def __init__(self, clock: Callable[[], float], wait: Callable[[float], bool]) -> None:
        self._clock = clock
        self._wait = wait
        self._report = SourceReport()
        self._times = SessionClock(self._report)
        self._began_s: float | None = None
        self._frames = 0

    @property
    def is_made_up(self) -> bool:
        """Whether most frames had no stamp, and the rate told their times."""
        return self._report.times_made_up * 2 > self._frames

    def hold(self, stamp_s: float | None, step_s: float) -> float | None:
        """Wait until a frame is due.

        Args:
            stamp_s, step_s: as for `SessionClock`.

        Returns:
            Its time since the recording's first frame, in seconds; None where it is all over.
        """
        time_s = self._times.session_s(stamp_s, step_s)
        self._frames += 1
        now_s = self._clock()
        if self._began_s is None:
            self._began_s = now_s
        ahead_s = self._began_s + time_s - now_s
        if ahead_s > 0 and self._wait(ahead_s):
            return None
        return time_s
