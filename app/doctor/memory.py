"""The memory folder: may it be written, is there room, and what lies in it already.

Nothing is made or changed there; a memory is looked at beside its writer, if it has one.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from shutil import disk_usage

from longtake.doctor.checks import Check, State
from longtake.memory.survey import is_memory, survey
from longtake.ui.view import bytes_text
from longtake.wording import one_line

_SCARCE_BYTES = 1 << 30
_ADVICE = "choose another folder with --memory"


@dataclass(frozen=True, slots=True)
class Held:
    """What a memory holds."""

    model: str | None  # None: begun, and nothing seen yet
    chunks: int
    disk_bytes: int
    writer: str | None  # process that has it open
    damage: str | None  # chunks whose bytes are gone, in words


@dataclass(frozen=True, slots=True)
class MemoryFolder:
    """What is known about the folder."""

    folder: Path
    was_named: bool  # False: the current directory, where nobody asked for a memory
    exists: bool
    refusal: str  # why nothing can be written there; '' if it can
    free_bytes: int
    held: Held | None  # None: no memory there
    unreadable: str  # why the memory there cannot be read; '' if it can


def find(folder: Path | None) -> MemoryFolder:
    """Look at a folder, or at the current directory.

    Raises:
        OSError: if it cannot be looked at.
    """
    path = (folder or Path.cwd()).absolute()
    there = next(place for place in (path, *path.parents) if place.exists())
    held, unreadable = None, ""
    if is_memory(path):
        try:
            seen = survey(path)
            held = Held(seen.model, seen.chunks, seen.total_nbytes, seen.writer, seen.damage)
        except (OSError, ValueError) as error:  # damaged, or of a newer longtake
            unreadable = one_line(error)
    return MemoryFolder(
        folder=path,
        was_named=folder is not None,
        exists=path.exists(),
        refusal=_refusal(there),
        free_bytes=disk_usage(there).free,
        held=held,
        unreadable=unreadable,
    )


def judge(found: MemoryFolder) -> Iterator[Check]:
    bad: State = "problem" if found.was_named else "note"
    where = f"{found.folder}" if found.exists else f"{found.folder} (will be made)"
    if found.refusal:
        advice = f"{_ADVICE}, or change who may write here"
        yield Check("memory", "folder", bad, f"{where}: {found.refusal}", advice)
    else:
        yield Check("memory", "folder", "ok", f"{where}, writable")
    room = f"{bytes_text(found.free_bytes)} free"
    if found.free_bytes < _SCARCE_BYTES:
        yield Check("memory", "room", bad, room, f"free some space, or {_ADVICE}")
    else:
        yield Check("memory", "room", "ok", room)
    if found.unreadable:
        yield Check("memory", "memory", "problem", found.unreadable, _ADVICE)
    elif found.held is None:
        yield Check("memory", "memory", "ok", "none there")
    else:
        yield from _judge_held(found.held)


def _judge_held(held: Held) -> Iterator[Check]:
    text = f"{held.chunks} chunks, {bytes_text(held.disk_bytes)}, by model {held.model or '-'}"
    yield Check("memory", "memory", "ok", text)
    if held.damage is not None:
        advice = "put the missing files back; what is left can be asked about"
        yield Check("memory", "bytes", "problem", held.damage, advice)
    if held.writer is not None:
        text = f"process {held.writer} has this memory open"
        advice = "it can be read beside it; to add to it, close that one first"
        yield Check("memory", "writer", "note", text, advice)


def _refusal(folder: Path) -> str:
    """Why no file can be made there; '' if one can.  The one that is tried has no name."""
    if not folder.is_dir():
        return "is no folder"
    if not os.access(folder, os.W_OK | os.X_OK):
        return "may not be written by this user"
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        return error.strerror or one_line(error)
    return ""
