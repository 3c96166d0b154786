"""How long to wait before the next attempt: doubling, jittered, never above a cap.

The jitter only shortens a wait, so that the cap is a promise; it keeps many cameras behind one
switch from coming back in the same instant.
"""

from __future__ import annotations

import random

FACTOR = 2.0
JITTER = 0.5  # a wait is between this share of its length and all of it


class Backoff:
    """The waits between attempts in a row.

    Args:
        first_s: the first wait, before jitter.
        cap_s: no wait is longer.
        random_share: gives 0 to 1; where the jitter comes from.
    """

    def __init__(
        self, first_s: float, cap_s: float, random_share: random.Random | None = None
    ) -> None:
        self._first_s = min(first_s, cap_s)
        self._cap_s = cap_s
        self._random = random_share or random.Random()
        self._wait_s = self._first_s

    def next_s(self) -> float:
        """The next wait in seconds, at most the cap; the one after it is longer."""
        wait_s = self._wait_s
        self._wait_s = min(wait_s * FACTOR, self._cap_s)
        return wait_s * (1 - JITTER * self._random.random())

    def reset(self) -> None:
        """Begin with the first wait again: it was up for a while."""
        self._wait_s = self._first_s
