"""One alert as its user holds it: events as they come, how it stands, and its end.

The engine's worker judges and tells; any thread takes events.  Those that nobody takes do not
hold anything up: the newest `CAPACITY` wait here.  Callbacks and actions are told by `dispatch`.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType

from longtake.alerts.alert_config import AlertConfig
from longtake.alerts.dispatch import CAPACITY, Dispatch, Receiver
from longtake.alerts.event import AlertEvent
from longtake.streaming.errors import redact

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AlertStats:
    """Counts of one alert so far."""

    judged: int
    fired: int  # events
    delivered: int  # that every callback and action took
    failed: int  # that one of them raised on
    dropped: int  # that were let go before they were told
    unread: int  # that nobody polled in time; callbacks and actions may have had them
    last_probability: float | None  # of yes; None: not judged yet


class Alert:
    """An iterator over events as they are confirmed.

    It ends when the take's sources have ended (unless it ``stays``), when the take is closed, or
    with `cancel`; events
    that wait here by then can still be taken.  What went wrong while judging is raised behind the
    last one.  All methods may be called from any thread, also from the alert's own callback.
    """

    def __init__(
        self,
        config: AlertConfig,
        name: str,
        receivers: Sequence[Receiver] = (),
        capacity: int = CAPACITY,
    ) -> None:
        self.config, self.name, self._capacity = config, name, capacity
        self._dispatch = Dispatch(name, receivers, capacity)
        self._lock = threading.Lock()  # entered as itself: Ctrl-C cannot leave it held
        self._changed = threading.Condition(self._lock)
        self._events: deque[AlertEvent] = deque()
        self._is_over = self._is_paused = False
        self._error: BaseException | None = None
        self._warning = ""
        self._judged = self._fired = self._unread = self._forgotten = self._resumed = 0
        self._last_probability: float | None = None

    @property
    def condition(self) -> str:
        """What is watched for, as it was given."""
        return self.config.condition

    @property
    def is_over(self) -> bool:
        """Nothing more will be judged."""
        return self._is_over

    @property
    def is_paused(self) -> bool:
        """It is not judged before `resume`."""
        return self._is_paused

    @property
    def warning(self) -> str:
        """Why its judgements may be worth little; empty: nothing speaks against them."""
        return self._warning

    @property
    def error(self) -> BaseException | None:
        """What ended it, if something went wrong."""
        return self._error

    def stats(self) -> AlertStats:
        with self._lock:
            return AlertStats(
                judged=self._judged,
                fired=self._fired,
                delivered=self._dispatch.delivered,
                failed=self._dispatch.failed,
                dropped=self._dispatch.dropped,
                unread=self._unread,
                last_probability=self._last_probability,
            )

    def __iter__(self) -> Iterator[AlertEvent]:
        return self

    def __next__(self) -> AlertEvent:
        event = self.poll(None)
        if event is None:
            raise StopIteration
        return event

    def poll(self, wait_s: float | None = 0.0) -> AlertEvent | None:
        """Take the oldest event.

        Args:
            wait_s: how long to wait for one; None: until there is one, or the alert is over.

        Returns:
            None where there is none in time, or the alert is over and nothing is left.

        Raises what ended the alert, once nothing is left.
        """
        with self._lock:
            self._changed.wait_for(lambda: self._events or self._is_over, wait_s)
            if self._events:
                return self._events.popleft()
            if self._error is not None:
                raise self._error
            return None

    def pause(self) -> None:
        """Judge no more until `resume`.  Events that there are already are told."""
        self._is_paused = True

    def resume(self) -> None:
        """Judge again, from the next chunk on: as many judgements as ``confirm`` says make an
        event, whatever was judged before, and the cooldown counts on.  Nothing where it is not
        paused."""
        with self._lock:
            if self._is_paused:
                self._is_paused, self._resumed = False, self._resumed + 1

    def cancel(self) -> None:
        """Judge no more, and tell nothing that is not being told already.  May be called twice."""
        self._end(None)
        self._dispatch.drop_all()

    def __enter__(self) -> Alert:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.cancel()

    # ---------------------------------------------------------------- the worker's side

    @property
    def forgotten(self) -> int:
        """How often something was forgotten: what was judged before is no ground any more."""
        return self._forgotten

    @property
    def resumed(self) -> int:
        """How often it was resumed: what was judged before makes no row with what comes."""
        return self._resumed

    def note(self, probability: float) -> None:
        """It was judged."""
        with self._lock:
            self._judged, self._last_probability = self._judged + 1, probability

    def tell(self, event: AlertEvent) -> None:
        """Its condition came true."""
        with self._lock:
            if self._is_over:
                return
            self._fired += 1
            if len(self._events) >= self._capacity:
                self._events.popleft()
                self._unread += 1
            self._events.append(event)
            self._changed.notify_all()
        self._dispatch.put(event)

    def warn(self, warning: str) -> None:
        """Say, in the log too, why its judgements may be worth little."""
        self._warning = warning
        _log.warning("alert %s: %s", self.name, warning)

    def forget(self, start_s: float, end_s: float) -> None:
        """Events that tell of a span and wait are not given out, and judging begins anew."""
        with self._lock:
            self._forgotten += 1
            kept = [event for event in self._events if not event.touches(start_s, end_s)]
            self._events = deque(kept)
        self._dispatch.forget(start_s, end_s)

    def end(self) -> None:
        """There is nothing more to be judged; what waits is told."""
        self._end(None)
        self._dispatch.finish()

    def fail(self, error: BaseException) -> None:
        """It cannot be judged, or frames could not be taken in."""
        if not self._is_over:
            said = redact(f"{type(error).__name__}: {error}")
            _log.error("alert %s has ended, nothing is watched for any more: %s", self.name, said)
        self._end(error)
        self._dispatch.finish()

    @property
    def is_settled(self) -> bool:
        """It is over, and everything is told."""
        return self._is_over and self._dispatch.is_idle

    def close(self, until_s: float) -> None:
        """End, wait for what is being told, let the rest go.

        Args:
            until_s: on the monotonic clock.
        """
        self.end()
        if not self._dispatch.drain(until_s):
            self._dispatch.drop_all()

    def _end(self, error: BaseException | None) -> None:
        with self._lock:
            if not self._is_over:
                self._is_over, self._error = True, error
                self._changed.notify_all()
