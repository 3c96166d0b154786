"""An address becomes a `Source`: a file, a pipe, or a folder of pictures or clips.

What a source is stands here; how each is read stands in `files`, `pipe` and `folders`.  Cameras and
network addresses are told apart and refused by name.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Literal, Protocol, Self
from urllib.parse import unquote, urlsplit

from longtake.streaming.errors import SourceError, SourceNotFound, SourceNotSupported, redact
from longtake.streaming.files import FileSource
from longtake.streaming.folders import FolderSource
from longtake.streaming.frame import Frame
from longtake.streaming.pipe import Pipe, is_stdin, named_pipe, standard_input
from longtake.streaming.report import SourceReport
from longtake.streaming.sampler import FixedRate


class Source(Protocol):
    """Where frames come from; read once, in time order."""

    report: SourceReport

    @property
    def address(self) -> str:
        """Where it is, fit to be shown: without logins."""
        ...

    @property
    def kind(self) -> Literal["file", "stdin", "pipe", "pictures", "clips"]: ...

    @property
    def promised_s(self) -> float | None:
        """Session time of its promised end; None if it promises nothing."""
        ...

    def frames(self) -> Iterator[Frame]:
        """The frames worth seeing.  Stopping early is fine; `report` then says so."""
        ...

    def interrupt(self) -> None:
        """Let `frames` end soon though it waits for more to come; from any thread."""
        ...

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def open_source(
    address: str | os.PathLike[str],
    *,
    fps: float,
    start_s: float = 0.0,
    stop_s: float | None = None,
    max_side: int = 1024,
    ticks_from_s: float | None = None,
    stdin: BinaryIO | None = None,
) -> Source:
    """Open whatever lies at `address`; close it when done, it is a context manager.

    Args:
        address: a path to a video, a picture, or a folder of either; ``file://`` works too.  ``-``
            is standard input: it, and a named pipe, are waited for until the video begins.
        fps: frames to keep a second of session time; pictures of a folder are ``1 / fps`` apart.
        start_s: session time of the first frame wanted.  A frame 60 s into a file has
            ``pts_s == 60`` wherever reading begins.
        stop_s: session time before which to stop.
        max_side: larger pictures are scaled down to this many pixels, aspect kept.
        ticks_from_s: where the rate's ticks count from; from the first frame wanted if None.
        stdin: what is read for ``-``; None for this process's own.

    Raises:
        ValueError: if an argument is out of range.
        SourceError: if nothing there can be read; its subclasses in `errors` say why.
    """
    if not (math.isfinite(start_s) and start_s >= 0):
        raise ValueError(f"start_s={start_s}: needs a finite time, 0 or later")
    if stop_s is not None and not (math.isfinite(stop_s) and stop_s > start_s):
        raise ValueError(f"stop_s={stop_s}: needs a finite time after start_s={start_s:g}")
    if max_side < 1:
        raise ValueError(f"max_side={max_side}: needs at least one pixel")
    sampler = FixedRate(fps, ticks_from_s)
    path = None if is_stdin(address) else find_path(address)
    if path is not None and path.is_dir():
        return FolderSource(
            path, sampler=sampler, start_s=start_s, stop_s=stop_s, max_side=max_side
        )
    if path is None:
        place: Path | Pipe = standard_input(stdin)
    else:
        place = named_pipe(path) if path.is_fifo() else path
    return FileSource(place, sampler=sampler, start_s=start_s, stop_s=stop_s, max_side=max_side)


def has_scheme(address: str) -> bool:
    """Whether this is an address like ``rtsp://...`` or ``webcam:0``, not a path."""
    return re.match(r"[a-z][a-z0-9+.-]+://|webcam:", address, re.IGNORECASE) is not None


def find_path(address: str | os.PathLike[str]) -> Path:
    """The file, folder or named pipe that `address` means.

    Raises:
        SourceNotFound: if there is nothing.
        SourceNotSupported: if it is an address of another kind, standard input, or a device.
    """
    text = os.fspath(address)
    shown = redact(text)
    if is_stdin(text):
        raise SourceNotSupported("-: is standard input and has no path; a file of that name is ./-")
    try:
        path = Path(text).expanduser()
        if text.lower().startswith("file://"):
            path = Path(unquote(urlsplit(text).path))
        if path.is_dir() or path.is_file() or path.is_fifo():
            return path
        exists = path.exists()
    except (OSError, RuntimeError) as error:  # a name too long, a closed folder, no such ~user
        if not has_scheme(text):
            raise SourceError(f"{shown}: cannot be looked up ({error})") from error
        exists = False
    if exists:
        raise SourceNotSupported(f"{shown}: is a device or a socket, not a file or a folder")
    if has_scheme(text) and not text.lower().startswith("file://"):
        raise SourceNotSupported(
            f"{shown}: only files and folders are read so far, no cameras or network "
            "addresses; record it into a file, or give a path"
        )
    if os.path.lexists(path):
        raise SourceNotFound(f"{shown}: is a link that leads nowhere, or back to itself")
    where = "" if path.is_absolute() else f" in {Path.cwd()}"
    raise SourceNotFound(f"{shown}: no such file or folder{where}; is the name right?")
