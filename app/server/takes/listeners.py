"""Whoever wants to be told: callbacks that come and go, from any thread.

What is told, and to whom, is not known here.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from longtake.streaming.errors import redact
from longtake.wording import one_line

T = TypeVar("T")

_log = logging.getLogger(__name__)


class Listeners(Generic[T]):
    """Callbacks must not wait; one that raises is logged, and the others are called as well."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listening: dict[int, Callable[[T], object]] = {}
        self._next = 0

    def add(self, listener: Callable[[T], object]) -> Callable[[], None]:
        """Call it from now on, until what is returned is called."""
        with self._lock:
            number, self._next = self._next, self._next + 1
            self._listening[number] = listener

        def leave() -> None:
            with self._lock:
                self._listening.pop(number, None)

        return leave

    def tell(self, what: T) -> None:
        """Call all of them, in the order in which they came."""
        with self._lock:
            listening = list(self._listening.values())
        for listener in listening:
            try:
                listener(what)
            except Exception as error:
                _log.error("a listener failed: %s", redact(one_line(error)))

    def __len__(self) -> int:
        return len(self._listening)
