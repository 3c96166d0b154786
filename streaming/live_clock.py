"""Session time of a live source: its own time stamps, laid onto the time its frames arrive.

A camera's stamps are even but begin anywhere, jump, start again or are missing; arrival is always
there but shakes with the network.  So stamps give the distance between frames and arrival gives
where they lie:

    time = stamp + offset,  offset = the least (arrival - stamp) seen: the frame that was least late

It is never after the frame's arrival and never decreases, over all connections.  What a frame is,
and how connections come and go, is not known here.
"""

from __future__ import annotations

import math

MAX_AHEAD_S = 1.0  # stamps that gain more than this on arrival in one step have jumped
MAX_BACK_S = 1.0  # a longer step back is a new beginning, not a splice
DRIFT_WINDOW_S = 10.0  # how long the least lateness is looked for
DRIFT_SHARE = 0.001  # cameras' clocks are wrong by up to this; more is a real delay and is shown


class LiveClock:
    """Straighten one camera's time stamps against arrival.

    Args:
        has_stamps: False where stamps are made up (MJPEG over HTTP): arrival alone counts.
    """

    def __init__(self, has_stamps: bool = True) -> None:
        self.jumps = 0  # stamps that went back or ahead too far, and began anew
        self.repaired = 0  # small steps back, held
        self.late_s = 0.0  # how long before its arrival the last frame was shown, by its stamp
        self._has_stamps = has_stamps
        self._last_s = -math.inf
        self._forget()

    @property
    def kind(self) -> str:
        """What tells the time: "pts" or "arrival"."""
        return "pts" if self._has_stamps and self._with_stamp >= self._without else "arrival"

    def restart(self, has_stamps: bool) -> None:
        """A new connection: its stamps have nothing to do with those before."""
        self._has_stamps = has_stamps
        self._forget()

    def session_s(self, stamp_s: float | None, arrived_s: float) -> float:
        """The session time of the next frame.

        Args:
            stamp_s: its own time stamp in seconds; None or not finite where it has none.
            arrived_s: session time at which it came out of the decoder, never decreasing.

        Returns:
            At most `arrived_s`, at least that of the frame before.
        """
        time_s = arrived_s
        if self._has_stamps and stamp_s is not None and math.isfinite(stamp_s):
            self._with_stamp += 1
            time_s = self._placed(stamp_s, arrived_s)
        else:
            self._without += 1
        if time_s < self._last_s:
            self.repaired += 1
            time_s = self._last_s
        self._last_s = time_s
        self.late_s = max(0.0, arrived_s - self._last_s)
        return self._last_s

    def _forget(self) -> None:
        self._offset_s: float | None = None
        self._stamp_s = self._arrived_s = 0.0
        self._with_stamp = self._without = 0
        self._window_from_s = 0.0
        self._least_late_s = math.inf

    def _placed(self, stamp_s: float, arrived_s: float) -> float:
        is_new = self._offset_s is None or self._has_jumped(stamp_s, arrived_s)
        self._stamp_s, self._arrived_s = stamp_s, arrived_s
        if is_new or self._offset_s is None:
            self._anchor(stamp_s, arrived_s)
            return arrived_s
        late_s = arrived_s - (stamp_s + self._offset_s)
        if late_s < 0:
            self._anchor(stamp_s, arrived_s)
            return arrived_s
        self._follow_drift(late_s, arrived_s)
        return arrived_s - late_s

    def _has_jumped(self, stamp_s: float, arrived_s: float) -> bool:
        step_s = stamp_s - self._stamp_s
        gained_s = step_s - (arrived_s - self._arrived_s)
        is_ahead = stamp_s + (self._offset_s or 0.0) > arrived_s + MAX_AHEAD_S
        has_jumped = step_s < -MAX_BACK_S or (gained_s > MAX_AHEAD_S and is_ahead)
        self.jumps += has_jumped
        return has_jumped

    def _anchor(self, stamp_s: float, arrived_s: float) -> None:
        self._offset_s = arrived_s - stamp_s
        self._window_from_s, self._least_late_s = arrived_s, math.inf

    def _follow_drift(self, late_s: float, arrived_s: float) -> None:
        """Where even the least late frame of a while is late, the camera's clock may be slow."""
        self._least_late_s = min(self._least_late_s, late_s)
        passed_s = arrived_s - self._window_from_s
        if passed_s >= DRIFT_WINDOW_S and self._offset_s is not None:
            self._offset_s += min(self._least_late_s, DRIFT_SHARE * passed_s)
            self._window_from_s, self._least_late_s = arrived_s, math.inf
