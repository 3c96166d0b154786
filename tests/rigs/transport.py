"""MPEG-TS in the making, a part for every frame: whole, damaged, without times, begun anew.

Also raw H.264, which has no times at all.  How fast parts go out, and where to, is their sender's
business; `UdpSender` is one.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Literal

import av
import numpy as np

PACKET_BYTES = 188
DATAGRAM_BYTES = 7 * PACKET_BYTES
VIDEO_STREAM_ID = 0xE0


def parts_of(
    seconds: float,
    *,
    fps: int = 25,
    size: tuple[int, int] = (160, 120),
    first_s: float = 10.0,
    container: Literal["mpegts", "h264"] = "mpegts",
) -> list[bytes]:
    """A moving bar, H.264 with two key frames a second; the first frame is of time `first_s`."""
    out = io.BytesIO()
    parts: list[bytes] = []
    options = {"flush_packets": "1"}
    if container == "mpegts":
        options |= {"mpegts_copyts": "1", "mpegts_flags": "+pat_pmt_at_frames"}
    with av.open(out, "w", format=container, options=options) as muxer:
        stream = muxer.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.options = {"preset": "ultrafast", "tune": "zerolatency", "g": str(fps // 2)}
        for picture in itertools.chain(_pictures(round(seconds * fps), fps, size, first_s), [None]):
            for packet in stream.encode(picture):
                muxer.mux(packet)
                parts.append(out.getvalue())
                out.seek(0)
                out.truncate()
    return parts


def _pictures(
    count: int, fps: int, size: tuple[int, int], first_s: float
) -> Iterator[av.VideoFrame]:
    width, height = size
    for number in range(count):
        image = np.full((height, width, 3), 60, np.uint8)
        left = number * 4 % (width - 16)
        image[:, left : left + 16] = (240, 200, 30)
        picture = av.VideoFrame.from_ndarray(image)
        picture.pts, picture.time_base = number + round(first_s * fps), Fraction(1, fps)
        yield picture


def flipped(parts: Iterable[bytes], share: float, seed: int = 0) -> list[bytes]:
    """The same with a `share` of all bytes changed, anywhere."""
    rng = np.random.default_rng(seed)
    damaged = []
    for part in parts:
        data = np.frombuffer(part, np.uint8).copy()
        hit = rng.random(len(data)) < share
        data[hit] ^= rng.integers(1, 256, int(hit.sum()), dtype=np.uint8)
        damaged.append(data.tobytes())
    return damaged


def without_times(parts: Iterable[bytes]) -> list[bytes]:
    """The same with presentation and decoding times taken out of every PES header."""
    return [b"".join(map(_without_time, _packets(part))) for part in parts]


def _packets(part: bytes) -> Iterator[bytes]:
    return (part[at : at + PACKET_BYTES] for at in range(0, len(part), PACKET_BYTES))


def _without_time(packet: bytes) -> bytes:
    begins_pes = packet[1] & 0x40
    payload = 4 + (1 + packet[4] if packet[3] & 0x20 else 0)
    if not begins_pes or packet[payload : payload + 4] != bytes((0, 0, 1, VIDEO_STREAM_ID)):
        return packet
    changed = bytearray(packet)
    times = 5 * (packet[payload + 7] >> 6 & 1) + 5 * (packet[payload + 7] >> 7)
    changed[payload + 7] &= 0x3F
    changed[payload + 9 : payload + 9 + times] = b"\xff" * times
    return bytes(changed)


class UdpSender:
    """Sends `parts` to a port of loopback at `fps` a second, again and again, from a thread."""

    def __init__(self, parts: list[bytes], fps: float, port: int | None = None) -> None:
        self.parts, self.fps = parts, fps
        self.port = free_udp_port() if port is None else port
        self.ready_s = 0.0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"udp://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._stop.clear()
        self._thread = threading.Thread(target=self._send, name="rig-udp", daemon=True)
        self._thread.start()
        self.ready_s = time.monotonic()

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def __enter__(self) -> UdpSender:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _send(self) -> None:
        due = time.monotonic()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            for part in itertools.cycle(self.parts):
                if self._stop.wait(max(0.0, due - time.monotonic())):
                    return
                for at in range(0, len(part), DATAGRAM_BYTES):
                    with contextlib.suppress(ConnectionRefusedError):  # nobody listens yet
                        out.sendto(part[at : at + DATAGRAM_BYTES], ("127.0.0.1", self.port))
                due += 1 / self.fps


def free_udp_port() -> int:
    """A port that nobody has bound now."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        asked.bind(("127.0.0.1", 0))
        port: int = asked.getsockname()[1]
        return port
