"""What the FFmpeg inside PyAV can read, and what stands between this user and a camera.

FFmpeg has no list of its protocols that PyAV shows, so each one is tried on a loopback port that
is held by us and answers nobody: a protocol that is there is refused by the port, one that is
not is refused by FFmpeg.  Nothing leaves this machine.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
from av.codec.codec import Codec, UnknownCodecError
from av.codec.hwaccel import hwdevices_available

from longtake.doctor.checks import Check

_BY_TCP = ("http", "https", "rtmp", "rtsp", "rtsps", "tcp")
_BY_UDP = ("rtp", "srt", "udp")
_TIMEOUT_S = 0.5
_DECODERS: Mapping[str, tuple[str, ...]] = {  # codec: any of these decodes it without hardware
    "h264": ("h264", "libopenh264"),
    "hevc": ("hevc",),
    "vp9": ("vp9", "libvpx-vp9"),
    "av1": ("libdav1d", "libaom-av1", "libgav1"),  # FFmpeg's own av1 needs a GPU's help
    "mpeg4": ("mpeg4",),
    "mjpeg": ("mjpeg",),
}
_NEEDED = "h264"
_ADVICE = "install PyAV's own wheel, whose FFmpeg has it: pip install --force-reinstall av"


@dataclass(frozen=True, slots=True)
class Media:
    """What FFmpeg is made of."""

    libraries: Mapping[str, str]
    protocols: Mapping[str, bool]
    decoders: Mapping[str, bool]
    hardware: tuple[str, ...]  # kinds of hardware decoding that are built in


@dataclass(frozen=True, slots=True)
class Camera:
    path: str
    name: str
    is_readable: bool


@dataclass(frozen=True, slots=True)
class Cameras:
    devices: tuple[Camera, ...]
    has_v4l2: bool  # PyAV can read Linux's cameras
    backends: tuple[str, ...]  # OpenCV's ways to a camera


# ------------------------------------------------------------------ FFmpeg


def find_media() -> Media:
    av.logging.set_level(None)  # as `streaming.decoding` does, and why is said there
    versions = {name: ".".join(map(str, v)) for name, v in av.library_versions.items()}
    protocols = {name: _knows(name, socket.SOCK_STREAM) for name in _BY_TCP}
    protocols |= {name: _knows(name, socket.SOCK_DGRAM) for name in _BY_UDP}
    protocols["hls"] = "hls" in av.formats_available and protocols["http"]
    decoders = {codec: any(map(_decodes, names)) for codec, names in _DECODERS.items()}
    return Media(versions, dict(sorted(protocols.items())), decoders, tuple(hwdevices_available()))


def judge_media(media: Media) -> Iterator[Check]:
    libraries = ", ".join(f"{name} {number}" for name, number in media.libraries.items())
    yield Check("media", "FFmpeg", "ok", libraries)
    yield from _there_and_missing("protocols", media.protocols, "")
    yield from _there_and_missing("decoders", media.decoders, _NEEDED)
    hardware = ", ".join(media.hardware) or "none"
    yield Check("media", "hardware decoding", "ok", f"built in: {hardware}")


def _there_and_missing(name: str, known: Mapping[str, bool], needed: str) -> Iterator[Check]:
    there = ", ".join(kind for kind, is_there in known.items() if is_there) or "none"
    missing = [kind for kind, is_there in known.items() if not is_there]
    if not missing:
        yield Check("media", name, "ok", there)
    elif needed in missing:
        yield Check("media", name, "problem", f"no {', '.join(missing)}; {there}", _ADVICE)
    else:
        advice = f"sources of {' and '.join(missing)} cannot be read with this build of FFmpeg"
        yield Check("media", name, "note", f"{there}; no {', '.join(missing)}", advice)


def _knows(protocol: str, kind: socket.SocketKind) -> bool:
    """Whether FFmpeg knows a protocol; the port is bound, so that nobody else can answer there."""
    with closing(socket.socket(socket.AF_INET, kind)) as held:
        held.bind(("127.0.0.1", 0))
        address = f"{protocol}://127.0.0.1:{held.getsockname()[1]}/"
        proxy = {"http_proxy": ""} if protocol in ("http", "https") else {}  # not past the loopback
        try:
            av.open(address, options=proxy, timeout=_TIMEOUT_S).close()
        except av.ProtocolNotFoundError:
            return False
        except (OSError, av.FFmpegError):  # refused, in use, or nobody answers: it was tried
            return True
    return True


def _decodes(name: str) -> bool:
    try:
        Codec(name, "r")
    except UnknownCodecError:
        return False
    return True


# ------------------------------------------------------------------ cameras


def find_cameras() -> Cameras:
    registry = cv2.videoio_registry
    names = [registry.getBackendName(backend) for backend in registry.getCameraBackends()]
    has_v4l2 = any("v4l2" in name.split(",") for name in av.formats_available)
    return Cameras(tuple(_devices()), has_v4l2, tuple(dict.fromkeys(names)))


def judge_cameras(cameras: Cameras) -> Iterator[Check]:
    for camera in cameras.devices:
        text = f"{camera.path}: {camera.name}"
        if camera.is_readable:
            yield Check("cameras", "camera", "ok", text)
        else:
            advice = "add this user to the device's group: sudo usermod -aG video $USER"
            yield Check("cameras", "camera", "note", f"{text}; may not be opened", advice)
    if not cameras.devices:
        where = " at /dev/video*" if sys.platform == "linux" else " looked for on this system"
        yield Check("cameras", "camera", "ok", f"none{where}")
    if sys.platform == "linux" and cameras.has_v4l2:
        yield Check("cameras", "V4L2 in PyAV", "ok", "yes")
    elif sys.platform == "linux":
        yield Check("cameras", "V4L2 in PyAV", "note", "not in this build of FFmpeg")
    yield Check("cameras", "OpenCV's ways", "ok", ", ".join(cameras.backends) or "none")


def _devices() -> Iterator[Camera]:
    if sys.platform != "linux":
        return
    for path in sorted(Path("/dev").glob("video*")):
        try:
            name = Path(f"/sys/class/video4linux/{path.name}/name").read_text().strip()
        except OSError:
            name = "unnamed"
        yield Camera(str(path), name, os.access(path, os.R_OK | os.W_OK))
