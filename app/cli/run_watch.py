"""``longtake watch``: watch, and show events as they fire, until it is time to end.

Whatever ends it, what was seen is kept and what fired was shown.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longtake.alerts.actions import Command, Webhook, parse_notify
from longtake.alerts.alert import Alert
from longtake.alerts.alert_config import AlertConfig
from longtake.alerts.event import AlertEvent
from longtake.cli.common import say
from longtake.cli.endings import NOTHING_FOUND
from longtake.cli.events import GIVE_UP_S, First, Form, Shown, Told
from longtake.cli.following import LOOK_S
from longtake.cli.groups import Ending, Group, Watched, begin, end, status, tell_seen
from longtake.cli.live_flags import Until
from longtake.cli.names import times
from longtake.cli.show import as_json
from longtake.cli.sources import Sources
from longtake.cli.watching import opened
from longtake.live_watch import LiveWatch

if TYPE_CHECKING:
    from longtake.config import Settings
    from longtake.take import Take

SCHEMA = "longtake.watch/1"
SECRET_VARIABLE = "LONGTAKE_WEBHOOK_SECRET"
SETTLE_S = 30.0  # for what fired to be told, once all is seen: a webhook may be tried again
LEAST_SETTLE_S = 5.0  # and after Ctrl-C, or an error
SOON_S = 0.3  # what takes longer to be told is worth a word
KNOWN = "seen before; nothing of it is taken in anew"
COUNTS = ("judged", "fired", "delivered", "failed", "dropped")


@dataclass(frozen=True, kw_only=True)
class Request:
    """What was typed."""

    videos: tuple[str, ...]
    settings: Settings
    memory: Path | None = None
    names: tuple[str, ...] = ()  # of cameras
    start_s: float | None = None
    stop_s: float | None = None
    conditions: tuple[str, ...] = ()
    notify: tuple[str, ...] = field(default=(), repr=False)  # they may hold a token
    commands: tuple[str, ...] = field(default=(), repr=False)
    once: bool = False
    until: Until | None = None
    every_s: float = 1.0
    cooldown_s: float = 30.0
    confirm: int = 2
    threshold: float = 0.5
    evidence_dir: Path | None = None
    form: Form = "text"

    def __post_init__(self) -> None:
        if "" in self.videos:
            raise ValueError("a word is empty: it is no video (an unset variable?)")
        wants_event = {"--notify": self.notify, "--run": self.commands, "--once": self.once}
        for flag, is_given in wants_event.items():
            if is_given and not self.conditions:
                raise ValueError(f'{flag}: waits for an event; say for which one: --when "..."')
        for condition in self.conditions:
            if self.conditions.count(condition) > 1:
                raise ValueError(f"--when {condition!r}: stands twice")
            _check(condition, self.judging)
        _ = self.sources, self.actions  # refuse what cannot work

    @property
    def judging(self) -> dict[str, Any]:
        return {
            "every_s": self.every_s,
            "cooldown_s": self.cooldown_s,
            "confirm": self.confirm,
            "threshold": self.threshold,
        }

    @cached_property
    def sources(self) -> Sources:
        return Sources(
            addresses=self.videos,
            capture=self.settings.take.capture,
            names=self.names,
            memory=self.memory,
            start_s=self.start_s,
            stop_s=self.stop_s,
        )

    @cached_property
    def actions(self) -> tuple[Webhook | Command, ...]:
        """What is done for each event."""
        secret = os.environ.get(SECRET_VARIABLE) or None
        hooks = [parse_notify(text, secret) for text in self.notify]
        return (*hooks, *(_command(text) for text in self.commands))


def _check(condition: str, judging: dict[str, Any]) -> None:
    """Raises ValueError, which names a flag where it is about one."""
    try:
        AlertConfig(condition=condition, **judging)
    except ValueError as error:
        said = str(error)
        for name in judging:
            said = re.sub(rf"^{name}=(\S+):", rf"--{name.removesuffix('_s')} \1:", said)
        raise ValueError(said) from None


def _command(text: str) -> Command:
    try:
        words = shlex.split(text)
    except ValueError:
        raise ValueError(f"--run {text}: a quote is opened and not closed") from None
    if not words:
        raise ValueError("--run: names no program (an unset variable?)")
    try:
        return Command(words)
    except ValueError as error:
        raise ValueError(
            f"--run {error}; pipes and the like need a shell: --run \"sh -c '...'\""
        ) from None


def run(request: Request) -> int:
    """Do it; returns the exit code.  Errors are raised; `longtake.cli` says them in one line."""
    if request.evidence_dir is not None:
        request.evidence_dir.mkdir(parents=True, exist_ok=True)
    if request.memory is None and not request.conditions:
        say("no --when and no --memory: what is seen is forgotten at the end")
    with opened(request.settings, request.memory) as take:
        watching = _Watching(take, request)
        try:
            watching.run()
        finally:
            if request.form == "json" and watching.watched:
                told = _as_json(take, request, watching)
                print(json.dumps(told), file=watching.shown.out, flush=True)
    if not request.conditions or watching.shown.count:
        return 0
    for condition in watching.counts:
        say(f"{condition}: {_in_vain(watching, condition, request.memory)}")
    return 0 if sum(watching.logged.values()) else NOTHING_FOUND


def _in_vain(watching: _Watching, condition: str, memory: Path | None) -> str:
    """What there is to say of a condition that did not come true in this run."""
    said, judged = [], watching.counts[condition]["judged"]
    if judged or not watching.has_known:
        newest = watching.last.get(condition)
        likely = "" if newest is None else f"; in the end its probability was {newest:.0%}"
        said.append(f"did not come true in {times(judged, 'judgement')}{likely}")
    if watching.has_known:
        held = times(watching.logged[condition], "event")
        said.append(
            "what was seen before was not judged anew; the memory's log holds "
            f"{held} of it there: longtake memory events {memory}"
        )
    return "; ".join(said)


class _Watching:
    """One run, from the first source to the last.  ``ended`` says why, for JSON."""

    def __init__(self, take: Take, request: Request) -> None:
        self._take, self._request = take, request
        self._ending, self._first = Ending(request.until), First(request.once, self._enough)
        self.shown = Shown(request.form, sys.stdout, request.evidence_dir)
        self.watched: list[Watched] = []
        self.counts = {condition: Counter[str]() for condition in request.conditions}
        self.last: dict[str, float | None] = {}  # probability, by condition
        self.logged = Counter[str]()  # events by condition, of files that were seen before
        self.has_known = False
        self.ended = "interrupted"
        self._group: Group | None = None
        self._told = [Told(action, self._first) for action in request.actions]

    def run(self) -> None:
        """Group after group; alerts end with their sources, so each group has its own."""
        groups, ended = begin(self._take, self._request.sources), None
        try:
            while ended is None and len(self.watched) < len(self._request.videos):
                ended = self._next(groups)
            self.ended = ended or "source"
        except Exception:
            self.ended = "failed"
            raise
        finally:
            for told in self._told:
                told.stop()  # before the take is closed, which would wait for them once more

    def _next(self, groups: Iterator[Group]) -> str | None:
        """The next file, or all live sources; what ended the run, if it is to end with them."""
        alerts, settle_s = self._begin_alerts(), LEAST_SETTLE_S
        try:
            group = self._group = next(groups)
            ended = self._follow(group, alerts)
            if ended == "once" and not group.live:
                self._take.drain()  # what waited was let go, of which nobody told the worker
            if group.live:
                tell_seen(self._take, group)
            end(group, None if ended == "once" else self._ending.spent_s, KNOWN)
            self.shown.show(self._taken(alerts))
            self._look_up(group)
            settle_s = SETTLE_S
        finally:
            self._group = None
            self._close(alerts, settle_s)
        return "once" if self._first.is_enough else ended

    def _begin_alerts(self) -> list[Alert]:
        first = self._first.passes if self._request.once else None
        return [
            self._take.alert(condition, first, actions=self._told, **self._request.judging)
            for condition in self._request.conditions
        ]

    def _enough(self) -> None:
        """With ``--once``: what a file has left is not seen; what it showed can be read again."""
        group = self._group
        for watch in () if group is None else group.watches:
            if isinstance(watch, LiveWatch):
                watch.halt()
            else:
                watch.stop()
                watch.mailbox.drop_all("left")

    def _look_up(self, group: Group) -> None:
        """What the memory's log holds of files that it had seen before."""
        for watch in group.watches:
            if isinstance(watch, LiveWatch) or not watch.is_known:
                continue
            self.has_known = True
            begin_s, end_s = watch.report.started_s or 0.0, watch.report.ended_s or 0.0
            for event in self._take.events(begin_s + watch.offset_s, end_s + watch.offset_s):
                self.logged[event.text] += event.text in self.counts

    def _follow(self, group: Group, alerts: Sequence[Alert]) -> str | None:
        """Until these sources are over, or it is time to end: why."""
        begun_s = self._ending.spent_s
        try:
            with status(self._take, group) as line:
                while not group.is_over:
                    line.show()
                    group.wait(LOOK_S)
                    events = self._taken(alerts)
                    if events:
                        with line.aside():
                            self.shown.show(events)
                    if self._first.is_enough or self._ending.is_over:
                        return "once" if self._first.is_enough else "until"
        except KeyboardInterrupt:
            tell_seen(self._take, group)
            raise
        finally:
            spent_s = self._ending.spent_s - begun_s
            self.watched += [Watched(watch, spent_s) for watch in group.watches]
        return None

    def _taken(self, alerts: Sequence[Alert]) -> list[AlertEvent]:
        """Events that fired by now, in their order.  Raises what ended an alert."""
        events = []
        for alert in alerts:
            while (event := alert.poll()) is not None:
                events.append(event)
        events.sort(key=lambda event: event.number)
        return [event for event in events if self._first.passes(event)]

    def _close(self, alerts: Sequence[Alert], settle_s: float) -> None:
        """No more is judged; what fired is told to everybody, or let go when time is over."""
        try:
            self._settle(alerts, settle_s)
        finally:
            self._count(alerts)

    def _settle(self, alerts: Sequence[Alert], settle_s: float) -> None:
        """Wait until all is told, time is over, or Ctrl-C, which is raised."""
        begun_s, is_said, is_settled = time.monotonic(), False, False
        for alert in alerts:
            alert.end()
        try:
            while not (is_settled := all(alert.is_settled for alert in alerts)):
                spent_s = time.monotonic() - begun_s
                if spent_s >= settle_s:
                    break
                if spent_s >= SOON_S and not is_said:
                    is_said = True
                    again = "" if settle_s == SETTLE_S else " again"
                    say(f"telling {times(_untold(alerts), 'event')}; Ctrl-C{again} gives up")
                time.sleep(LOOK_S / 2)
        finally:
            for alert in alerts:
                alert.close(time.monotonic())
            if not is_settled:
                self._give_up(alerts, is_for_good=settle_s < SETTLE_S)

    def _give_up(self, alerts: Sequence[Alert], *, is_for_good: bool) -> None:
        """What is being told has not been told; counted.  A later file's events may be taken."""
        for told in self._told:
            if is_for_good:
                told.stop()
            else:
                told.let_go()
        until_s = time.monotonic() + GIVE_UP_S
        for alert in alerts:
            alert.close(until_s)

    def _count(self, alerts: Sequence[Alert]) -> None:
        for alert in alerts:
            stats = alert.stats()
            self.counts[alert.condition] += Counter({name: getattr(stats, name) for name in COUNTS})
            self.last[alert.condition] = stats.last_probability
            if stats.failed:
                count = f"{stats.failed} of {times(stats.fired, 'event')}"
                say(f"{alert.condition}: {count} could not be told to everybody")
            if stats.dropped:
                count = f"{stats.dropped} of {times(stats.fired, 'event')}"
                say(f"{alert.condition}: {count} could not be told to anybody in time")


def _untold(alerts: Sequence[Alert]) -> int:
    each = [alert.stats() for alert in alerts]
    return sum(stats.fired - stats.delivered - stats.failed - stats.dropped for stats in each)


def _as_json(take: Take, request: Request, watching: _Watching) -> dict[str, Any]:
    """The object that ``--json`` prints; documented in docs/json.md."""
    is_complete = watching.ended not in ("interrupted", "failed")
    is_complete = is_complete and all(w.is_whole for w in watching.watched)
    told = as_json(take, request.memory, watching.watched, [], is_complete)
    del told["answers"]
    alerts = [
        {
            "condition": condition,
            **{name: counts[name] for name in COUNTS},
            "last_probability": watching.last.get(condition),
            "logged": watching.logged[condition],
        }
        for condition, counts in watching.counts.items()
    ]
    return told | {
        "schema": SCHEMA,
        "ended": watching.ended,
        "alerts": alerts,
        "events": watching.shown.events,
    }
