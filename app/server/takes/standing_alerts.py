"""The alerts of one take as a server holds them: by id, paused and resumed.

They stay when all that is watched has ended, for other sources may come.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from longtake.server.takes.refusals import NoSuchAlert
from longtake.streaming.errors import redact
from longtake.wording import one_line

if TYPE_CHECKING:
    from longtake.alerts.alert import Alert
    from longtake.alerts.event import AlertEvent
    from longtake.take import Take


@dataclass(frozen=True, kw_only=True, slots=True)
class AlertState:
    """One look at an alert."""

    id: str  # "a1"
    name: str
    condition: str
    paused: bool
    judged: int
    fired: int  # events
    probability: float | None  # of yes, when it was judged last
    warning: str  # why its judgements may be worth little
    over: bool  # nothing is judged any more
    error: str = ""  # what ended it, if something went wrong

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class StandingAlerts:
    """Of one take; any thread may call.

    Args:
        fired: told of each event, on a thread of the alert's own.
    """

    def __init__(self, take: Take, fired: Callable[[AlertEvent], object]) -> None:
        self._take, self._fired = take, fired
        self._lock = threading.Lock()
        self._alerts: dict[str, Alert] = {}
        self._last = 0
        self._gone = (0, 0)  # judgements and events of those that were removed

    def add(self, condition: str, settings: Mapping[str, Any]) -> AlertState:
        """Watch for something from now on; settings as `Take.alert` takes them.

        Raises as `Take.alert` does.
        """
        alert = self._take.alert(condition, self._fired, stays=True, **settings)
        with self._lock:
            self._last += 1
            id = f"a{self._last}"
            self._alerts[id] = alert
        return state_of(id, alert)

    def pause(self, id: str) -> AlertState:
        """Judge it no more until it is resumed.  Raises `NoSuchAlert`."""
        alert = self._find(id)
        alert.pause()
        return state_of(id, alert)

    def resume(self, id: str) -> AlertState:
        """Judge it again.  Raises `NoSuchAlert`."""
        alert = self._find(id)
        alert.resume()
        return state_of(id, alert)

    def remove(self, id: str) -> None:
        """For good.  Raises `NoSuchAlert`."""
        alert = self._find(id)
        with self._lock:
            if self._alerts.pop(id, None) is not None:
                judged, fired = self._gone
                stats = alert.stats()
                self._gone = judged + stats.judged, fired + stats.fired
        alert.cancel()

    def find(self, id: str) -> AlertState:
        """Raises `NoSuchAlert`."""
        return state_of(id, self._find(id))

    def all(self) -> list[AlertState]:
        with self._lock:
            alerts = list(self._alerts.items())
        return [state_of(id, alert) for id, alert in alerts]

    def counts(self) -> tuple[int, int]:
        """Judgements and events, also of those that were removed: these never fall."""
        with self._lock:
            stats = [alert.stats() for alert in self._alerts.values()]
            judged, fired = self._gone
        return judged + sum(s.judged for s in stats), fired + sum(s.fired for s in stats)

    def _find(self, id: str) -> Alert:
        with self._lock:
            if id in self._alerts:
                return self._alerts[id]
            known = ", ".join(self._alerts) or "none"
        raise NoSuchAlert(f"alert {id!r}: there is no such one; there is {known}")


def state_of(id: str, alert: Alert) -> AlertState:
    """How it stands."""
    stats, error = alert.stats(), alert.error
    return AlertState(
        id=id,
        name=alert.name,
        condition=alert.condition,
        paused=alert.is_paused,
        judged=stats.judged,
        fired=stats.fired,
        probability=stats.last_probability,
        warning=alert.warning,
        over=alert.is_over,
        error="" if error is None else redact(one_line(error)),
    )
