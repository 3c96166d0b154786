"""Session time of a take, now: by the clock where frames come as they happen, else by the frames.

It runs with the clock while cameras are watched, and from the first frame that is pushed without a
time until the take closes, or until a file takes over.  Then it goes on behind what was seen.  Who
pushes or watches is not known here.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

from longtake.inbox import LATE_S, Inbox
from longtake.live_watch import LiveWatch
from longtake.seeing import Seeing
from longtake.session import Session

MOST_AHEAD_S = 1.0  # of this time, where it runs with the clock
QUIET_S = 5.0  # without a frame that is pushed as it is taken, before a file may take over


class SessionTime:
    """Of one take; any thread may call.

    Args:
        clock: monotonic seconds.
    """

    def __init__(
        self,
        session: Session,
        inbox: Inbox,
        seeing: Seeing,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._session, self._inbox, self._seeing, self._clock = session, inbox, seeing, clock
        self._lock = threading.Lock()
        self._origin = (0.0, 0.0)  # monotonic seconds, and the session time of that moment
        self._pushed_s: float | None = None  # when one came without a time; None: none does
        self._least_s = 0.0  # where it stood when it last ceased to run

    @property
    def runs(self) -> bool:
        """With the clock."""
        return self._pushed_s is not None or any(
            isinstance(watch, LiveWatch) for watch in self._seeing.watches
        )

    @property
    def now_s(self) -> float:
        """Of this moment where it runs, else of the newest frame."""
        if self.runs:
            return self.session_s(self._clock())
        return max(self._least_s, self.newest_received_s)

    @property
    def ahead_s(self) -> float:
        """Beyond this no frame may lie."""
        return self.now_s + MOST_AHEAD_S if self.runs else math.inf

    @property
    def newest_read_s(self) -> float:
        """Of the newest frame that was read of a source, or seen; -inf before the first."""
        read = [w.newest_s for w in self._seeing.watches if w.newest_s is not None]
        seen = [] if self._session.seen_s is None else [self._session.seen_s]
        return max((*read, *seen), default=float("-inf"))

    @property
    def newest_received_s(self) -> float:
        """Of the newest frame that has come, seen or not; -inf before the first."""
        return max(self._inbox.newest_push_s, self.newest_read_s)

    @property
    def next_offset_s(self) -> float:
        """Where the next source begins: a step behind what was seen."""
        least_s = self._least_s if self._pushed_s is None else self.now_s
        return max(least_s, self.newest_received_s + 1 / self._session.pace.fps)

    def session_s(self, monotonic_s: float) -> float:
        """When something happened; for all that runs with the clock."""
        begun_s, offset_s = self._origin
        return max(offset_s, offset_s + monotonic_s - begun_s)

    # ---------------------------------------------------------------- who lets it run

    def run_for_camera(self) -> None:
        """A camera is about to be watched: its time is that which runs, or begins here and now."""
        with self._lock:
            if not self.runs:
                self._begin(self._clock())

    def run_for_push(self, age_s: float) -> float:
        """Session time of a frame that was taken so long ago, and is pushed now."""
        with self._lock:
            now_s = self._clock()
            if not self.runs:
                self._begin(now_s - min(age_s, LATE_S))
            self._pushed_s = now_s
            return self.session_s(now_s - age_s)

    def check_quiet(self, address: str) -> None:
        """Raises RuntimeError while frames are pushed beside which no file can be read."""
        if self._pushed_s is not None and self._clock() - self._pushed_s < QUIET_S:
            raise RuntimeError(
                f"{address}: frames are being pushed as they are taken, and a file has a time of "
                f"its own: end that {QUIET_S:g} s before, or open another take for the file"
            )

    def make_way(self, address: str) -> None:
        """From now on a file tells the time.  Raises as `check_quiet`."""
        with self._lock:
            self.check_quiet(address)
            self._stop()

    def stop(self) -> None:
        """Nothing is pushed any more."""
        with self._lock:
            self._stop()

    def _stop(self) -> None:
        if self._pushed_s is not None:
            self._least_s, self._pushed_s = self.now_s, None

    def _begin(self, monotonic_s: float) -> None:
        self._origin = (monotonic_s, self.next_offset_s)
