"""A real RTSP camera: `rtsp_server.py` in a process of its own.

Needs GStreamer's RTSP server under the system's Python; `missing` says what is not there.
"""

from __future__ import annotations

import functools
import subprocess
from pathlib import Path

from tests.rigs.processes import Server

PYTHON = "/usr/bin/python3"
SCRIPT = Path(__file__).with_name("rtsp_server.py")
NEEDED = """
import gi
for name in ("Gst", "GstRtsp", "GstRtspServer"):
    gi.require_version(name, "1.0")
from gi.repository import Gst, GstRtspServer
Gst.init(None)
names = ("videotestsrc", "appsrc", "x264enc", "rtph264pay")
gone = [name for name in names if Gst.ElementFactory.find(name) is None]
raise SystemExit(f"GStreamer has no {', '.join(gone)}" if gone else 0)
"""


@functools.cache
def missing() -> str:
    """Why there can be no RTSP camera on this machine, in words; empty where there can."""
    if not Path(PYTHON).exists():
        return f"there is no {PYTHON}"
    done = subprocess.run([PYTHON, "-c", NEEDED], capture_output=True, text=True)
    lines = done.stderr.strip().splitlines()
    return "" if done.returncode == 0 else lines[-1] if lines else f"exit {done.returncode}"


class RtspCamera(Server):
    """``rtsp://127.0.0.1:PORT/cam``; the arguments are those of `rtsp_server.py`."""

    def __init__(self, *arguments: str) -> None:
        super().__init__([PYTHON, str(SCRIPT), *arguments])

    def url(self, login: str = "", path: str = "cam") -> str:
        """`login` is USER:PASSWORD, or empty."""
        return f"rtsp://{login}{'@' if login else ''}127.0.0.1:{self.port}/{path}"

    def __enter__(self) -> RtspCamera:
        self.start()
        return self
