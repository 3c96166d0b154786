"""``longtake memory events``: what happened, as the memory's log has it.

The log is read as it lies on disk: without a model, and beside a writer, of which what is durable
is seen.  Who told of an event, and what came of it, is not known here.  It comes without torch, for
which reason the log's columns stand here again; a test keeps them equal.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from longtake.cli.common import say
from longtake.cli.endings import NOTHING_FOUND
from longtake.cli.names import as_text, shown
from longtake.memory.survey import ALBUM, reading, survey
from longtake.ui.view import span, wall_clock

SCHEMA = "longtake.events/1"
COLUMNS = ("number", "start_s", "end_s", "wall_s", "kind", "name", "text", "camera", "score")
_FOUND = (
    f"SELECT {', '.join(COLUMNS)} FROM events WHERE start_s <= ? AND end_s >= ? "
    "AND (kind = ? OR ? IS NULL) ORDER BY start_s, number"
)


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
    survey(Path(folder))  # says what is wrong with it
    found = _events(Path(folder) / ALBUM, from_s, to_s, kind)
    if as_json:
        events = [_described(event) for event in found]
        print(json.dumps({"schema": SCHEMA, "memory": as_text(folder), "events": events}))
    for event in () if as_json else found:
        print(_in_words(event))
    if not found:
        say(f"{folder}: no such event in its log")
    return 0 if found else NOTHING_FOUND


def _events(album: Path, start_s: float, end_s: float, kind: str | None) -> list[dict[str, Any]]:
    """Those that touch a span; none where the log was never begun."""
    if not album.is_file():
        return []
    with reading(album) as database:
        made = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'events'"
        if database.execute(made).fetchone() is None:
            return []
        rows = database.execute(_FOUND, (end_s, start_s, kind, kind)).fetchall()
    return [dict(zip(COLUMNS, row, strict=True)) for row in rows]


def _described(event: Mapping[str, Any]) -> dict[str, Any]:
    return {name: as_text(of) if isinstance(of, str) else of for name, of in event.items()}


def _in_words(event: Mapping[str, Any]) -> str:
    """``0:40-0:43  2026-11-21 14:03:22  97%  alert is-there-a-ring  is there a ring?  [door]``."""
    parts = [span(event["start_s"], event["end_s"])]
    if event["wall_s"] is not None:
        parts.append(wall_clock(event["wall_s"]))
    if event["score"] is not None:
        parts.append(f"{event['score']:.0%}")
    parts += [shown(f"{event['kind']} {event['name']}"), shown(event["text"])]
    if event["camera"]:
        parts.append(f"[{shown(event['camera'])}]")
    return "  ".join(parts)
