"""A camera on loopback whose pictures show the wall clock; a program of its own.

    /usr/bin/python3 -I live_camera.py rtsp        GStreamer, which the system's Python alone knows
    python -I live_camera.py udp 127.0.0.1:8704    MPEG-TS over UDP by PyAV, without GStreamer

Prints ``ready ADDRESS`` when it can be opened; ends when its standard input does.  720p at 25
frames/s, H.264, a scrolling ramp; above it the clock in ms, its low 24 bits as bars, and below
them the same bits inverted.  Who reads that clock is not known here, and nothing of ours is
imported: it also runs where longtake is not installed.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

WIDTH, HEIGHT, FPS = 1280, 720, 25
BITS = 24
BAR, BAR_LEFT, BAR_STEP = 40, 10, 50  # pixels of a bar, before the first, from one to the next
BAR_ROWS = (8, 48)  # where the bars begin, and the inverted ones
BAR_HEIGHT = 32
DARK, BRIGHT = 0x20, 0xE0  # luma
BIT_RATE, KEY_FRAMES = 3_000_000, 30

_HEAD = BAR_ROWS[1] + BAR_HEIGHT + 8  # rows above the ramp
_RAMP = bytes(64 + abs(x % 128 - 64) for x in range(WIDTH * 2))
_GRAY = b"\x80" * (WIDTH * HEIGHT // 2)  # both chroma planes


def now_ms() -> int:
    """The clock that the bars show."""
    return int(time.time() * 1000) & ((1 << BITS) - 1)


def picture(clock_ms: int, number: int) -> bytes:
    """One I420 picture; ``number`` says how far the ramp has moved."""
    rows, blank = bytearray(), bytes([DARK]) * WIDTH
    for bits in (clock_ms, ~clock_ms):
        bars = bytearray(blank)
        for bit in range(BITS):
            if bits >> bit & 1:
                left = BAR_LEFT + bit * BAR_STEP
                bars[left : left + BAR] = bytes([BRIGHT]) * BAR
        rows += blank * 8 + bars * BAR_HEIGHT
    rows += blank * (_HEAD - len(rows) // WIDTH)
    shift = number * 4 % 128
    return bytes(rows) + _RAMP[shift : shift + WIDTH] * (HEIGHT - _HEAD) + _GRAY


def pictures(is_over: Callable[[], bool]) -> Iterator[bytes]:
    """At their rate; those that would come late are left out."""
    begun, number = time.monotonic(), 0
    while not is_over():
        yield picture(now_ms(), number)
        number = max(number + 1, int((time.monotonic() - begun) * FPS))
        time.sleep(max(0.0, begun + number / FPS - time.monotonic()))


def _introspected(name: str) -> Any:
    return import_module(f"gi.repository.{name}")


def serve_rtsp() -> None:
    """Until the standard input ends.  One stream, shared by whoever looks, over TCP."""
    gi: Any = import_module("gi")
    for name in ("Gst", "GstRtsp", "GstRtspServer"):
        gi.require_version(name, "1.0")
    names = ("GLib", "Gst", "GstRtsp", "GstRtspServer")
    glib, gst, transports, rtsp = (_introspected(name) for name in names)
    gst.init(None)
    factory = rtsp.RTSPMediaFactory()
    factory.set_launch(
        "( appsrc name=clock is-live=true format=time do-timestamp=true "
        f"caps=video/x-raw,format=I420,width={WIDTH},height={HEIGHT},framerate={FPS}/1 "
        "! queue max-size-buffers=2 leaky=downstream "
        f"! x264enc tune=zerolatency speed-preset=ultrafast key-int-max={KEY_FRAMES} "
        f"bitrate={BIT_RATE // 1000} ! h264parse ! rtph264pay name=pay0 pt=96 config-interval=1 )"
    )
    factory.set_shared(True)
    factory.set_protocols(transports.RTSPLowerTrans.TCP)

    def configure(_: object, media: Any) -> None:
        gone, source = threading.Event(), media.get_element().get_by_name("clock")
        media.connect("unprepared", lambda _: gone.set())

        def push() -> None:
            for each in pictures(gone.is_set):
                source.emit("push-buffer", gst.Buffer.new_wrapped(each))

        threading.Thread(target=push, daemon=True).start()

    factory.connect("media-configure", configure)
    server = rtsp.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service("0")
    server.get_mount_points().add_factory("/clock", factory)
    if server.attach(None) == 0:
        raise SystemExit("cannot listen on 127.0.0.1")
    print(f"ready rtsp://127.0.0.1:{server.get_bound_port()}/clock", flush=True)
    glib.MainLoop().run()


def send_udp(place: str) -> None:
    """To whoever listens at ``place``, host:port; until the standard input ends."""
    import av
    import numpy as np

    url = f"udp://{place}"
    with av.open(f"{url}?pkt_size=1316", "w", format="mpegts") as container:
        options = {"preset": "ultrafast", "tune": "zerolatency", "g": str(KEY_FRAMES)}
        stream = container.add_stream("libx264", rate=FPS, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.bit_rate = BIT_RATE
        print(f"ready {url}", flush=True)
        for number, each in enumerate(pictures(lambda: False)):
            planes = np.frombuffer(each, np.uint8).reshape(HEIGHT * 3 // 2, WIDTH)
            frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            frame.pts = number
            container.mux(stream.encode(frame))


def end_with_input() -> None:
    """Whoever started this has gone, even where it was killed."""
    while os.read(sys.stdin.fileno(), 1 << 10):
        pass
    os._exit(0)


def main() -> None:
    threading.Thread(target=end_with_input, daemon=True).start()
    if sys.argv[1:] == ["rtsp"]:
        serve_rtsp()
    elif len(sys.argv) == 3 and sys.argv[1] == "udp":
        send_udp(sys.argv[2])
    else:
        raise SystemExit(f"usage: {sys.argv[0]} rtsp | udp HOST:PORT")


if __name__ == "__main__":
    main()
