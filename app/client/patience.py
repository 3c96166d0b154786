"""When to try a lost connection again, and when it is lost for good.

A server that was started anew may not have its takes yet, so one that is missing is looked for a
while, if it was there before.
"""

from __future__ import annotations

import time

from longtake.server.takes.refusals import Ending, TooMany

FIRST_S, MOST_S = 0.1, 5.0  # from one attempt to the next
GONE_S = 20.0  # so long a take that was there may be missing, before it is gone
HEALS = (ConnectionError, TimeoutError)


class Patience:
    """Of one connection; used by its thread alone."""

    def __init__(self) -> None:
        self._pause_s, self._was_there = 0.0, False
        self._lost_s: float | None = None  # on the monotonic clock

    @property
    def pause_s(self) -> float:
        """To wait before the next attempt."""
        return self._pause_s

    def connected(self) -> None:
        self._pause_s, self._was_there, self._lost_s = 0.0, True, None

    def goes_on(self, error: BaseException) -> bool:
        """Whether another attempt makes sense after this one."""
        now_s = time.monotonic()
        is_first, self._lost_s = self._lost_s is None, self._lost_s or now_s
        self._pause_s = min(MOST_S, max(FIRST_S, 2 * self._pause_s))
        if isinstance(error, HEALS):
            return True
        # Told of a take that is open: it was closed.  Told of one that is looked for: not yet.
        is_back_soon = isinstance(error, LookupError | TooMany | Ending)
        return self._was_there and not is_first and is_back_soon and now_s - self._lost_s < GONE_S
