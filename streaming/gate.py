"""Hand things out until somebody closes; closing waits for what is on its way, within limits.

No lock is held while something is handed out, so whoever takes it may do what it likes, closing
included.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Gate:
    """One thread passes through, any thread closes; once closed it stays so."""

    def __init__(self) -> None:
        self.closed = threading.Event()  # for those who wait for something else meanwhile
        self._changed = threading.Condition()
        self._passing: int | None = None  # the thread that is inside
        self._is_shut = False  # also for a last word

    @contextmanager
    def passing(self, is_last: bool = False) -> Iterator[bool]:
        """Whether the gate is open; if it is, `close` waits until the block is left.

        Args:
            is_last: a last word passes though `closed` is set, until `close` is called.
        """
        with self._changed:
            is_open = not (self._is_shut if is_last else self.closed.is_set())
            if is_open:
                self._passing = threading.get_ident()
        try:
            yield is_open
        finally:
            with self._changed:
                self._passing = None
                self._changed.notify_all()

    def close(self, wait_s: float) -> bool:
        """Let nothing pass any more; whether nothing is on its way when it returns."""
        with self._changed:
            self.closed.set()
            self._is_shut = True
            own = threading.get_ident()
            return self._changed.wait_for(lambda: self._passing in (None, own), wait_s)
