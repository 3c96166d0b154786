"""``longtake memory export`` and ``import``: a memory in forms that others read, and back.

No model is needed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longtake.cli.bars import bar
from longtake.cli.common import say
from longtake.cli.names import as_text, shown
from longtake.ui.view import bytes_text

if TYPE_CHECKING:
    from longtake.memory.exporting import Exported
    from longtake.memory.importing import Imported


def export(
    folder: str,
    out: str,
    start_s: float | None,
    end_s: float | None,
    force: bool,
    as_json: bool,
) -> None:
    """Write chunks, pictures and captions of a stretch of time, or of all."""
    from longtake.memory.config import MemoryConfig
    from longtake.memory.exporting import export as write
    from longtake.memory.store import Store
    from longtake.memory.survey import survey

    if start_s is not None and end_s is not None and end_s < start_s:
        raise ValueError(f"--to {end_s:g}: must not be earlier than --from {start_s:g} (seconds)")
    survey(Path(folder))  # says what is wrong with it in better words
    with (
        Store.open_as_found(Path(folder), MemoryConfig(ram_bytes=0), read_only=True) as store,
        bar("exporting") as step,
    ):
        done = write(store, Path(out), start_s=start_s, end_s=end_s, force=force, progress=step)
    if done.damaged:
        say(
            f"{len(done.damaged)} chunks cannot be read and are left out; "
            f"longtake memory verify {folder} says which"
        )
    if done.gone:
        say(f"{done.gone} chunks went while they were exported")
    if as_json:
        print(json.dumps(_exported(folder, done)))
        return
    print(
        f"{shown(done.path)}: {done.chunks} chunks, {done.pictures} pictures, {done.captions} "
        f"captions, {bytes_text(done.nbytes)}"
    )


def import_(source: str, folder: str, as_json: bool) -> None:
    """Make a memory of an export."""
    from longtake.memory.importing import import_memory

    with bar("importing") as step:
        done = import_memory(Path(source), Path(folder), step)
    if not done.complete:
        say("the export lacks chunks that could not be read when it was made")
    if as_json:
        print(json.dumps(_imported(source, done)))
        return
    print(
        f"{shown(done.path)}: {done.chunks} chunks, {done.pictures} pictures, {done.captions} "
        f"captions, by model {shown(done.model)}"
    )


def _exported(folder: str, done: Exported) -> dict[str, Any]:
    return {
        "schema": "longtake.memory.exported/1",
        "memory": as_text(folder),
        "export": as_text(done.path),
        "complete": not done.damaged,
        "chunks": done.chunks,
        "pictures": done.pictures,
        "captions": done.captions,
        "bytes": done.nbytes,
        "damaged": [{**one, "why": as_text(one["why"])} for one in done.damaged],
    }


def _imported(source: str, done: Imported) -> dict[str, Any]:
    return {
        "schema": "longtake.memory.imported/1",
        "export": as_text(source),
        "memory": as_text(done.path),
        "model": done.model,
        "complete": done.complete,
        "chunks": done.chunks,
        "pictures": done.pictures,
        "captions": done.captions,
    }
