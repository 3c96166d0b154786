"""Events on their way to whoever is to be told, on one thread of their own.

Receivers may raise: that is logged and counted, and the next event comes.  They may block: then
events wait, `CAPACITY` at most, and the oldest is let go, counted.  Nobody who judges or sees
waits for them.  What the receivers do is not known here.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from longtake.alerts.event import AlertEvent
from longtake.streaming.errors import redact

CAPACITY = 64  # events that may wait

Receiver = Callable[[AlertEvent], object]
_log = logging.getLogger(__name__)


class Dispatch:
    """One alert's.  All methods may be called from any thread, also from a receiver.

    Every event that is put ends as exactly one of `delivered`, `failed` and `dropped`.  The
    thread begins with the first event and ends when told to.
    """

    def __init__(self, name: str, receivers: Sequence[Receiver], capacity: int = CAPACITY) -> None:
        self._name, self._receivers, self._capacity = name, tuple(receivers), capacity
        self._lock = threading.Lock()  # entered as itself: Ctrl-C cannot leave it held
        self._changed = threading.Condition(self._lock)
        self._waiting: deque[AlertEvent] = deque()
        self._is_busy = self._is_over = False
        self._thread: threading.Thread | None = None
        self.delivered = 0  # every receiver took it
        self.failed = 0  # one of them raised
        self.dropped = 0  # let go before anybody had it

    def put(self, event: AlertEvent) -> None:
        """Tell all receivers, in their order; returns at once."""
        if not self._receivers:
            return
        with self._lock:
            if self._is_over:
                self.dropped += 1
                return
            if len(self._waiting) >= self._capacity:
                self._waiting.popleft()
                self.dropped += 1
            self._waiting.append(event)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._work, name=f"longtake-alert-{self._name}", daemon=True
                )
                self._thread.start()
            self._changed.notify_all()

    def forget(self, start_s: float, end_s: float) -> None:
        """Events that tell of a span and still wait are let go."""
        with self._lock:
            kept = [event for event in self._waiting if not event.touches(start_s, end_s)]
            self.dropped += len(self._waiting) - len(kept)
            self._waiting = deque(kept)
            self._changed.notify_all()

    def finish(self) -> None:
        """No more will come: the thread ends behind what waits."""
        with self._lock:
            self._is_over = True
            self._changed.notify_all()

    def drop_all(self) -> None:
        """Nothing more is told; what a receiver has already is its own."""
        with self._lock:
            self._is_over = True
            self.dropped += len(self._waiting)
            self._waiting.clear()
            self._changed.notify_all()

    @property
    def is_idle(self) -> bool:
        """Nothing waits, and no receiver is at work."""
        with self._lock:
            return not self._waiting and not self._is_busy

    def drain(self, until_s: float) -> bool:
        """Wait until everything is told; False where that was not so in time.

        A receiver that calls this, by closing its take, is not waited for.

        Args:
            until_s: on the monotonic clock.
        """
        if threading.current_thread() is self._thread:
            return False
        with self._lock:
            return self._changed.wait_for(
                lambda: not self._waiting and not self._is_busy,
                max(0.0, until_s - time.monotonic()),
            )

    def _work(self) -> None:
        while (event := self._next()) is not None:
            took = [self._tell(receiver, event) for receiver in self._receivers]
            with self._lock:
                self._is_busy = False
                self.delivered += all(took)
                self.failed += not all(took)
                self._changed.notify_all()

    def _next(self) -> AlertEvent | None:
        with self._lock:
            self._changed.wait_for(lambda: self._waiting or self._is_over)
            if not self._waiting:
                return None
            self._is_busy = True
            return self._waiting.popleft()

    def _tell(self, receiver: Receiver, event: AlertEvent) -> bool:
        try:
            receiver(event)
        except BaseException as error:  # whatever it is, it must not end the thread
            named = getattr(receiver, "__name__", type(receiver).__name__)
            said = redact(f"{type(error).__name__}: {error}")
            _log.warning(
                "alert %s: %s failed on event %d: %s", self._name, named, event.number, said
            )
            return False
        return True
