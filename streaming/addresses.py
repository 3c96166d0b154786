"""What a user typed, sorted into what can be watched: files, pipes, devices, network cameras.

    clip.mp4  frames/  -  webcam:0  /dev/video0  rtsp://  http://  udp://  lavfi:GRAPH

Nothing is opened here; whether an HTTP address is a camera or a recording only opening tells.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

from longtake.streaming.errors import SourceError, SourceNotFound, SourceNotSupported, redact
from longtake.streaming.pipe import is_stdin

Kind = Literal["file", "folder", "stdin", "pipe", "device", "rtsp", "http", "udp", "lavfi"]
SCHEMES: dict[str, Kind] = {
    "rtsp": "rtsp",
    "rtsps": "rtsp",
    "http": "http",
    "https": "http",
    "udp": "udp",
}
CAMERAS = frozenset({"device", "rtsp", "udp", "lavfi"})  # live whenever nobody says otherwise
SUPPORTED = (
    "a path, a folder, - (standard input), webcam:0, /dev/video0, rtsp:// rtsps://, "
    "http:// https:// (MJPEG, HLS, recordings), udp:// (MPEG-TS)"
)
_LIKE_AN_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://|webcam:|lavfi:", re.IGNORECASE)
_DEVICE = re.compile(r"/dev/(?:video\d+|v4l/.+)")


@dataclass(frozen=True, slots=True)
class Address:
    """One source by its address; what is shown of it hides logins and query values.

    Args:
        text: as it was given.
        kind: what lies there.
        url: what is opened: an address, a device's path, a filter graph, or a file's path.
        format: FFmpeg's demuxer by name; None where it finds out.
    """

    text: str = field(repr=False)
    kind: Kind
    url: str = field(repr=False)
    format: str | None = None

    @property
    def shown(self) -> str:
        """Fit for messages and logs."""
        return "standard input" if self.kind == "stdin" else redact(self.text)

    @property
    def is_remote(self) -> bool:
        """Whether FFmpeg opens it by its address: it is no file and no pipe of this machine."""
        return self.kind == "http" or self.kind in CAMERAS

    def __repr__(self) -> str:
        return f"Address({self.shown!r}, {self.kind})"


def parse_address(address: str | os.PathLike[str], allow: Collection[str] = ()) -> Address:
    """Sort an address.

    Args:
        address: as it was typed.
        allow: kinds that are refused unless named: ``lavfi``, whose graphs can read any file.

    Raises:
        SourceNotFound: if it is a path and nothing lies there.
        SourceNotSupported: if it is of no kind that is read, or not allowed.
    """
    text = os.fspath(address)
    scheme = text.partition(":")[0].lower() if has_scheme(text) else ""
    if is_stdin(text):
        return Address(text, "stdin", text)
    if scheme in SCHEMES:
        return _networked(text, SCHEMES[scheme])
    if scheme == "lavfi":
        return _graph(text, allow)
    if scheme == "webcam":
        return _webcam(text)
    if _DEVICE.fullmatch(text):
        return Address(text, "device", text, "v4l2")
    if scheme and scheme != "file" and not _lies_there(text):
        raise SourceNotSupported(
            f"{redact(text)}: addresses of the kind {scheme}: are not read; what is: {SUPPORTED}"
        )
    path = find_path(text)
    kind: Kind = "folder" if path.is_dir() else "pipe" if path.is_fifo() else "file"
    return Address(text, kind, str(path.absolute()))


def is_live(address: Address, wish: bool | None) -> bool | None:
    """Whether it is watched as a camera: the newest frame wins, and what breaks is made anew.

    Args:
        wish: what the user says; None where nothing was said.

    Returns:
        None where only opening tells: over HTTP, and nothing was said.
    """
    if wish is not None:
        return wish
    if address.kind == "http":
        return None
    return address.kind in CAMERAS


def has_scheme(address: str) -> bool:
    """Whether this is an address like ``rtsp://...``, ``webcam:0`` or ``lavfi:...``, not a path."""
    return _LIKE_AN_ADDRESS.match(address) is not None


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
        raise SourceNotSupported(f"{shown}: is no path to a file or a folder")
    if os.path.lexists(path):
        raise SourceNotFound(f"{shown}: is a link that leads nowhere, or back to itself")
    where = "" if path.is_absolute() else f" in {Path.cwd()}"
    raise SourceNotFound(f"{shown}: no such file or folder{where}; is the name right?")


def _networked(text: str, kind: Kind) -> Address:
    try:
        parts = urlsplit(text)
        has_host = bool(parts.netloc.rpartition("@")[2])
        _ = parts.port
    except ValueError:  # its words may quote the login
        has_host = False
    # A password with an unescaped / or ? looks like a broken host; FFmpeg is asked all the same.
    if not has_host and "@" not in text:
        raise SourceNotSupported(
            f"{redact(text)}: names no host, or a port that is no number; write it as "
            f"{text.partition(':')[0].lower()}://HOST[:PORT]/PATH"
        )
    return Address(text, kind, text)


def _webcam(text: str) -> Address:
    number = text.partition(":")[2]
    if not re.fullmatch(r"\d{1,4}", number):
        raise SourceNotSupported(
            f"{text}: names no camera; write webcam:0 for the first one, or /dev/video0"
        )
    return Address(text, "device", f"/dev/video{int(number)}", "v4l2")


def _graph(text: str, allow: Collection[str]) -> Address:
    if "lavfi" not in allow:
        raise SourceNotSupported(
            f"{redact(text)}: a filter graph can read any file and address, so it has to be "
            "allowed: --allow-lavfi, or CaptureConfig(allow={'lavfi'})"
        )
    graph = text.partition(":")[2]
    if not graph.strip():
        raise SourceNotSupported(f"{text}: names no graph; for example lavfi:testsrc=rate=10")
    return Address(text, "lavfi", graph, "lavfi")


def _lies_there(text: str) -> bool:
    try:
        return Path(text).exists()
    except OSError:
        return False
