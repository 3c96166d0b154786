"""The side of an alert that decides: it asks its question of what the window holds now.

A judgement is an answer of its own that must be yes or no, over what is in the window and nothing
else: no chunk comes back from the memory.  It runs on the engine's worker, behind the chunk that
made it due, and leaves the stream as it was.  The stream must go on whatever goes wrong here: no
method that the session calls raises, an exception ends the alert and goes to whoever listens.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from longtake.alerts.alert import Alert
from longtake.alerts.event import AlertEvent
from longtake.alerts.trigger import Trigger
from longtake.answer import Answer
from longtake.answering import answer
from longtake.asked import Asked, Select
from longtake.choosing import spell
from longtake.memory.chunk import ChunkInfo
from longtake.memory.events import Event
from longtake.models.base import Adapter
from longtake.models.decode import Decoding
from longtake.scope import Scope, When
from longtake.streaming.errors import redact

if TYPE_CHECKING:
    from longtake.session import Session

KIND = "alert"  # of its events in the memory's log
SPELLINGS = (("yes", "no"), ("Yes", "No"), ("Yes.", "No."))  # as models answer
LEAST_MASS = 0.5  # of all of them, or the model would rather say something else
_FREE = Decoding(max_tokens=12)
_SLACK = 1e-6  # of a moment: times are sums of fractions

Keep = Callable[[Event], Event]  # writes down an event, and gives it its number
Pair = tuple[str, str]
_log = logging.getLogger(__name__)


class Judge:
    """Listens to a session's chunks, and judges those that are due.

    Args:
        keep: takes each event before it is told.

    Raises:
        ValueError: if the condition holds no word, or the model's vocabulary no yes and no.
    """

    def __init__(self, session: Session, alert: Alert, keep: Keep) -> None:
        self._session, self._alert, self._keep = session, alert, keep
        config = alert.config
        session.adapter.prompt(config.question)  # says what is wrong with it
        self._pairs = _pairs(session.adapter)
        self._is_first = True
        self._trigger = Trigger(config.confirm, config.threshold, config.cooldown_s)
        self._forgotten, self._resumed = alert.forgotten, alert.resumed
        self._first_s: float | None = None  # the first moment
        self._newest_s = float("-inf")
        self._moment = -1  # how many spans of `every_s` behind the first one the newest was
        session.listeners = [*session.listeners, self]

    @property
    def is_over(self) -> bool:
        """Its alert wants nothing any more."""
        return self._alert.is_over

    def __call__(self, info: ChunkInfo) -> None:
        session, alert = self._session, self._alert
        if self.is_over:
            session.listeners = [each for each in session.listeners if each is not self]
            return
        if alert.is_paused:
            return
        try:
            if self._is_due(info.end_s):
                self._judge(info)
        except Exception as error:
            alert.fail(error)

    def _is_unwanted(self) -> bool:
        return self._alert.is_over or self._alert.is_paused

    def _is_due(self, end_s: float) -> bool:
        """Whether the chunk that ends there is the first of its ``every_s`` seconds."""
        self._newest_s = max(self._newest_s, end_s)  # cameras need not come in time order
        if self._first_s is None:
            self._first_s = end_s
        passed = (self._newest_s - self._first_s) / self._alert.config.every_s
        is_new, self._moment = int(passed + _SLACK) > self._moment, int(passed + _SLACK)
        return is_new

    def _judge(self, info: ChunkInfo) -> None:
        if self._forgotten != self._alert.forgotten:
            self._forgotten = self._alert.forgotten
            self._trigger.reset()
        if self._resumed != self._alert.resumed:
            self._resumed = self._alert.resumed
            self._trigger.interrupt()
        told = self._ask(tuple(word for pair in self._pairs for word in pair))
        if told.partial or self._alert.is_paused:  # it was cancelled, or paused meanwhile
            return
        if self._is_first:
            self._is_first = False
            self._settle_spelling(told)
        shares = {choice.text: choice.probability for choice in told.choices}
        yes, no = (shares[word] for word in self._pairs[0])
        probability = yes / (yes + no)
        self._alert.note(probability)
        since_s = self._trigger.judge(self._newest_s, probability)
        if since_s is not None:
            self._alert.tell(self._logged(self._event(info, told, since_s, probability)))

    def _settle_spelling(self, told: Answer) -> None:
        """From now on the yes and no that this model would say; a warning where it says neither."""
        shares = {choice.text: choice.probability for choice in told.choices}
        self._pairs = [max(self._pairs, key=lambda pair: shares[pair[0]] + shares[pair[1]])]
        assert told.mass is not None
        if told.mass < LEAST_MASS:
            free = self._ask((), _FREE)
            self._alert.warn(
                f"the model says yes or no with probability {told.mass:.2g} alone, and would "
                f"rather say {free.text!r}: word the condition so that it is a question with yes "
                "or no for an answer, or use another model"
            )

    def _event(
        self, info: ChunkInfo, told: Answer, since_s: float, probability: float
    ) -> AlertEvent:
        best = told.evidence[0].camera if told.evidence else info.camera
        return AlertEvent(
            number=0,
            name=self._alert.name,
            condition=self._alert.condition,
            at_s=since_s,
            fired_s=self._newest_s,
            wall_s=None if info.wall_s is None else info.wall_s + since_s - info.start_s,
            probability=probability,
            camera=best,
            evidence=told.evidence,
        )

    def _logged(self, event: AlertEvent) -> AlertEvent:
        """With its number; 0 where the memory cannot take it: it is told all the same."""
        try:
            return replace(event, number=self._keep(_entry(event)).number)
        except Exception as error:
            said = redact(f"{type(error).__name__}: {error}")
            _log.warning("alert %s: an event could not be logged: %s", event.name, said)
            return event

    def _ask(self, choices: tuple[str, ...], decoding: Decoding | None = None) -> Answer:
        """Of what the window holds now."""
        session, reach = self._session, self._session.mode.reach
        asked = Asked(
            question=self._alert.config.question,
            choices=choices,
            decoding=decoding,
            when=_in_window(session.window.infos) if reach.recalls else When(),
            select=_window_alone(reach.recalls_window) if reach.recalls else None,
        )
        pieces = answer(session, asked, time.monotonic, self._is_unwanted)
        while True:
            try:
                next(pieces)
            except StopIteration as stop:
                told: Answer = stop.value
                return told


def _entry(event: AlertEvent) -> Event:
    """As the log has it, evidence included: it goes when any of that is forgotten."""
    cameras = {moment.camera for moment in event.evidence} or {event.camera}
    return Event(
        start_s=event.begin_s,
        end_s=event.fired_s,
        kind=KIND,
        name=event.name,
        text=event.condition,
        camera=cameras.pop() if len(cameras) == 1 else "",
        wall_s=None if event.wall_s is None else event.wall_s + event.begin_s - event.at_s,
        score=event.probability,
    )


def _in_window(infos: Sequence[ChunkInfo]) -> When:
    """So that older chunks are not even scored."""
    return When(between_s=(infos[0].start_s, max(info.end_s for info in infos)))


def _window_alone(is_recalled: bool) -> Select:
    """No chunk, or those of the window where that stands in no context by itself."""

    def select(known: Scope, layers: int) -> list[list[int]]:
        return [[info.number for info in known.window] if is_recalled else []] * layers

    return select


def _pairs(adapter: Adapter) -> list[Pair]:
    """Spellings that are different tokens; the first one has to be known."""
    spell(adapter, SPELLINGS[0])
    found: list[Pair] = [SPELLINGS[0]]
    for pair in SPELLINGS[1:]:
        try:
            spell(adapter, [word for each in (*found, pair) for word in each])
        except ValueError:  # to this model it is one that it has
            continue
        found.append(pair)
    return found
