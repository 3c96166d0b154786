"""Videos that visitors send: written to a private folder, checked by their content, and removed.

Bytes are counted while they come, and never more is written than may be.  What is in a file is
found out by FFmpeg among formats that hold all they need: a playlist could name other files of
this machine.  How bytes come over the network is known to `upload_form`.
"""

from __future__ import annotations

import os
import secrets
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from longtake.server.private_folder import PrivateFolder, remove_left
from longtake.server.takes.places import Places
from longtake.server.takes.refusals import Ending
from longtake.streaming.errors import NotAVideo

if TYPE_CHECKING:
    from longtake.server.config import ServeConfig

# FFmpeg's demuxers that read their file alone: no playlists, no lists of other files.
FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,ogg,asf,mjpeg,h264,hevc,ivf,m4v,"
    "mpegvideo,gif,jpeg_pipe,png_pipe,webp_pipe,bmp_pipe"
)
_OPTIONS = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}
MOST_AT_ONCE = 4  # that are on their way
_PNG = b"\x89PNG\r\n\x1a\n"
_DOUBT_S = 1.0  # what containers say of their length is rounded


class TooLarge(ValueError):
    """More bytes, pixels or seconds than may be."""


@dataclass(frozen=True, slots=True)
class Checked:
    """An upload that may be watched."""

    path: Path
    size: tuple[int, int] | None  # width, height
    stop_s: float | None  # where to end, of one that does not say how long it is


class Uploads:
    """Of one server; a context manager: leaving it removes the folder with all that is in it.
    What servers left there that were killed is removed when it begins.

    Args:
        folder: where its own folder is made; None: where the system keeps what is temporary.
    """

    def __init__(self, config: ServeConfig, folder: Path | None = None) -> None:
        self._config, self._parent = config, folder
        self._lock = threading.Lock()
        self._folder: PrivateFolder | None = None
        self._is_closed = False
        self._places = Places(MOST_AT_ONCE, "videos are being sent")
        remove_left(folder)

    def begin(self) -> Upload:
        """An empty upload, to be written.

        Raises:
            OSError: if the folder cannot be made or written.
            Ending: if the server is being closed.
            TooMany: if as many are on their way as may be.
        """
        leave = self._places.take()
        try:
            with self._lock:
                if self._is_closed:
                    raise Ending("this server is ending: nothing is uploaded any more")
                if self._folder is None:
                    self._folder = PrivateFolder("uploads", self._parent)
                path = self._folder.path / secrets.token_hex(16)
            return Upload(path, self._config.max_upload_bytes, leave)
        except BaseException:
            leave()
            raise

    def check(self, path: Path) -> Checked:
        """What an upload is, by its content.

        Raises:
            NotAVideo: if no picture comes out of it, or it is of no format that may be sent.
            TooLarge: if its pictures are too large, or it lasts too long.
        """
        return check(path, self._config)

    def close(self) -> None:
        """May be called twice."""
        with self._lock:
            self._is_closed = True
            folder, self._folder = self._folder, None
        if folder is not None:
            folder.remove()

    def __enter__(self) -> Uploads:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Upload:
    """One file on its way; `discard` unless somebody takes it over.

    Args:
        ended: called when it is on its way no more; may be called twice.
    """

    def __init__(
        self, path: Path, most_bytes: int, ended: Callable[[], object] = lambda: None
    ) -> None:
        self.path, self.bytes, self._most_bytes = path, 0, most_bytes
        self._ended = ended
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        self._file: BinaryIO | None = os.fdopen(os.open(path, flags, 0o600), "wb")

    def write(self, data: bytes) -> None:
        """Raises `TooLarge` before more is written than may be, and OSError where the disk is
        full."""
        assert self._file is not None, "a finished upload is not written"
        if self.bytes + len(data) > self._most_bytes:
            raise TooLarge(
                f"the video has more than {self._most_bytes} bytes, which is the most that may be "
                "sent: cut it or scale it down"
            )
        self.bytes += len(data)
        self._file.write(data)

    def finish(self) -> Path:
        """All of it has come."""
        self._end()
        return self.path

    def discard(self) -> None:
        """Remove it.  May be called twice, and behind `finish`."""
        self._end()
        self.path.unlink(missing_ok=True)

    def _end(self) -> None:
        file, self._file = self._file, None
        try:
            if file is not None:
                file.close()
        finally:
            self._ended()


def check(path: Path, config: ServeConfig) -> Checked:
    """As `Uploads.check`."""
    import av

    if path.stat().st_size == 0:
        raise NotAVideo("the upload is empty (0 bytes)")
    try:
        container = av.open(str(path), "r", options=_OPTIONS, metadata_errors="ignore")
    except av.FFmpegError as error:
        raise NotAVideo(
            "the upload is no video that can be read here: it is cut off, or of a format that may "
            "not be sent; send MP4, WebM, MKV, AVI, MPEG-TS, or a picture"
        ) from error
    with container:
        if not container.streams.video:
            raise NotAVideo("the upload holds no pictures, only sound or text")
        stream = container.streams.video[0]
        context = stream.codec_context
        width, height = (0, 0) if context is None else (context.width, context.height)
        duration = container.duration or 0
        promised_s = duration / 1e6 if duration > 0 else None
        if not width * height:
            width, height = _told_size(path)
    _check_pixels(width, height, config.max_picture_pixels)
    if promised_s is not None and promised_s > config.max_upload_s + _DOUBT_S:
        raise TooLarge(
            f"the video lasts {promised_s:.0f} s, and at most {config.max_upload_s:g} s may be "
            "sent: cut it"
        )
    is_known = promised_s is not None
    size = (width, height) if width and height else None
    return Checked(path, size, None if is_known else config.max_upload_s)


def _told_size(path: Path) -> tuple[int, int]:
    """By a PNG's own header, of which FFmpeg learns no size before it decodes it; (0, 0) of
    anything else."""
    with path.open("rb") as file:
        head = file.read(24)
    if len(head) < 24 or not head.startswith(_PNG):
        return 0, 0
    width, height = struct.unpack(">II", head[16:])
    return width, height


def _check_pixels(width: int, height: int, most: int) -> None:
    if width * height > most:
        raise TooLarge(
            f"its pictures have {width} x {height} pixels, more than {most}: scale the video down"
        )
