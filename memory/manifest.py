"""What `memory.json` of an export says, read with suspicion: others may have written it.

L layers, H key/value heads, T tokens, D head dimension, A position axes.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import xxhash

from longtake.memory import files
from longtake.memory.chunk import ChunkInfo
from longtake.memory.events import Event
from longtake.memory.marks import Missing, Span

NAME = "memory.json"
KEY_BIAS = "key_bias"  # of a file, and of the tensor in it
KIND, VERSION = "longtake.memory.export", 1
SCHEMA = f"{KIND}/{VERSION}"
_READ_NBYTES = 1 << 20

Of = TypeVar("Of")


class ExportDamaged(OSError):
    """An export is not what was written, or not finished."""


@dataclass(frozen=True, slots=True)
class File:
    """One file of an export."""

    name: str  # within its folder
    nbytes: int
    checksum: str  # xxh3-64, hexadecimal

    def check(self, folder: Path) -> Path:
        """The file, every byte as it was written.  Raises ExportDamaged."""
        path = folder / self.name
        size = files.size_at(path)
        if size != self.nbytes:
            said = "is missing" if size is None else f"has {size} bytes, {self.nbytes} were written"
            raise ExportDamaged(f"{path}: {said}; export the memory again")
        digest = xxhash.xxh3_64()
        fd = files.open_to_read(path)
        try:
            for at in range(0, size, _READ_NBYTES):
                digest.update(files.read_all(fd, min(_READ_NBYTES, size - at), at))
        finally:
            os.close(fd)
        if digest.hexdigest() != self.checksum:
            raise ExportDamaged(f"{path}: its bytes are not those that were written; export again")
        return path


@dataclass(frozen=True, slots=True)
class Listed:
    """A chunk of an export."""

    info: ChunkInfo
    file: str | None  # that holds its tensors; None: only its picture is left
    picture: File | None


@dataclass(frozen=True, slots=True)
class Said:
    """A caption."""

    start_s: float
    end_s: float
    text: str
    camera: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything but tensors and pictures."""

    model: str
    fingerprint: str
    key_bias: File | None  # of the model's key projections, [L, H*D], where it has one
    files: Mapping[str, File]
    chunks: Sequence[Listed]  # in order
    captions: Sequence[Said]
    events: Sequence[Event]  # none in exports of earlier versions
    kept: Sequence[Span]
    gaps: Sequence[Missing]
    notes: Mapping[str, Any]
    complete: bool


def read_manifest(folder: Path) -> Manifest:
    """What an export says of itself.

    Raises:
        ExportDamaged: if there is none, or it does not hang together.
        NotADirectoryError: if the folder is none.
    """
    path = folder / NAME
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder}: no such folder to import from")
    if not path.is_file():
        raise ExportDamaged(
            f"{folder}: no finished export here (there is no {NAME}); make one: "
            "longtake memory export DIR OUT"
        )
    try:
        read = json.loads(path.read_bytes())
        return _manifest(path, read)
    except ExportDamaged:
        raise
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        why = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise ExportDamaged(f"{path}: cannot be understood ({why})") from error


def _manifest(path: Path, read: Any) -> Manifest:
    kind, _, version = _is(read["schema"], str).partition("/")
    if kind != KIND:
        raise ExportDamaged(f"{path}: its schema is {read['schema']!r}, expected {SCHEMA!r}")
    if version != str(VERSION):
        raise ExportDamaged(
            f"{path}: a newer longtake wrote it (version {version}), this one reads {VERSION}; "
            "upgrade longtake"
        )
    listed = [_chunk(chunk) for chunk in read["chunks"]]
    held = {file.name: file for file in map(_file, read["files"])}
    numbers = [chunk.info.number for chunk in listed]
    if sorted(set(numbers)) != numbers:
        raise ValueError("its chunks are not in order, each once")
    for chunk in listed:
        if chunk.file is not None and chunk.file not in held:
            raise ValueError(f"chunk {chunk.info.number} lies in {chunk.file}, which is not listed")
    bias = read["key_bias"]
    return Manifest(
        key_bias=None if bias is None else _file(bias),
        model=_is(read["model"], str),
        fingerprint=_is(read["fingerprint"], str),
        files=held,
        chunks=listed,
        captions=[_said(caption) for caption in read["captions"]],
        events=[_event(event) for event in read.get("events", ())],
        kept=[Span(float(start_s), float(end_s)) for start_s, end_s in read["kept"]],
        gaps=[_gap(gap) for gap in read["gaps"]],
        notes=_is(read["notes"], dict),
        complete=_is(read["complete"], bool),
    )


def _is(value: Any, kind: type[Of]) -> Of:
    if not isinstance(value, kind):
        raise TypeError(f"{value!r} is no {kind.__name__}")
    return value


def _file(read: Any) -> File:
    name = _is(read["name"], str)
    parts = PurePosixPath(name).parts
    if not parts or PurePosixPath(name).is_absolute() or ".." in parts or "\0" in name:
        raise ValueError(f"{name!r} is no name within the folder")
    return File(name, _is(read["bytes"], int), _is(read["xxh3"], str))


def _chunk(read: Any) -> Listed:
    wall_s = read["wall_s"]
    info = ChunkInfo(
        _is(read["number"], int),
        float(read["start_s"]),
        float(read["end_s"]),
        _is(read["camera"], str),
        None if wall_s is None else float(wall_s),
        tokens=_is(read["tokens"], int),
    )
    file, picture = read["file"], read["picture"]
    return Listed(
        info,
        None if file is None else _is(file, str),
        None if picture is None else _file(picture),
    )


def _said(read: Any) -> Said:
    times = float(read["start_s"]), float(read["end_s"])
    return Said(*times, _is(read["text"], str), _is(read["camera"], str))


def _event(read: Any) -> Event:
    kind, name, text, camera = (_is(read[key], str) for key in ("kind", "name", "text", "camera"))
    wall_s, score = (None if read[key] is None else float(read[key]) for key in ("wall_s", "score"))
    times = float(read["start_s"]), float(read["end_s"])
    return Event(*times, kind, name, text, camera, wall_s, score)


def _gap(read: Any) -> Missing:
    first, last, chunks = (_is(read[name], int) for name in ("first", "last", "chunks"))
    times = float(read["start_s"]), float(read["end_s"])
    camera = _is(read.get("camera", ""), str)  # earlier versions tell none
    return Missing(first, last, *times, chunks, _is(read["reason"], str), camera)
