"""Cameras that ffmpeg's command line plays: live and recorded HLS, MPEG-TS over UDP.

HLS lies in a folder, which `http_camera.HttpFolder` serves.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

from tests.rigs.transport import free_udp_port

FOUND_S = 20.0
PLAYLIST = "live.m3u8"


def missing() -> str:
    """Why these cannot be had on this machine; empty where they can."""
    return "" if shutil.which("ffmpeg") else "there is no ffmpeg on this machine"


def _picture(size: str, fps: int) -> list[str]:
    encoder = f"-c:v libx264 -preset ultrafast -tune zerolatency -pix_fmt yuv420p -g {fps // 2}"
    return ["-f", "lavfi", "-i", f"testsrc2=size={size}:rate={fps}", *encoder.split()]


class Ffmpeg:
    """One process of ffmpeg; ended by its own id."""

    def __init__(self, *arguments: str) -> None:
        self._command = ["ffmpeg", "-nostdin", "-loglevel", "error", *arguments]
        self._process: subprocess.Popen[bytes] | None = None
        self.ready_s = 0.0

    def start(self) -> None:
        assert self._process is None
        self._process = subprocess.Popen(self._command, stderr=subprocess.DEVNULL)
        self.ready_s = time.monotonic()

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)
        self.ready_s = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self.kill()


class UdpCamera(Ffmpeg):
    """MPEG-TS to a free port of loopback."""

    def __init__(self, size: str = "320x240", fps: int = 25) -> None:
        self.url = f"udp://127.0.0.1:{free_udp_port()}"
        where = ["-f", "mpegts", f"{self.url}?pkt_size=1316"]
        super().__init__("-re", *_picture(size, fps), *where)

    def __enter__(self) -> UdpCamera:
        self.start()
        return self


class HlsCamera(Ffmpeg):
    """A live playlist in `folder`; there when `start` returns, that is after one segment.

    Its segments last `segment_s`, a multiple of half a second.
    """

    def __init__(
        self, folder: Path, size: str = "320x240", fps: int = 24, segment_s: float = 0.5
    ) -> None:
        self.playlist = folder / PLAYLIST
        live = f"-f hls -hls_time {segment_s} -hls_list_size 4"
        live += " -hls_flags delete_segments+omit_endlist"
        super().__init__("-re", *_picture(size, fps), *live.split(), str(self.playlist))

    def start(self) -> None:
        """Begin anew and wait for the first segment."""
        for left in self.playlist.parent.glob("live*"):
            left.unlink()
        super().start()
        pause = threading.Event()
        for _ in range(round(FOUND_S / 0.01)):
            if self.playlist.exists():
                self.ready_s = time.monotonic()
                return
            pause.wait(0.01)
        raise RuntimeError(f"no {self.playlist} after {FOUND_S:g} s")

    def __enter__(self) -> HlsCamera:
        self.start()
        return self


def record_hls(folder: Path, seconds: float, size: str = "320x240", fps: int = 10) -> Path:
    """A finished playlist of `seconds` in segments of about a second; where it lies."""
    playlist = folder / "recorded.m3u8"
    form = "-f hls -hls_time 1 -hls_playlist_type vod"
    command = ["ffmpeg", "-nostdin", "-loglevel", "error", *_picture(size, fps)]
    subprocess.run([*command, "-t", str(seconds), *form.split(), str(playlist)], check=True)
    return playlist
