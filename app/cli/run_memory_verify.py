"""``longtake memory verify``: read every checksum, tell what is wrong, make the catalog again.

No model is needed, but to rebuild a memory of the first longtake whose catalog is gone.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longtake.cli.bars import bar
from longtake.cli.common import say
from longtake.cli.endings import CONFIGURATION
from longtake.cli.names import as_text, shown
from longtake.ui.view import bytes_text, clock, span

if TYPE_CHECKING:
    from longtake.config import Settings
    from longtake.memory.old_catalog import Signature
    from longtake.memory.rebuild import Rebuilt
    from longtake.memory.verify import Damaged, Verified

_MOST_LINES = 20  # of damage, on a terminal


def verify(folder: str, as_json: bool) -> int:
    """Look, and change nothing.  Exit code 3 if something that was durable is changed or gone."""
    from longtake.memory.verify import verify as look

    with bar("reading", is_bytes=True) as step:
        seen = look(Path(folder), step)
    if as_json:
        print(json.dumps(_described(seen)))
    else:
        _print(seen)
    if seen.catalog != "whole" and seen.chunks:
        say(f"{folder}: make the catalog again: longtake memory verify {folder} --rebuild")
    return 0 if seen.is_sound else CONFIGURATION


def rebuild(folder: str, settings: Settings | None, as_json: bool) -> int:
    """Make the catalog again.

    Args:
        settings: of the model that made it, where one was named.
    """
    from longtake.memory.rebuild import rebuild as make

    signature = None if settings is None else _signature(settings)
    with bar("reading", is_bytes=True) as step:
        made = make(Path(folder), step, signature)
    if as_json:
        print(json.dumps(_rebuilt(made)))
    else:
        _print_rebuilt(made)
    return 0


def _signature(settings: Settings) -> Signature:
    from longtake.engine import Engine
    from longtake.memory.old_catalog import Signature

    with Engine(
        settings.model,
        device=settings.device,
        dtype=settings.dtype,
        quantize=settings.quantize,
        max_pixels=settings.max_pixels,
    ) as engine:
        return Signature(engine.adapter.name, engine.adapter.fingerprint)


# -------------------------------------------------------------------- JSON


def _described(seen: Verified) -> dict[str, Any]:
    return {
        "schema": "longtake.memory.verify/1",
        "memory": as_text(seen.path),
        "catalog": seen.catalog,
        "album": seen.album,
        "writer": int(seen.writer) if seen.writer and seen.writer.isdigit() else None,
        "chunks": seen.chunks,
        "corrupt": seen.count("corrupt"),
        "torn": seen.count("torn"),
        "missing": seen.count("missing"),
        "bytes": seen.nbytes,
        "damaged": [_damage(one) for one in seen.damaged],
    }


def _rebuilt(made: Rebuilt) -> dict[str, Any]:
    left = made.left_out
    return {
        "schema": "longtake.memory.verify/1",
        "memory": as_text(made.path),
        "catalog": "rebuilt",
        "album": "whole",
        "writer": None,
        "chunks": made.chunks,
        "corrupt": sum(one.kind == "corrupt" for one in left),
        "torn": sum(one.kind == "torn" for one in left),
        "missing": 0,
        "bytes": made.nbytes,
        "damaged": [_damage(one) for one in left],
        "rebuilt": {
            "notes": made.notes,
            "pictures": made.pictures,
            "old_catalog": None if made.old is None else as_text(made.old.name),
        },
    }


def _damage(one: Damaged) -> dict[str, Any]:
    return {
        "kind": one.kind,
        "number": one.number,
        "start_s": one.start_s,
        "end_s": one.end_s,
        "file": one.segment,
        "offset": one.offset,
        "why": as_text(one.why),
    }


# -------------------------------------------------------------------- words


def _print(seen: Verified) -> None:
    print(f"memory   {shown(seen.path)}")
    print(f"chunks   {seen.chunks}, {bytes_text(seen.nbytes)} read")
    counts = [
        f"{seen.count(kind)} {kind}" for kind in ("corrupt", "missing", "torn") if seen.count(kind)
    ]
    print(f"damage   {', '.join(counts) or 'none'}")
    for name, state in (("catalog", seen.catalog), ("album", seen.album)):
        if state != "whole":
            print(f"{name:<8} {state}")
    _print_damage(seen.damaged)


def _print_rebuilt(made: Rebuilt) -> None:
    print(f"memory   {shown(made.path)}")
    print(f"chunks   {made.chunks}, {bytes_text(made.nbytes)} read; the catalog is made again")
    if made.old is not None:
        print(f"old      {shown(made.old.name)}, {made.notes} notes taken over")
    if not made.notes:
        say("what was noted is lost: videos that were seen are not known, and would be seen again")
    if made.left_out:
        print(f"left out {len(made.left_out)}")
    _print_damage(made.left_out)


def _print_damage(damaged: Sequence[Damaged]) -> None:
    for one in damaged[:_MOST_LINES]:
        print(f"  {one.kind:<8} {_what(one)}: {shown(one.why)}")
    if len(damaged) > _MOST_LINES:
        print(f"  ... and {len(damaged) - _MOST_LINES} more (--json lists all)")


def _what(one: Damaged) -> str:
    place = f"{one.segment} byte {one.offset}"
    if one.number is None or one.start_s is None or one.end_s is None:
        return place
    when = span(one.start_s, one.end_s) if one.end_s >= one.start_s else clock(one.start_s)
    return f"chunk {one.number} ({when}) at {place}"
