"""The alerts of a take: begun on its worker, ended with its sources, closed with it."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING

from longtake.alerts.alert import Alert
from longtake.alerts.alert_config import AlertConfig
from longtake.alerts.dispatch import Receiver
from longtake.alerts.judge import Judge, Keep

if TYPE_CHECKING:
    from longtake.session import Session

MOST_ALERTS = 32  # of a take; each costs a judgement every `every_s`
CLOSE_S = 5.0


class TooManyAlerts(ValueError):
    """As many judge as may."""


class Alerts:
    """Of one take.  `begin` and `forget` are called on the engine's worker, `close` on any thread
    but that one, the rest anywhere.

    Args:
        keep: logs an event, and gives it its number: `Session.log`.
    """

    def __init__(self, session: Session, keep: Keep) -> None:
        self._session, self._keep = session, keep
        self._lock = threading.Lock()
        self._alerts: list[Alert] = []  # that judge, or are being told
        self._held: weakref.WeakSet[Alert] = weakref.WeakSet()  # whose events may still be taken
        self._is_closed = False

    def begin(
        self,
        config: AlertConfig,
        on_event: Receiver | None = None,
        actions: Sequence[Receiver] = (),
    ) -> Alert:
        """Judge from the next chunk on.

        Args:
            on_event: is called with each event, then the actions, on a thread of the alert's own.

        Raises:
            TooManyAlerts: if there are.
            ValueError: if the name is taken, or the model cannot be asked this.
            RuntimeError: if the take is closed.
        """
        with self._lock:
            if self._is_closed:
                raise RuntimeError("this take is closed")
            self._alerts = [alert for alert in self._alerts if not alert.is_settled]
            self._leave_out_judges()
            if len(self._alerts) >= MOST_ALERTS:
                raise TooManyAlerts(
                    f"{MOST_ALERTS} alerts are on already, or still being told: cancel one first"
                )
            receivers = (*(() if on_event is None else (on_event,)), *actions)
            alert = Alert(config, self._free_name(config), receivers)
            Judge(self._session, alert, self._keep)
            self._alerts.append(alert)
            self._held.add(alert)
            return alert

    @property
    def going_on(self) -> tuple[Alert, ...]:
        """Those that are not over."""
        return tuple(alert for alert in self._all() if not alert.is_over)

    def end(self) -> None:
        """The take's sources have ended: those alerts end that do not stay."""
        for alert in self._all():
            if not alert.config.stays:
                alert.end()

    def finish(self) -> None:
        """No frame will come any more."""
        for alert in self._all():
            alert.end()

    def fail(self, error: BaseException) -> None:
        """Frames could not be taken in."""
        for alert in self._all():
            alert.fail(error)

    def forget(self, start_s: float, end_s: float) -> None:
        """Nothing of a span is to be told any more, nor a ground to tell anything."""
        with self._lock:
            held = list(self._held)
        for alert in held:
            alert.forget(start_s, end_s)

    def close(self, wait_s: float = CLOSE_S) -> None:
        """For ever.  What waits is told within so many seconds, of all alerts together, and let go
        then, counted.  May be called twice, and by an alert's own callback, which is not waited
        for."""
        with self._lock:
            self._is_closed = True
        self.finish()
        until_s = time.monotonic() + wait_s
        for alert in self._all():
            alert.close(until_s)

    def _all(self) -> list[Alert]:
        with self._lock:
            return list(self._alerts)

    def _leave_out_judges(self) -> None:
        """Those of alerts that are over; each would go with the next chunk, should one come."""
        self._session.listeners = [
            each
            for each in self._session.listeners
            if not (isinstance(each, Judge) and each.is_over)
        ]

    def _free_name(self, config: AlertConfig) -> str:
        """The given one; one that is made from the condition gets a number where it is taken."""
        taken = {alert.name for alert in self._alerts}
        name = config.plain_name
        if name not in taken:
            return name
        if config.name is not None:
            raise ValueError(f"name={name!r}: another alert of this take has it; choose another")
        return next(free for n in range(2, MOST_ALERTS + 2) if (free := f"{name}-{n}") not in taken)
