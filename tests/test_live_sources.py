"""Every kind of live source, from real servers on loopback: frames come, and what is told of them
is true.

The servers of this module run all at once, and so do the captures that watch them.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from longtake.streaming import sources
from longtake.streaming.capture_config import CaptureConfig
from longtake.streaming.capture_stats import State
from longtake.streaming.errors import SourceError
from tests.clips import write_clip
from tests.rigs import barcode, ffmpeg, rtsp, transport
from tests.rigs.http_camera import MPEG_TS, HttpCamera, HttpFolder, mjpeg_camera
from tests.rigs.network import free_port
from tests.rigs.watching import (
    SOON_S,
    Watched,
    assert_adds_up,
    assert_times_rise,
    until,
)

pytestmark = pytest.mark.skipif(
    bool(rtsp.missing() or ffmpeg.missing()), reason=rtsp.missing() or ffmpeg.missing()
)
LOGIN = "bob:s3cret"
SLOW_FPS = 10.0
# name -> (size, what tells its time)
TOLD = {
    "rtsp over tcp": ((320, 240), "pts"),
    "rtsp over udp": ((320, 240), "pts"),
    "rtsp with a login": ((320, 240), "pts"),
    "rtsp over tcp alone": ((320, 240), "pts"),
    "mjpeg": ((320, 240), "arrival"),
    "mjpeg with a login": ((160, 120), "arrival"),
    "hls": ((320, 240), "pts"),
    "mpeg-ts over udp": ((320, 240), "pts"),
    "mpeg-ts over http": ((160, 120), "pts"),
    "local camera": ((320, 240), "pts"),
    "clip as a camera": ((64, 48), "pts"),
}
CAMERAS = list(TOLD)


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Watched]]:
    """All of them, each with some frames."""
    folder = tmp_path_factory.mktemp("live")
    clip = write_clip(folder / "clip.mp4", seconds=30, fps=25)
    with contextlib.ExitStack() as stack:
        enter = stack.enter_context
        camera = enter(rtsp.RtspCamera())
        private = enter(rtsp.RtspCamera("--user", LOGIN))
        tcp_alone = enter(rtsp.RtspCamera("--transports", "tcp"))
        enter(ffmpeg.HlsCamera(folder))
        files = enter(HttpFolder(folder))
        stream = HttpCamera(transport.parts_of(30), fps=25, content_type=MPEG_TS)
        local = "lavfi:testsrc=size=320x240:rate=25,realtime"
        asked: dict[str, tuple[str, dict[str, Any]]] = {
            "rtsp over tcp": (camera.url(), {}),
            "rtsp over udp": (camera.url(), {"preset": "udp"}),
            "rtsp with a login": (private.url(LOGIN), {"preset": "robust"}),
            "rtsp over tcp alone": (tcp_alone.url(), {}),
            "mjpeg": (enter(mjpeg_camera()).url(), {}),
            "mjpeg with a login": (
                enter(mjpeg_camera(SLOW_FPS, (160, 120), LOGIN)).url(LOGIN),
                {"live": True},
            ),
            "hls": (files.url("live.m3u8?token=s3cret"), {}),
            "mpeg-ts over udp": (enter(ffmpeg.UdpCamera()).url, {}),
            "mpeg-ts over http": (enter(stream).url(), {"live": True}),
            "local camera": (local, {"allow": {"lavfi"}}),
            "clip as a camera": (str(clip), {"live": True}),
        }
        watched = {name: enter(Watched(url, **more)) for name, (url, more) in asked.items()}
        for one in watched.values():
            until(lambda one=one: one.seen >= 15, 20.0, one.capture.stats)
        yield watched


@pytest.mark.parametrize("name", CAMERAS)
def test_a_camera_gives_frames_of_its_size_in_the_order_of_their_times(
    watched: dict[str, Watched], name: str
) -> None:
    one = watched[name].until_seen(5)
    frames = one.frames()
    width, height = TOLD[name][0]
    assert {frame.image.shape for frame in frames} == {(64 * height // width, 64, 3)}
    assert {frame.camera for frame in frames} == {"cam"}
    assert_times_rise(frames, time.monotonic() - one.began_s)


@pytest.mark.parametrize("name", CAMERAS)
def test_what_is_told_of_a_camera_is_true(watched: dict[str, Watched], name: str) -> None:
    stats = watched[name].capture.stats()
    assert (stats.size, stats.clock) == TOLD[name]
    assert (stats.state, stats.error, stats.camera) == ("live", "", "cam")
    assert watched[name].state is State.LIVE and watched[name].capture.error is None
    assert stats.reconnects == stats.outages == 0
    assert 0 <= stats.lag_s < SOON_S
    assert_adds_up(watched[name])


@pytest.mark.parametrize("name", CAMERAS)
def test_a_login_that_is_right_is_shown_nowhere(watched: dict[str, Watched], name: str) -> None:
    assert "s3cret" not in watched[name].everything_told()


def test_the_rate_is_that_of_arrival_not_of_made_up_stamps(watched: dict[str, Watched]) -> None:
    """FFmpeg calls every MJPEG stream 25 frames a second."""
    one = watched["mjpeg with a login"].until_seen(10)
    assert one.capture.stats().fps == pytest.approx(SLOW_FPS, rel=0.3)


def test_the_newest_frame_is_of_now_however_rarely_somebody_looks() -> None:
    with rtsp.RtspCamera("--picture", "clock", "--size", "640x360") as camera:
        with Watched(camera.url(), room=1, fps=5.0, side=640) as one:
            one.until_seen(50)  # nobody takes any of them
            still = one.newest.latest
            assert still is not None
            assert barcode.age_s(still.frame().image, time.time()) < 0.5
            assert one.mailbox.dropped["full"] >= 2
            assert_adds_up(one)
            assert one.capture.stats().dropped["not sampled"] > 30


def test_only_what_is_sampled_reaches_the_mailbox() -> None:
    with mjpeg_camera(50.0) as camera, Watched(camera.url(), fps=5.0) as one:
        one.until_seen(60)
        assert_adds_up(one)
        stats = one.capture.stats()
        assert 3 <= stats.kept <= 0.3 * stats.seen
        assert stats.dropped == {"not sampled": stats.seen - stats.kept}


def test_a_local_camera_that_is_not_there_is_named_with_what_to_do() -> None:
    if Path("/dev/video0").exists():
        pytest.skip("there is a camera here")
    with Watched("webcam:0", backoff_s=0.1) as one:
        said = one.until_error()
        assert "webcam:0" in said or "/dev/video0" in said
        assert one.state in (State.FAILED, State.RECONNECTING, State.CONNECTING)


def test_a_graph_has_to_be_allowed() -> None:
    with pytest.raises(SourceError, match="allow"):
        sources.is_camera("lavfi:testsrc", CaptureConfig())


def test_a_clip_as_a_camera_takes_its_own_time_and_ends(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", seconds=1, fps=20)
    began_s = time.monotonic()
    with Watched(str(clip), live=True) as one:
        one.ended.wait(SOON_S)
        assert one.state is State.ENDED
        assert time.monotonic() - began_s > 0.9
        assert one.seen == 20 and one.capture.stats().reconnects == 0
        assert_adds_up(one)


def test_over_http_opening_tells_a_camera_from_a_recording(tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4", seconds=2, fps=10)
    ffmpeg.record_hls(tmp_path, 2)
    live, recorded = CaptureConfig(live=True), CaptureConfig(live=False)
    with contextlib.ExitStack() as stack:
        files = stack.enter_context(HttpFolder(tmp_path))
        stack.enter_context(ffmpeg.HlsCamera(tmp_path))
        motion = stack.enter_context(mjpeg_camera()).url()
        ask = sources.is_camera
        assert ask(motion, CaptureConfig()) and ask(files.url("live.m3u8"), CaptureConfig())
        for name in ("clip.mp4", "recorded.m3u8"):
            assert not ask(files.url(name), CaptureConfig())
            assert ask(files.url(name), live) and not ask(files.url(name), recorded)
        assert not ask(motion, recorded)


def test_over_http_a_camera_that_is_off_is_waited_for_and_a_missing_recording_is_an_error() -> None:
    nobody = f"http://bob:s3cret@127.0.0.1:{free_port()}"
    assert sources.is_camera(f"{nobody}/cam", CaptureConfig())
    with pytest.raises(SourceError, match="refused") as caught:
        sources.is_camera(f"{nobody}/clip.mp4", CaptureConfig())
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("name", ["clip.mp4", "recorded.m3u8"])
def test_a_recording_over_http_is_read_like_a_file(tmp_path: Path, name: str) -> None:
    write_clip(tmp_path / "clip.mp4", seconds=3, fps=10)
    ffmpeg.record_hls(tmp_path, 3)
    with HttpFolder(tmp_path) as files:
        with sources.open_source(files.url(name, LOGIN), fps=5.0) as source:
            times = [frame.pts_s for frame in source.frames()]
        assert "s3cret" not in repr(source)
    assert times == pytest.approx([number / 5 for number in range(15)], abs=0.02)


def test_every_thread_ends_when_all_is_stopped(watched: dict[str, Watched]) -> None:
    """Last in this module: stops what the others look at."""
    for one in watched.values():
        one.capture.stop()
        assert one.state is State.ENDED
        assert_adds_up(one)
    for one in watched.values():
        until(lambda one=one: not one.capture.is_alive, SOON_S, lambda one=one: repr(one.capture))
