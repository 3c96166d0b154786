"""Session time from time stamps, however odd these are.

Session time starts at 0 with the first frame, is never missing and never decreases.  Time
stamps do all of it: begin below 0 or at 1000, are absent, step back where a recording was
spliced, jump by a day where a counter wrapped.  Where the stamps come from is not known here.
"""

from __future__ import annotations

import math

from longtake.streaming.report import SourceReport

MAX_JUMP_S = 3600.0  # a longer silence than this is taken for a broken counter
MAX_REORDER_S = 1.0  # a longer step back than this is a new beginning, not a shuffled frame


class SessionClock:
    """Straighten one stream's time stamps; what was straightened is counted in `report`.

    Args:
        report: its `times_made_up` and `times_repaired` are raised here.
        origin_s: the stamp of session time 0, where reading does not begin at the first frame.
    """

    def __init__(self, report: SourceReport, origin_s: float | None = None) -> None:
        self._report = report
        self._origin_s = origin_s
        self._last_s: float | None = None
        self.has_jumped = False  # the stamps' own length says nothing any more

    def session_s(self, stamp_s: float | None, step_s: float) -> float:
        """The session time of the next frame.

        Args:
            stamp_s: its time stamp in seconds, None where it has none; one that is not finite
                counts as none.
            step_s: how long a frame is shown, for where a stamp is no help.

        Returns:
            Not before that of the last frame, and not more than `MAX_JUMP_S` after it.
        """
        step_s = min(max(step_s, 0.0), MAX_JUMP_S)
        expected_s = 0.0 if self._last_s is None else self._last_s + step_s
        if stamp_s is None or not math.isfinite(stamp_s):
            self._report.times_made_up += 1
            self._last_s = expected_s
            return expected_s
        if self._origin_s is None:
            self._origin_s = stamp_s - expected_s
        time_s = stamp_s - self._origin_s
        last_s = 0.0 if self._last_s is None else self._last_s
        too_far = self._last_s is not None and time_s - last_s > MAX_JUMP_S
        if time_s < last_s or too_far:
            self._report.times_repaired += 1
            if too_far or last_s - time_s > MAX_REORDER_S:
                self._origin_s = stamp_s - expected_s
                self.has_jumped = True
                time_s = expected_s
            else:
                time_s = last_s
        self._last_s = time_s
        return time_s
