"""Events of alerts on their way to stdout, and to whoever else is to be told.

When something fires, and when it is time to end, is not known here.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, TextIO

from longtake.alerts.action import ActionFailed
from longtake.alerts.event import AlertEvent
from longtake.cli.names import as_text, shown
from longtake.cli.show import moment_words, write_pictures
from longtake.ui.view import clock, wall_clock

Form = Literal["text", "json", "jsonl"]

GIVE_UP_S = 0.5  # for an action that is stopped to end by itself: a program is killed by then
MOST_EVENTS = 10_000  # that the one object at the end holds, the newest


class First:
    """With ``--once`` the first event that anybody asks about passes, and no other.

    Args:
        on_enough: called when it has passed, on the thread that asked.
    """

    def __init__(self, once: bool, on_enough: Callable[[], None] = lambda: None) -> None:
        self._once, self._on_enough, self._lock = once, on_enough, threading.Lock()
        self._first: AlertEvent | None = None

    @property
    def is_enough(self) -> bool:
        return self._once and self._first is not None

    def passes(self, event: AlertEvent) -> bool:
        with self._lock:
            is_new = self._first is None
            if is_new:
                self._first = event
            passes = not self._once or event is self._first
        if is_new and self._once:
            self._on_enough()
        return passes


class Action(Protocol):
    """Such as `Webhook` and `Command`."""

    def __call__(self, event: AlertEvent) -> object: ...

    def stop(self) -> None:
        """Give up what is under way, and all that comes."""
        ...


class Told:
    """An action that is done for the events that pass.  Its name stands in the log.

    Each is done on a thread of its own, which nobody waits for once it is stopped: it may hang in
    a connection.
    """

    def __init__(self, action: Action, first: First) -> None:
        self._action, self._first = action, first
        self.__name__ = repr(action)
        self._lock = threading.Lock()
        self._running: dict[Future[None], threading.Thread] = {}

    def __call__(self, event: AlertEvent) -> None:
        """Raises whatever the action raises, and ActionFailed if it was stopped."""
        if not self._first.passes(event):
            return
        done: Future[None] = Future()
        thread = threading.Thread(
            target=self._do, args=(event, done), name="longtake-tell", daemon=True
        )
        with self._lock:
            self._running[done] = thread
        thread.start()
        done.result()

    def let_go(self) -> None:
        """Nobody waits any longer for what is under way."""
        with self._lock:
            running = list(self._running)
        for done in running:
            with suppress(InvalidStateError):  # it has just ended
                done.set_exception(ActionFailed("given up"))

    def stop(self) -> None:
        """Give up what is under way, and all that comes; returns within `GIVE_UP_S`."""
        self._action.stop()
        with self._lock:
            threads = list(self._running.values())
        until_s = time.monotonic() + GIVE_UP_S
        for thread in threads:
            thread.join(max(0.0, until_s - time.monotonic()))
        self.let_go()

    def _do(self, event: AlertEvent, done: Future[None]) -> None:
        try:
            self._action(event)
        except BaseException as error:  # raised to whoever waits
            with suppress(InvalidStateError):
                done.set_exception(_at_the_command_line(error))
        else:
            with suppress(InvalidStateError):
                done.set_result(None)
        finally:
            with self._lock:
                self._running.pop(done, None)


def _at_the_command_line(error: BaseException) -> BaseException:
    """Without advice that is for programs alone."""
    if not isinstance(error, ActionFailed):
        return error
    return ActionFailed(re.sub(r"; raise timeout_s to [^;]*", "", str(error)))


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
        parts.append(wall_clock(event.wall_s))
    parts += [f"{event.probability:.0%}", shown(event.condition)]
    if event.camera:
        parts.append(f"[{shown(event.camera)}]")
    if event.evidence:
        parts.append("evidence " + ", ".join(map(moment_words, event.evidence)))
    return "  ".join([*parts, *(shown(path) for path in pictures)])
