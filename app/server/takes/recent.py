"""What was computed a moment ago, given again: once computed, however many ask at the same time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Recent(Generic[T]):
    """Any thread may call; one computes, and the others wait for it.

    Args:
        fresh_s: for so long a value is given again.
        most: values that are held, of different keys; the oldest give way.
    """

    def __init__(
        self, fresh_s: float, most: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._fresh_s, self._most, self._clock = fresh_s, most, clock
        self._lock = threading.Lock()
        self._held: dict[Hashable, tuple[float, T]] = {}
        self._clears = 0

    def get(self, key: Hashable, compute: Callable[[], T]) -> T:
        """The value of this key.  Raises what `compute` raises."""
        with self._lock:
            held = self._held.get(key)
            if held is not None and self._clock() - held[0] < self._fresh_s:
                return held[1]
            clears, value = self._clears, compute()
            if clears == self._clears:
                self._held.pop(key, None)
                while len(self._held) >= self._most:
                    del self._held[next(iter(self._held))]
                self._held[key] = self._clock(), value
            return value

    def clear(self) -> None:
        """What is held is not given any more, nor what is being computed now."""
        self._clears += 1
        self._held = {}
