"""Events of alerts on their way to stdout, and to whoever else is to be told.

When something fires, and when it is time to end, is not known here.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, TextIO

from longtake.alerts.event import AlertEvent
from longtake.cli.names import as_text, shown
from longtake.cli.show import write_pictures
from longtake.ui.view import clock, span

Form = Literal["text", "json", "jsonl"]

MOST_EVENTS = 10_000  # that the one object at the end holds, the newest


class First:
    """With ``--once`` the first event that anybody asks about passes, and no other."""

    def __init__(self, once: bool) -> None:
        self._once, self._lock = once, threading.Lock()
        self._first: AlertEvent | None = None

    @property
    def is_enough(self) -> bool:
        return self._once and self._first is not None

    def passes(self, event: AlertEvent) -> bool:
        with self._lock:
            if self._first is None:
                self._first = event
            return not self._once or event is self._first


class Told:
    """An action that is done for the events that pass.  Its name stands in the log."""

    def __init__(self, action: Callable[[AlertEvent], object], first: First) -> None:
        self._action, self._first = action, first
        self.__name__ = repr(action)

    def __call__(self, event: AlertEvent) -> None:
        if self._first.passes(event):
            self._action(event)


@dataclass
class Shown:
    """What fired, as it is shown."""

    form: Form
    out: TextIO
    evidence_dir: Path | None
    count: int = 0
    events: list[dict[str, Any]] = field(default_factory=list)  # for one object at the end

    def show(self, events: Iterable[AlertEvent]) -> None:
        for event in events:
            self._show(event)

    def _show(self, event: AlertEvent) -> None:
        pictures = write_pictures(self.evidence_dir, self.count, event.evidence, "event")
        self.count += 1
        told = event.as_json() | {"pictures": [as_text(path) for path in pictures]}
        if self.form == "json":
            self.events = [*self.events[1 - MOST_EVENTS :], told]
        elif self.form == "jsonl":
            print(json.dumps(told), file=self.out, flush=True)
        else:
            print(in_words(event, pictures), file=self.out, flush=True)


def in_words(event: AlertEvent, pictures: Sequence[str]) -> str:
    """One line: ``0:42  2026-11-21 14:03:22  97%  condition  [camera]  evidence ...  pictures``."""
    parts = [clock(event.at_s)]
    if event.wall_s is not None:
        parts.append(datetime.fromtimestamp(event.wall_s).strftime("%Y-%m-%d %H:%M:%S"))
    parts += [f"{event.probability:.0%}", shown(event.condition)]
    if event.camera:
        parts.append(f"[{shown(event.camera)}]")
    if event.evidence:
        moments = (f"{span(m.start_s, m.end_s)} ({m.score:.0%})" for m in event.evidence)
        parts.append("evidence " + ", ".join(moments))
    return "  ".join([*parts, *(shown(path) for path in pictures)])
