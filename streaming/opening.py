"""Open a file or a pipe with FFmpeg, or say what is wrong with it.

Nothing is decoded here, and which of its streams is wanted is not known.
"""

from __future__ import annotations

from pathlib import Path

import av
from av.container import InputContainer

from longtake.streaming.errors import (
    NeedsSeeking,
    NotAVideo,
    SourceError,
    SourceNotFound,
    redact,
)
from longtake.streaming.mp4 import has_index, has_index_behind_pictures
from longtake.streaming.pipe import Pipe

# A picture that would take more is refused by the decoder, before it takes the memory.
MAX_SIDE_PX = 16_384
MAX_AREA_PX = 64 << 20
PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})
SEEKLESS = "remux it (ffmpeg -movflags +faststart, or into mkv or ts), or save it to a file"


def open_container(place: Path | Pipe) -> InputContainer:
    """Open what lies there; FFmpeg may look into its first seconds.

    Raises:
        SourceError: if it cannot be read.
        SourceNotFound: if it went away since somebody looked.
        NotAVideo: if it can be read and is none.
        NeedsSeeking: if it comes through a pipe, and its index comes last.
    """
    if isinstance(place, Pipe):
        return _open_pipe(place)
    shown = redact(str(place))
    try:
        # Absolute: FFmpeg takes "a:b.mp4" for a protocol.
        container = av.open(
            str(place.absolute()), "r", options=_options(), metadata_errors="ignore"
        )
    except av.FFmpegError as error:
        if isinstance(error, FileNotFoundError):
            raise SourceNotFound(f"{shown}: no such file; it was there a moment ago") from error
        if isinstance(error, PermissionError):
            raise SourceError(f"{shown}: may not be read (permission denied)") from error
        if isinstance(error, OSError):
            raise SourceError(f"{shown}: cannot be read ({describe(error)})") from error
        what = _what_it_is(place, describe(error))
        raise NotAVideo(f"{shown}: not a video: {what}") from error
    if container.format.name == "tty":  # FFmpeg would film a text file
        container.close()
        raise NotAVideo(f"{shown}: not a video: it holds text")
    return container


def describe(error: av.FFmpegError) -> str:
    """What FFmpeg says, without the address it says it about."""
    return redact(error.strerror or type(error).__name__)


def raise_failure(pipe: Pipe) -> None:
    """Raise what was no fault of the bytes: somebody pressed Ctrl-C while they were waited for."""
    if pipe.failure is not None and not isinstance(pipe.failure, Exception):
        raise pipe.failure


def _open_pipe(pipe: Pipe) -> InputContainer:
    if not pipe.seekable() and has_index_behind_pictures(pipe.look):
        raise NeedsSeeking(
            f"{pipe.shown}: this MP4 has its index behind its pictures and cannot be read as it "
            f"comes: {SEEKLESS}"
        )
    raise_failure(pipe)
    try:
        return av.open(pipe, "r", options=_options(), metadata_errors="ignore")
    except av.FFmpegError as error:
        raise_failure(pipe)
        if pipe.failure is not None:
            raise SourceError(f"{pipe.shown}: cannot be read ({pipe.failure})") from pipe.failure
        what = _what_bytes_are(pipe.head) or f"no known format ({describe(error)})"
        raise NotAVideo(f"{pipe.shown}: not a video: {what}") from error


def _options() -> dict[str, str]:
    return {
        "pattern_type": "none",  # else "%d" in a picture's name means a series
        "protocol_whitelist": "file,crypto,data",  # a playlist in a file reaches no network
        **decoder_options(),
    }


def decoder_options() -> dict[str, str]:
    """For every decoder: how many pixels a picture may have."""
    return {"max_pixels": str(MAX_AREA_PX)}


def _what_it_is(path: Path, reason: str) -> str:
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(4096)
            file.seek(0)

            def read_at(at: int, count: int) -> bytes:
                file.seek(at)
                return file.read(count)

            lacks_index = head[4:8] == b"ftyp" and not has_index(read_at)
    except OSError:  # it went away while we looked
        return reason
    if lacks_index:
        return (
            f"it begins like an MP4 but is incomplete: its index ('moov') is missing in "
            f"{size} bytes; the recording or the download was cut off, get the file again"
        )
    return _what_bytes_are(head) or f"no known format in its {size} bytes ({reason})"


def _what_bytes_are(head: bytes) -> str | None:
    """What these first bytes say, where FFmpeg finds no video in them; None if nothing."""
    if not head:
        return "it is empty (0 bytes)"
    if not any(byte < 9 or 13 < byte < 32 for byte in head):
        return "it holds text"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "animated WebP is not read; convert it to GIF or MP4"
    return None
