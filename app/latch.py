"""A door that opens once.

Ctrl-C comes between any two steps of Python code.  Whoever waits here holds nothing meanwhile, so
that the thread that opens it can never find it held for good; `threading.Event` and `Future` keep
a lock in Python code of their own.
"""

from __future__ import annotations

import threading


class Latch:
    """Any thread waits, one opens."""

    def __init__(self) -> None:
        self._lock, self._is_open = threading.Lock(), False
        self._lock.acquire()

    @property
    def is_open(self) -> bool:
        return self._is_open

    def open(self) -> None:
        """Let all who wait go on; by one thread, which may do so twice."""
        if not self._is_open:
            self._is_open = True
            self._lock.release()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Whether it is open; waits for that as long as it is told, None: for ever."""
        most_s = -1.0 if timeout_s is None else min(max(0.0, timeout_s), threading.TIMEOUT_MAX)
        if self._lock.acquire(timeout=most_s):
            self._lock.release()  # the next one who waits
        return self._is_open
