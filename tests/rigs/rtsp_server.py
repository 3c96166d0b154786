#!/usr/bin/python3
"""One RTSP camera on loopback, by GStreamer; a script for the system's Python.

Knows no path but /cam.  Its picture is GStreamer's moving test picture, or the wall clock in
`barcode.py`'s code.  SIGSTOP plays a frozen camera, SIGKILL one without power.

    /usr/bin/python3 rtsp_server.py --size 320x240 --user bob:s3cret --port 0
    ready 41873
"""

import argparse
import threading
import time

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

TRANSPORTS = {"tcp": GstRtsp.RTSPLowerTrans.TCP, "udp": GstRtsp.RTSPLowerTrans.UDP}
BITS, ROWS = 24, 32  # as in barcode.py


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", default="0")
    parser.add_argument("--picture", choices=("test", "clock"), default="test")
    parser.add_argument("--size", default="320x240")
    parser.add_argument("--fps", type=int, default=25)
    parser.add_argument("--gop", type=int, default=8, help="frames from key frame to key frame")
    parser.add_argument("--user", help="USER:PASSWORD that it wants to hear")
    parser.add_argument("--loss", type=float, default=0.0, help="share of RTP packets it loses")
    parser.add_argument("--transports", default="tcp,udp")
    return parser.parse_args()


def pipeline(args: argparse.Namespace) -> str:
    width, height = args.size.split("x")
    caps = f"video/x-raw,format=I420,width={width},height={height},framerate={args.fps}/1"
    if args.picture == "clock":
        source = f"appsrc name=clock is-live=true format=time do-timestamp=true caps={caps}"
        source += " ! queue max-size-buffers=2 leaky=downstream"
    else:
        # with losses every frame should be of many packets
        pattern = "snow" if args.loss else "ball"
        source = f"videotestsrc is-live=true pattern={pattern} ! {caps}"
    encoder = f"x264enc tune=zerolatency speed-preset=ultrafast key-int-max={args.gop}"
    pay = "rtph264pay pt=96 config-interval=1"
    if args.loss:
        lossy = f"identity name=pay0 drop-probability={args.loss}"
        return f"( {source} ! {encoder} ! {pay} mtu=400 ! {lossy} )"
    return f"( {source} ! {encoder} ! {pay} name=pay0 )"


def clock_picture(width: int, height: int, now_s: float) -> bytes:
    """I420 of a gray picture with the low bits of `now_s` in ms across the top."""
    now_ms = int(now_s * 1000) & ((1 << BITS) - 1)
    row = bytearray(b"\x10" * width)
    for bit in range(BITS):
        if now_ms >> bit & 1:
            start, stop = bit * width // BITS, (bit + 1) * width // BITS
            row[start:stop] = b"\xeb" * (stop - start)
    rows = ROWS * height // 720
    luma = bytes(row) * rows + b"\x50" * (width * (height - rows))
    return luma + b"\x80" * (width * height // 2)


def push_clock(source: Gst.Element, args: argparse.Namespace, stopped: threading.Event) -> None:
    width, height = map(int, args.size.split("x"))
    due = time.monotonic()
    while not stopped.wait(max(0.0, due - time.monotonic())):
        picture = clock_picture(width, height, time.time())
        source.emit("push-buffer", Gst.Buffer.new_wrapped(picture))
        due += 1 / args.fps


class Camera(GstRtspServer.RTSPMediaFactory):
    """A picture for each that looks: one for all can get stuck when two come at once."""

    def __init__(self, args: argparse.Namespace) -> None:
        super().__init__()
        self.args = args
        lower = [TRANSPORTS[name] for name in args.transports.split(",")]
        self.set_protocols(GstRtsp.RTSPLowerTrans(sum(int(one) for one in lower)))

    def do_create_element(self, url):
        return Gst.parse_launch(pipeline(self.args))

    def do_configure(self, media):
        GstRtspServer.RTSPMediaFactory.do_configure(self, media)
        source = media.get_element().get_by_name("clock")
        if source is not None:
            stopped = threading.Event()
            media.connect("unprepared", lambda *_: stopped.set())
            given = (source, self.args, stopped)
            threading.Thread(target=push_clock, args=given, daemon=True).start()


def want_login(server: GstRtspServer.RTSPServer, camera: Camera, login: str) -> None:
    auth, token = GstRtspServer.RTSPAuth(), GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "user")
    auth.add_basic(GstRtspServer.RTSPAuth.make_basic(*login.split(":", 1)), token)
    server.set_auth(auth)
    role = "user,media.factory.access=(boolean)true,media.factory.construct=(boolean)true"
    camera.add_role_from_structure(Gst.Structure.from_string(role)[0])


def main() -> None:
    args = arguments()
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(args.port)
    camera = Camera(args)
    if args.user:
        want_login(server, camera, args.user)
    server.get_mount_points().add_factory("/cam", camera)
    if server.attach(None) == 0:
        raise SystemExit(f"port {args.port}: cannot listen on 127.0.0.1")
    print(f"ready {server.get_bound_port()}", flush=True)
    GLib.timeout_add_seconds(5, lambda: (server.get_session_pool().cleanup(), True)[1])
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
