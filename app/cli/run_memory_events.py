"""``longtake memory events``: what happened, as the memory's log has it.

The log is read as it lies on disk: without a model, also beside a writer.  Who wrote an event, and
what came of it, is not known here.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from longtake.cli.common import say
from longtake.cli.endings import NOTHING_FOUND
from longtake.cli.names import as_text, shown
from longtake.memory.events import Event
from longtake.memory.survey import events_of
from longtake.ui.view import clock, span

SCHEMA = "longtake.events/1"


def run(
    folder: str, start_s: float | None, end_s: float | None, kind: str | None, as_json: bool
) -> int:
    """Show events that touch a span; exit code 6 if there is none.

    Raises:
        ValueError: if the span ends before it begins.
        OSError: if there is no memory, or it cannot be read.
    """
    from_s, to_s = start_s or 0.0, math.inf if end_s is None else end_s
    if to_s < from_s:
        raise ValueError(f"--to {to_s:g}: must not be earlier than --from {from_s:g} (seconds)")
    found = events_of(Path(folder), from_s, to_s, kind)
    if as_json:
        events = [_described(event) for event in found]
        print(json.dumps({"schema": SCHEMA, "memory": as_text(folder), "events": events}))
    for event in () if as_json else found:
        print(_in_words(event))
    if not found:
        say(f"{folder}: no such event in its log")
    return 0 if found else NOTHING_FOUND


def _described(event: Event) -> dict[str, Any]:
    texts = ("kind", "name", "text", "camera")
    return asdict(event) | {name: as_text(getattr(event, name)) for name in texts}


def _in_words(event: Event) -> str:
    """``0:42-0:43  2026-11-21 14:03:22  97%  alert is-there-a-ring  is there a ring?  [door]``."""
    parts = [span(event.start_s, event.end_s) if event.end_s > event.start_s else clock(event.start_s)]
    if event.wall_s is not None:
        parts.append(datetime.fromtimestamp(event.wall_s).strftime("%Y-%m-%d %H:%M:%S"))
    if event.score is not None:
        parts.append(f"{event.score:.0%}")
    parts += [shown(f"{event.kind} {event.name}"), shown(event.text)]
    if event.camera:
        parts.append(f"[{shown(event.camera)}]")
    return "  ".join(parts)
