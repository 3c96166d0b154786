"""Cameras that are broken for minutes, or hundreds of times: nothing dies, nothing grows.

Real FFmpeg, real threads, real connections.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest

from longtake.streaming.capture_stats import State
from tests.rigs import rtsp
from tests.rigs.http_camera import MPEG_TS, HttpCamera, mjpeg_camera
from tests.rigs.network import Line
from tests.rigs.transport import flipped, parts_of
from tests.rigs.watching import (
    Watched,
    assert_adds_up,
    descriptors,
    longtake_threads,
    resident_bytes,
    until,
)

pytestmark = pytest.mark.long
QUICK = {"connect_s": 1.0, "stall_s": 1.0, "backoff_s": 0.2}
FLIPPED_S = 60.0
RECONNECTS = 200
WARM = 40  # reconnects until whatever is made once is made
GROWTH_BYTES = 24 << 20
LIMIT_S = 240.0


@dataclass(frozen=True)
class Held:
    """What this process holds."""

    resident_bytes: int
    threads: int
    descriptors: int

    @classmethod
    def now(cls) -> Held:
        return cls(resident_bytes(), threading.active_count(), len(descriptors()))

    def assert_no_more_than(self, before: Held) -> None:
        """A connection that comes or goes just now is no leak."""
        assert self.resident_bytes - before.resident_bytes < GROWTH_BYTES, (before, self)
        assert self.threads <= before.threads + 2, (before, self)
        assert self.descriptors <= before.descriptors + 4, (before, self)


class Damage:
    """A transport stream for ever, each round with other bytes changed, at a share that varies."""

    def __init__(self) -> None:
        self._whole = parts_of(4.0, size=(320, 240))
        self._rng = np.random.default_rng(7)
        self.is_on = True

    def __iter__(self) -> Iterator[bytes]:
        while True:
            share = 10.0 ** self._rng.uniform(-5, -2) if self.is_on else 0.0
            yield from flipped(self._whole, share, int(self._rng.integers(1 << 30)))


def test_a_minute_of_changed_bytes_kills_nothing_and_leaks_nothing() -> None:
    damage = Damage()
    with HttpCamera(damage, fps=100, content_type=MPEG_TS) as camera:
        with Watched(camera.url(), live=True, room=4, **QUICK) as one:
            one.until_seen(500)
            before, began_s = Held.now(), time.monotonic()
            until(lambda: time.monotonic() - began_s > FLIPPED_S, 2 * FLIPPED_S)
            stats = one.capture.stats()
            assert not one.state.is_final and stats.seen > 1000, stats
            assert stats.bad_packets + stats.corrupt > 0, stats
            damage.is_on = False
            lost = one.first_after(time.monotonic() + 4.0)  # the round that was begun is over
            one.until_seen(200)
            assert one.state is State.LIVE and lost.pts_s > FLIPPED_S
            Held.now().assert_no_more_than(before)
            assert_adds_up(one)


def goes_on_and_on(one: Watched, reconnects: int, warm: int) -> None:
    """Let it lose its camera so often; then what is held is what was held early on."""
    until(lambda: one.capture.stats().reconnects >= warm, LIMIT_S)
    before = Held.now()
    until(lambda: one.capture.stats().reconnects >= warm + reconnects, LIMIT_S)
    Held.now().assert_no_more_than(before)
    one.capture.stop()
    stats = one.capture.stats()
    # one more where it was stopped while it was not connected
    assert stats.reconnects <= stats.outages == len(one.outages) <= stats.reconnects + 1, stats
    assert_adds_up(one)
    until(lambda: not one.capture.is_alive)


def test_hundreds_of_local_cameras_that_end_leak_nothing() -> None:
    source = "lavfi:testsrc=size=64x48:rate=25:duration=0.2"
    with Watched(source, allow={"lavfi"}, backoff_s=0.0, room=4) as one:
        goes_on_and_on(one, RECONNECTS, WARM)


def test_hundreds_of_servers_that_hang_up_leak_nothing() -> None:
    threads, open_before = longtake_threads(), descriptors()
    with mjpeg_camera(fps=200.0) as camera:
        camera.parts = list(itertools.islice(camera.parts, 4))
        with Watched(camera.url(), live=True, backoff_s=0.0, room=4) as one:
            goes_on_and_on(one, RECONNECTS, WARM)
    until(lambda: longtake_threads() <= threads)
    until(lambda: descriptors() == open_before)


@pytest.mark.skipif(bool(rtsp.missing()), reason=rtsp.missing())
def test_an_rtsp_line_that_is_cut_again_and_again_leaks_nothing() -> None:
    swift = {"analyzeduration": "0", "probesize": "32"}
    with rtsp.RtspCamera() as camera, Line(camera.port) as line:
        url = f"rtsp://127.0.0.1:{line.port}/cam"
        with Watched(url, av_options=swift, backoff_s=0.0, room=4) as one:
            before = Held.now()
            for cuts in range(50):
                one.until_seen(2)
                before = Held.now() if cuts == 10 else before
                line.cut()
                until(lambda cuts=cuts: one.capture.stats().reconnects > cuts, LIMIT_S)
            one.until_seen(2)
            Held.now().assert_no_more_than(before)
            assert_adds_up(one)
