"""The memory folder: may it be written, is there room, and what lies in it already.

Nothing is made or changed there; a memory is opened read-only, beside its writer if it has one.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from shutil import disk_usage

from longtake.checkup import Check, said
from longtake.memory.database import connect, translated
from longtake.memory.folder import CATALOG
from longtake.memory.store import Store
from longtake.ui.view import bytes_text

_LOCK = "writer.lock"
_SCARCE_BYTES = 1 << 30
_ADVICE = "choose another folder with --memory"


@dataclass(frozen=True, slots=True)
class Held:
    """What a memory holds."""

    model: str
    chunks: int
    disk_bytes: int


@dataclass(frozen=True, slots=True)
class MemoryFolder:
    """What is known about the folder."""

    folder: Path
    was_named: bool  # False: the current directory, where nobody asked for a memory
    exists: bool
    refusal: str  # why nothing can be written there; '' if it can
    free_bytes: int
    held: Held | None  # None: no memory there
    writer: str | None  # process that has it open
    damage: str = ""  # why the memory there cannot be read


def find(folder: Path | None) -> MemoryFolder:
    """Look at a folder, or at the current directory.

    Raises:
        OSError: if it cannot be looked at.
    """
    path = (folder or Path.cwd()).absolute()
    there = next(place for place in (path, *path.parents) if place.exists())
    held, damage = None, ""
    if (path / CATALOG).is_file():
        try:
            held = _read(path)
        except (OSError, ValueError) as error:
            damage = said(error)
    return MemoryFolder(
        folder=path,
        was_named=folder is not None,
        exists=path.exists(),
        refusal=_refusal(there),
        free_bytes=disk_usage(there).free,
        held=held,
        writer=_writer(path / _LOCK),
        damage=damage,
    )


def judge(found: MemoryFolder) -> Iterator[Check]:
    bad = "problem" if found.was_named else "note"
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
    if found.damage:
        yield Check("memory", "memory", "problem", found.damage, _ADVICE)
    elif found.held is None:
        yield Check("memory", "memory", "ok", "none there")
    else:
        held = found.held
        text = f"{held.chunks} chunks, {bytes_text(held.disk_bytes)}, by model {held.model}"
        yield Check("memory", "memory", "ok", text)
    if found.writer is not None:
        text = f"process {found.writer} has this memory open"
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
        return error.strerror or said(error)
    return ""


def _read(folder: Path) -> Held:
    catalog = folder / CATALOG
    with closing(connect(catalog, read_only=True, synchronous="OFF")) as database:
        with translated(catalog):
            signed = database.execute("SELECT model, fingerprint FROM take").fetchone()
    model, fingerprint = signed or ("", "")
    with Store.open(folder, model=model, fingerprint=fingerprint, read_only=True) as store:
        return Held(model, len(store), store.stats().disk_bytes)


def _writer(lock: Path) -> str | None:
    """The process that holds the writer's lock; None if nobody does."""
    try:
        fd = os.open(lock, os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)  # given back at once
    except BlockingIOError:
        return os.pread(fd, 32, 0).decode(errors="replace").strip() or "unknown"
    finally:
        os.close(fd)
    return None
