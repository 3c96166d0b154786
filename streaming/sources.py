"""An address becomes a `Source`: a file, a pipe, a folder, a recording over the network.

What a source is stands here, and whether an address is a camera, which `capture` watches instead;
how each is read stands in `files`, `pipe` and `folders`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import BinaryIO, Literal, Protocol, Self
from urllib.parse import unquote

from longtake.streaming.addresses import (
    CAMERAS,
    Address,
    Kind,
    find_path,
    has_scheme,
    is_live,
    parse_address,
)
from longtake.streaming.camera_stream import open_camera
from longtake.streaming.capture_config import CaptureConfig
from longtake.streaming.connecting import Remote, may_be_named
from longtake.streaming.errors import SourceError, SourceNotSupported
from longtake.streaming.files import FileSource
from longtake.streaming.folders import CLIP_SUFFIXES, FolderSource
from longtake.streaming.frame import Frame
from longtake.streaming.opening import PICTURE_SUFFIXES
from longtake.streaming.pipe import Pipe, is_stdin, named_pipe, standard_input
from longtake.streaming.report import SourceReport
from longtake.streaming.sampler import FixedRate

__all__ = ["Source", "find_path", "has_scheme", "is_camera", "open_source"]


class Source(Protocol):
    """Where frames come from; read once, in time order."""

    report: SourceReport

    @property
    def address(self) -> str:
        """Where it is, fit to be shown: without logins."""
        ...

    @property
    def kind(self) -> Kind | Literal["pictures", "clips"]: ...

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
    capture: CaptureConfig | None = None,
) -> Source:
    """Open whatever lies at `address`; close it when done, it is a context manager.

    Args:
        address: a path to a video, a picture, or a folder of either; ``file://`` works too.  ``-``
            is standard input: it, and a named pipe, are waited for until the video begins.  An
            address of the network is read from its beginning to its end.
        fps: frames to keep a second of session time; pictures of a folder are ``1 / fps`` apart.
        start_s: session time of the first frame wanted.  A frame 60 s into a file has
            ``pts_s == 60`` wherever reading begins.
        stop_s: session time before which to stop.
        max_side: larger pictures are scaled down to this many pixels, aspect kept.
        ticks_from_s: where the rate's ticks count from; from the first frame wanted if None.
        stdin: what is read for ``-``; None for this process's own.
        capture: how an address of the network is opened; a camera's with ``live=False`` alone.

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
    place = _place(address, capture or CaptureConfig(), stdin)
    if isinstance(place, Path) and place.is_dir():
        return FolderSource(
            place, sampler=sampler, start_s=start_s, stop_s=stop_s, max_side=max_side
        )
    return FileSource(place, sampler=sampler, start_s=start_s, stop_s=stop_s, max_side=max_side)


def is_camera(address: str | os.PathLike[str], capture: CaptureConfig) -> bool:
    """Whether an address is watched as a camera, by `capture.Capture`, or read, by `open_source`.

    Over HTTP, where nobody said, it is opened for a moment, at most about `connect_s`.  What
    cannot be reached then counts as a camera, to be waited for, unless it is called like a clip.

    Raises:
        SourceError: if nothing can be watched there; see `parse_address`.
    """
    if capture.passage is not None:
        may_be_named(address)
    parsed = parse_address(address, capture.allow)
    wish = is_live(parsed, capture.live)
    if wish is not None:
        return wish
    try:
        camera = open_camera(parsed, capture)
    except SourceNotSupported:
        raise
    except SourceError:
        if _is_called_a_clip(parsed):
            raise
        return True
    with camera:
        return camera.is_live


def _place(
    address: str | os.PathLike[str], capture: CaptureConfig, stdin: BinaryIO | None
) -> Path | Pipe | Remote:
    if capture.passage is not None:
        may_be_named(address)
    if is_stdin(address):
        return standard_input(stdin)
    parsed = parse_address(address, capture.allow)
    if parsed.kind in CAMERAS and capture.live is not False:
        raise SourceNotSupported(
            f"{parsed.shown}: is a camera and has no end to be read to; watch it live, or record "
            "it into a file (live=False reads it from now on, every frame)"
        )
    if parsed.is_remote:
        return Remote(parsed, capture)
    path = find_path(address)
    return named_pipe(path) if parsed.kind == "pipe" else path


def _is_called_a_clip(address: Address) -> bool:
    path = unquote(address.url.partition("?")[0].partition("#")[0])
    return PurePosixPath(path).suffix.lower() in CLIP_SUFFIXES | PICTURE_SUFFIXES
