"""What was computed a moment ago, given again: once computed, however many ask at the same time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(slots=True)
class _Turn:
    """To compute one key's value."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    callers: int = 0  # who compute or wait


class Recent(Generic[T]):
    """Any thread may call; of those who ask for one key one computes, and the others wait for it.

    Args:
        fresh_s: for so long a value is given again.
        most: values that are held, of different keys; the oldest give way.
    """

    def __init__(
        self, fresh_s: float, most: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._fresh_s, self._most, self._clock = fresh_s, most, clock
        self._lock = threading.Lock()  # never held while something is computed
        self._held: dict[Hashable, tuple[float, T]] = {}
        self._turns: dict[Hashable, _Turn] = {}
        self._clears = 0

    def get(self, key: Hashable, compute: Callable[[], T]) -> T:
        """The value of this key.  Raises what `compute` raises."""
        with self._turn(key):
            with self._lock:
                held, clears = self._held.get(key), self._clears
                if held is not None and self._clock() - held[0] < self._fresh_s:
                    return held[1]
            value = compute()
            with self._lock:
                if clears == self._clears:
                    self._hold(key, value)
            return value

    def clear(self) -> None:
        """What is held is not given any more, nor what is being computed now."""
        with self._lock:
            self._clears += 1
            self._held.clear()

    @contextmanager
    def _turn(self, key: Hashable) -> Iterator[None]:
        with self._lock:
            turn = self._turns.setdefault(key, _Turn())
            turn.callers += 1
        try:
            with turn.lock:
                yield
        finally:
            with self._lock:
                turn.callers -= 1
                if not turn.callers:
                    del self._turns[key]

    def _hold(self, key: Hashable, value: T) -> None:
        self._held.pop(key, None)
        while len(self._held) >= self._most:
            del self._held[next(iter(self._held))]
        self._held[key] = self._clock(), value
