"""What is known of a camera, between the thread that watches it and everybody who asks.

The capture thread writes; any thread reads, and what it reads fits together.  Nothing is opened,
decoded or handed out here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from longtake.streaming.addresses import Address
from longtake.streaming.capture_stats import CaptureStats, Outage, State, Tally
from longtake.streaming.errors import SourceError
from longtake.streaming.live_clock import LiveClock
from longtake.streaming.pacing import Pace

SILENT_FRAMES = 5  # stalled: nothing for as long as so many frames take
SILENT_S = 1.0  # and for at least so long


class Progress:
    """State, times and counts of one camera.

    Args:
        address, camera: which one.
        stall_s: when the connection is given up; the state says so in half of that.
        clock: monotonic seconds.
        session_s: monotonic seconds -> session seconds.
    """

    def __init__(
        self,
        address: Address,
        camera: str,
        stall_s: float,
        clock: Callable[[], float],
        session_s: Callable[[float], float],
    ) -> None:
        self.error: SourceError | None = None  # the last one
        self.newest_s: float | None = None  # session time of the newest frame
        self.arrived_s: float | None = None  # monotonic: the newest frame
        self.connected_s = 0.0  # monotonic: when the connection was made
        self.is_fresh = False  # the connection gave a frame
        self.late_s = 0.0  # how long before its arrival the newest frame was shown
        self.bad_packets = 0  # of the connection
        self._address = address
        self._camera = camera
        self._stall_s = stall_s
        self._clock = clock
        self._session_s = session_s
        self._lock = threading.Lock()
        self._times = LiveClock()
        self._tally = Tally()
        self._pace: Pace | None = None
        self._options: Mapping[str, str] = {}
        self._state = State.CONNECTING

    # --- by the capture thread

    def connect(self, options: Mapping[str, str], has_stamps: bool, pace: Pace | None) -> None:
        """A connection was made: rate and time stamps begin anew."""
        with self._lock:
            self.connected_s = self._clock()
            self.is_fresh = False
            self._options, self._pace = options, pace
            self._times.restart(has_stamps)
            self._tally.connect(self.connected_s)

    def arrive(
        self, size: tuple[int, int], is_corrupt: bool, stamp_s: float | None, arrived_s: float
    ) -> tuple[float, Outage | None]:
        """A frame came: its session time, and the outage that it ends."""
        silent_s, now_s = self.silent_s(), self._session_s(arrived_s)
        with self._lock:
            before_s, is_first = self.newest_s, not self.is_fresh
            pts_s = self._times.session_s(stamp_s, now_s)
            self._tally.saw(size, is_corrupt, arrived_s)
            self.arrived_s, self.newest_s, self.is_fresh = arrived_s, pts_s, True
            self.late_s = self._times.late_s
            if not self._state.is_final:
                self._state = State.LIVE
            if before_s is None or not (is_first or pts_s - before_s > silent_s):
                return pts_s, None
            self._tally.reconnects += is_first
            self._tally.outages += 1
        silence = f"no frame for {pts_s - before_s:.1f} s"
        return pts_s, Outage(before_s, pts_s, str(self.error) if is_first else silence)

    def count(self, reason: str | None) -> None:
        """What became of the frame: kept, or dropped for a reason."""
        with self._lock:
            self._tally.count(reason)

    def disconnect(self, bad_packets: int) -> None:
        """The connection is over."""
        with self._lock:
            self._tally.bad_packets_before += bad_packets
            self.bad_packets = 0

    def lose(self, failure: SourceError) -> None:
        """It will be tried again."""
        with self._lock:
            self.error, self.is_fresh = failure, False
            if not self._state.is_final:
                is_first = self.arrived_s is None
                self._state = State.CONNECTING if is_first else State.RECONNECTING

    def end(self, failure: SourceError | None = None) -> None:
        """It is over: failed, or ended where there is no failure; the first word counts."""
        with self._lock:
            if self._state.is_final:
                return
            self._state = State.ENDED
            if failure is not None:
                self.error, self._state = failure, State.FAILED

    # --- by anybody

    @property
    def state(self) -> State:
        with self._lock:
            return self._seen_state(self._clock())

    @property
    def now_s(self) -> float:
        """Session time; no frame that has come is shown later."""
        now_s, newest_s = self._session_s(self._clock()), self.newest_s
        return now_s if newest_s is None else max(now_s, newest_s)

    def open_outage(self) -> Outage | None:
        """The outage that is on now; None where frames come, or never did."""
        with self._lock:
            clock_s = self._clock()
            now_s, start_s = self._session_s(clock_s), self.newest_s
            if start_s is None or now_s <= start_s:
                return None
            if self.is_fresh and self._seen_state(clock_s) is not State.STALLED:
                return None
            self._tally.outages += 1
            silence = f"no frame for {now_s - start_s:.1f} s"
            return Outage(start_s, now_s, silence if self.is_fresh else str(self.error))

    def silent_s(self) -> float:
        """How long a silence is more than the distance between two frames."""
        step_s = self._tally.step_s()
        usual_s = min(max(SILENT_S, SILENT_FRAMES * step_s), max(self._stall_s / 2, 2 * step_s))
        return max(usual_s, 1.5 * self._tally.usual_pause_s())

    def stats(self) -> CaptureStats:
        """What is known now; never waits for FFmpeg."""
        with self._lock:
            now_s, tally = self._clock(), self._tally
            lag_s = 0.0
            if self.arrived_s is not None:
                lag_s = max(0.0, now_s - self.arrived_s) + self.late_s
            return CaptureStats(
                address=self._address.shown,
                camera=self._camera,
                state=self._seen_state(now_s).value,
                error="" if self.error is None else str(self.error),
                size=tally.size,
                fps=tally.fps(now_s),
                seen=tally.seen,
                kept=tally.kept,
                dropped=dict(tally.dropped),
                bad_packets=tally.bad_packets_before + self.bad_packets,
                corrupt=tally.corrupt,
                reconnects=tally.reconnects,
                outages=tally.outages,
                jumps=self._times.jumps,
                lag_s=lag_s,
                clock="made up" if self._pace and self._pace.is_made_up else self._times.kind,
                options=dict(self._options),
            )

    def _seen_state(self, now_s: float) -> State:
        if self._state is State.LIVE and self.arrived_s is not None:
            return State.STALLED if now_s - self.arrived_s > self.silent_s() else State.LIVE
        return self._state
