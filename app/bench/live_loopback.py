"""The camera on loopback, started and ended: a process of its own, so that it disturbs nobody.

What it shows is known in `live_camera.py`, who looks at it is not known.
"""

from __future__ import annotations

import queue
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from longtake.bench import live_camera

SYSTEM_PYTHON = "/usr/bin/python3"  # the one that knows GStreamer
START_S = 10.0  # a camera is ready, and shows a first picture, within so much


def finds_gstreamer() -> bool:
    """Whether the system's Python can serve RTSP."""
    words = "import gi; gi.require_version('GstRtspServer', '1.0')"
    try:
        found = subprocess.run(
            [SYSTEM_PYTHON, "-I", "-c", words], capture_output=True, timeout=START_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return found.returncode == 0


@contextmanager
def camera(has_gstreamer: bool) -> Iterator[str]:
    """A camera in a process of its own, which ends with the block.

    Yields:
        Its address.
    """
    if has_gstreamer:
        words = [SYSTEM_PYTHON, "-I", str(Path(live_camera.__file__)), "rtsp"]
    else:
        place = f"127.0.0.1:{free_udp_port()}"
        words = [sys.executable, "-I", str(Path(live_camera.__file__)), "udp", place]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        try:
            yield _address(process)
        finally:
            process.kill()


def _address(process: subprocess.Popen[bytes]) -> str:
    """What it says when it is ready."""
    said: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    stdout = process.stdout
    assert stdout is not None
    reader = threading.Thread(
        target=lambda: said.put(stdout.readline()), name="longtake-bench-camera", daemon=True
    )
    reader.start()
    try:
        word, _, address = said.get(timeout=START_S).decode().strip().partition(" ")
    except queue.Empty:
        raise RuntimeError(f"the camera was not ready within {START_S:g} s") from None
    if word != "ready":
        raise RuntimeError(f"the camera did not start: it ended with {process.wait()}")
    return address


def free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
