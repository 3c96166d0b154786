"""``longtake watch``: watch, and show events as they fire, until it is time to end.

Whatever ends it, what was seen is kept and what fired was shown.
"""

from __future__ import annotations

import json
import os
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
from longtake.cli.events import First, Form, Shown, Told
from longtake.cli.following import LOOK_S
from longtake.cli.groups import Ending, Group, Watched, begin, end, status, tell_seen
from longtake.cli.live_flags import Until
from longtake.cli.show import as_json
from longtake.cli.sources import Sources
from longtake.cli.watching import opened
from longtake.streaming.capture_config import CaptureConfig

if TYPE_CHECKING:
    from longtake.config import Settings
    from longtake.take import Take

SCHEMA = "longtake.watch/1"
SECRET_VARIABLE = "LONGTAKE_WEBHOOK_SECRET"
SETTLE_S = 30.0  # for what fired to be told, once all is seen: a webhook may be tried again
LEAST_SETTLE_S = 5.0  # and after Ctrl-C, or an error
COUNTS = ("judged", "fired", "delivered", "failed", "dropped")


@dataclass(frozen=True, kw_only=True)
class Request:
    """What was typed."""

    videos: tuple[str, ...]
    settings: Settings
    memory: Path | None = None
    capture: CaptureConfig = field(default_factory=CaptureConfig)
    names: tuple[str, ...] = ()  # of cameras
    start_s: float | None = None
    stop_s: float | None = None
    conditions: tuple[str, ...] = ()
    notify: tuple[str, ...] = field(default=(), repr=False)  # they may hold a token
    command: str | None = None
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
        wants_event = {"--notify": self.notify, "--run": self.command, "--once": self.once}
        for flag, is_given in wants_event.items():
            if is_given and not self.conditions:
                raise ValueError(f'{flag}: waits for an event; say for which one: --when "..."')
        for condition in self.conditions:
            if self.conditions.count(condition) > 1:
                raise ValueError(f"--when {condition!r}: stands twice")
            AlertConfig(condition=condition, **self.judging)
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
            capture=self.capture,
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
        return (*hooks, *([] if self.command is None else [_command(self.command)]))


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
            for action in request.actions:
                action.stop()  # those that had their time and go on
            if request.form == "json" and watching.watched:
                told = _as_json(take, request, watching)
                print(json.dumps(told), file=watching.shown.out, flush=True)
    if not request.conditions or watching.shown.count:
        return 0
    for condition, counts in watching.counts.items():
        newest = watching.last.get(condition)
        likely = "" if newest is None else f"; in the end its probability was {newest:.0%}"
        say(f"{condition}: did not come true in {counts['judged']} judgements{likely}")
    return NOTHING_FOUND


class _Watching:
    """One run, from the first source to the last.  ``ended`` says why, for JSON."""

    def __init__(self, take: Take, request: Request) -> None:
        self._take, self._request = take, request
        self._ending, self._first = Ending(request.until), First(request.once)
        self.shown = Shown(request.form, sys.stdout, request.evidence_dir)
        self.watched: list[Watched] = []
        self.counts = {condition: Counter[str]() for condition in request.conditions}
        self.last: dict[str, float | None] = {}  # probability, by condition
        self.ended = "interrupted"

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

    def _next(self, groups: Iterator[Group]) -> str | None:
        """The next file, or all live sources; what ended the run, if it is to end with them."""
        alerts, settle_s = self._begin_alerts(), LEAST_SETTLE_S
        try:
            group = next(groups)
            ended = self._follow(group, alerts)
            if group.live:
                tell_seen(self._take, group)
            end(group, None if ended == "once" else self._ending.spent_s)
            self.shown.show(self._taken(alerts))
            settle_s = SETTLE_S
        finally:
            self._close(alerts, settle_s)
        return "once" if self._first.is_enough else ended

    def _begin_alerts(self) -> list[Alert]:
        told = [Told(action, self._first) for action in self._request.actions]
        return [
            self._take.alert(condition, actions=told, **self._request.judging)
            for condition in self._request.conditions
        ]

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
        until_s = time.monotonic() + settle_s
        for alert in alerts:
            alert.close(until_s)
            stats = alert.stats()
            self.counts[alert.condition] += Counter({name: getattr(stats, name) for name in COUNTS})
            self.last[alert.condition] = stats.last_probability
            if stats.failed or stats.dropped:
                say(
                    f"{alert.condition}: of {stats.fired} events {stats.failed} could not be told "
                    f"to everybody, and {stats.dropped} to nobody"
                )


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
        }
        for condition, counts in watching.counts.items()
    ]
    return told | {
        "schema": SCHEMA,
        "ended": watching.ended,
        "alerts": alerts,
        "events": watching.shown.events,
    }
