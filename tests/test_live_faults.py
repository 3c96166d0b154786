"""What goes wrong with real cameras: the state it brings, the words for it, and the way back.

Wherever a server returns, frames have to come again within the longest wait between two attempts
and `MARGIN_S`, counted from the moment it listens.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from longtake.streaming.capture_stats import State
from tests.clips import write_clip
from tests.rigs import ffmpeg, rtsp
from tests.rigs.http_camera import MPEG_TS, HttpCamera, HttpFolder, mjpeg_camera
from tests.rigs.network import Line, free_port, silent_server
from tests.rigs.rtsp import RtspCamera
from tests.rigs.transport import (
    UdpSender,
    flipped,
    free_udp_port,
    parts_of,
    without_times,
)
from tests.rigs.watching import (
    SOON_S,
    Watched,
    assert_adds_up,
    assert_times_rise,
    at_once,
    descriptors,
    longtake_threads,
    until,
)

pytestmark = pytest.mark.skipif(
    bool(rtsp.missing() or ffmpeg.missing()), reason=rtsp.missing() or ffmpeg.missing()
)
LOGIN = "bob:s3cret"
WRONG = "bob:hunter2"
SECRETS = ("s3cret", "hunter2", "t0ken")
QUICK = {"connect_s": 1.0, "stall_s": 1.0, "backoff_s": 0.4}
# At half of `stall_s` FFmpeg hands out a frame that it held back; before, stalled has to show.
PATIENT = {"connect_s": 1.0, "stall_s": 2.8, "backoff_s": 0.4}
STOP_S = 1.5
FAST_FPS = 50  # streams that are not about their rate take less time
PORT_OF_NOBODY = 9


@pytest.fixture(autouse=True)
def no_secret_is_told(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> Iterator[None]:
    """Whatever happens in a test here, neither the log nor the screen holds a login."""
    caplog.set_level(logging.DEBUG)
    yield
    shown = "".join(capfd.readouterr())
    assert not any(secret in shown for secret in SECRETS), shown
    for record in caplog.records:
        told = f"{record.getMessage()} {record.exc_text} {record.args}"
        assert not any(secret in told for secret in SECRETS), told


def assert_tells_no_secret(watched: Watched) -> None:
    told = watched.everything_told()
    assert not any(secret in told for secret in SECRETS), told


def assert_one_outage(watched: Watched, words: str = "") -> None:
    """One stretch that was not seen, with its reason, and told once."""
    assert len(watched.outages) == 1, watched.outages
    outage = watched.outages[0]
    assert 0 < outage.start_s < outage.end_s and words in outage.reason
    assert watched.capture.stats().outages == 1


def test_a_wrong_path_is_told_and_tried_again() -> None:
    with RtspCamera() as camera, Watched(camera.url(path="none"), **QUICK) as one:
        assert "404" in one.until_error("path")
        one.until_state(State.CONNECTING)
        assert one.seen == 0 and not one.ended.is_set()


def be_refused(transport: str) -> None:
    camera: RtspCamera | HttpCamera
    camera = RtspCamera("--user", LOGIN) if transport == "rtsp" else mjpeg_camera(login=LOGIN)
    with camera, Watched(camera.url(WRONG), **QUICK) as one:
        said = one.until_error("login was refused")
        assert "401" in said and "127.0.0.1" in said
        one.until_state(State.CONNECTING)
        assert_tells_no_secret(one)
        if isinstance(camera, RtspCamera):
            camera.kill()
            camera.start("--user", WRONG)
        else:
            camera.login, camera.ready_s = WRONG, time.monotonic()
        one.assert_back_in_time(camera.ready_s)
        assert one.state is State.LIVE
        assert_tells_no_secret(one)


def test_a_wrong_password_is_told_without_it_and_heals() -> None:
    at_once(be_refused, ["rtsp", "http"])


def test_what_refuses_connections_is_found_once_it_listens() -> None:
    camera = RtspCamera()
    camera.port = free_port()
    with Watched(f"{camera.url(LOGIN)}?key=t0ken") as one:
        assert "refused" in one.until_error()
        one.until_state(State.CONNECTING)
        assert_tells_no_secret(one)
        with camera:
            one.assert_back_in_time(camera.ready_s)
            assert one.state is State.LIVE and not one.outages


@pytest.mark.parametrize("login", ["bob:s3cret/with?odd#signs", "bob:s3cret%40:@", "s3cret"])
def test_logins_with_odd_signs_are_not_told_either(login: str) -> None:
    with Watched(f"rtsp://{login}@127.0.0.1:{PORT_OF_NOBODY}/cam?key=t0ken", **QUICK) as one:
        one.until_error()
        assert_tells_no_secret(one)


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_a_host_that_nobody_knows_is_told(scheme: str) -> None:
    with Watched(f"{scheme}://{LOGIN}@no..such/cam?key=t0ken", **QUICK) as one:
        assert "cannot be found" in one.until_error()
        assert_tells_no_secret(one)


def test_what_accepts_and_hangs_up_is_told_and_found_again() -> None:
    camera = RtspCamera()
    camera.port = free_port()
    with Line(camera.port) as line, Watched(f"rtsp://127.0.0.1:{line.port}/cam", **QUICK) as one:
        assert "sent no video" in one.until_error()
        with camera:
            one.assert_back_in_time(camera.ready_s)


def test_what_accepts_and_never_answers_is_given_up_in_time() -> None:
    with silent_server() as port:
        began_s = time.monotonic()
        with Watched(f"rtsp://{LOGIN}@127.0.0.1:{port}/cam", **QUICK) as one:
            assert one.state is State.CONNECTING
            assert "did not answer" in one.until_error()
            assert time.monotonic() - began_s < 2 * one.config.connect_s + 1
            assert_tells_no_secret(one)


def test_a_line_that_freezes_before_the_first_word_heals() -> None:
    with RtspCamera() as camera, Line(camera.port) as line:
        line.freeze()
        with Watched(f"rtsp://127.0.0.1:{line.port}/cam", **QUICK) as one:
            one.until_error()
            line.thaw()
            one.assert_back_in_time(line.ready_s)


def be_killed(preset: str) -> None:
    with RtspCamera() as camera:
        with Watched(camera.url(), preset=preset, connect_s=1.0, stall_s=1.0) as one:
            one.until_seen(10)
            camera.kill()
            killed_s = time.monotonic()
            one.until_state(State.STALLED, State.RECONNECTING)
            # so long that the waits have grown to their cap
            until(lambda: time.monotonic() - killed_s > 3.0)
            assert one.state is State.RECONNECTING and one.said()
            camera.start()
            one.assert_back_in_time(camera.ready_s)
            assert one.state is State.LIVE and one.capture.stats().reconnects == 1
            assert_one_outage(one)
            assert one.outages[0].end_s - one.outages[0].start_s > 2.5
            one.until_seen(10)
            assert_times_rise(one.frames(), time.monotonic() - one.began_s)
            assert_adds_up(one)


def test_a_camera_that_is_killed_is_found_again_with_the_longest_wait_between() -> None:
    at_once(be_killed, ["low-latency", "udp"])


def freeze(preset: str) -> None:
    with RtspCamera() as camera, Watched(camera.url(), preset=preset, **PATIENT) as one:
        one.until_seen(10)
        camera.freeze()
        frozen_s = time.monotonic()
        stalled_s = one.until_state(State.STALLED)
        lost_s = one.until_state(State.RECONNECTING)
        assert stalled_s - frozen_s < one.config.stall_s + 0.3
        assert lost_s - frozen_s < one.config.stall_s + 1.0
        assert "no frame for" in one.until_error()
        camera.thaw()
        one.assert_back_in_time(camera.ready_s)
        assert_one_outage(one, "no frame")


def test_a_frozen_camera_is_noticed_and_found_again() -> None:
    at_once(freeze, ["low-latency", "udp"])


def test_a_camera_that_comes_back_with_another_size_is_measured_anew() -> None:
    with RtspCamera() as camera, Watched(camera.url(), **QUICK) as one:
        one.until_seen(10)
        one.frames()
        camera.kill()
        one.until_state(State.RECONNECTING)
        camera.start("--size", "240x320", "--fps", "10")
        one.assert_back_in_time(camera.ready_s)
        one.until_seen(12)
        assert one.capture.stats().size == (240, 320)
        until(lambda: one.capture.stats().fps == pytest.approx(10, rel=0.3), what="its rate")
        assert one.frames()[-1].image.shape == (64, 48, 3)


def lose_packets(preset: str) -> None:
    with RtspCamera("--loss", "0.03") as camera, Watched(camera.url(), preset=preset) as one:
        one.until_seen(60)
        stats = one.capture.stats
        until(lambda: stats().corrupt + stats().bad_packets, what="a damaged frame")
        assert one.state is State.LIVE and stats().reconnects == 0 and not one.outages
        assert_times_rise(one.frames(), time.monotonic() - one.began_s)
        assert_adds_up(one)


def test_with_three_percent_of_packets_lost_frames_keep_coming() -> None:
    at_once(lose_packets, ["low-latency", "udp"])


BEHIND_THE_SEAM = 110  # of these frames; some go while the format is found out


def fast(first_s: float, seconds: float = 2.0) -> list[bytes]:
    return parts_of(seconds, fps=FAST_FPS, first_s=first_s)


ODD_TIMES: dict[str, Callable[[], list[bytes]]] = {
    "begin anew": lambda: fast(5000.0) + fast(10.0),
    "jump a day ahead": lambda: fast(10.0) + fast(86_410.0),
    "jump a day back": lambda: fast(86_410.0) + fast(10.0),
    "stand still": lambda: fast(10.0) + fast(10.0),
    "are missing": lambda: without_times(fast(10.0, 4.0)),
    "are missing from some": lambda: fast(10.0) + without_times(fast(12.0)),
    "are unknown to the format": lambda: parts_of(4.0, fps=FAST_FPS, container="h264"),
}


def keep_time(name: str) -> None:
    parts = ODD_TIMES[name]()
    stream = HttpCamera(parts, fps=FAST_FPS, content_type=MPEG_TS)
    with stream, Watched(stream.url(), live=True, **PATIENT) as one:
        one.until_seen(BEHIND_THE_SEAM)
        now_s = time.monotonic() - one.began_s
        assert one.state is State.LIVE and one.capture.stats().reconnects == 0
        frames = one.frames()
        assert_times_rise(frames, now_s)
        times = [frame.pts_s for frame in frames]
        assert max(after - before for before, after in pairwise(times)) < 1.0
        assert times[-1] > now_s - 1.0
        assert one.capture.stats().lag_s < 1.5
        assert_adds_up(one)


def test_time_goes_on_as_frames_arrive_whatever_the_stamps_do() -> None:
    at_once(keep_time, ODD_TIMES)


def be_damaged(share: float) -> None:
    whole = parts_of(1.0, fps=FAST_FPS, size=(320, 240))
    rest = parts_of(3.0, fps=FAST_FPS, size=(320, 240), first_s=11.0)
    stream = HttpCamera(whole + flipped(rest, share), fps=FAST_FPS, content_type=MPEG_TS)
    with stream, Watched(stream.url(), live=True, **QUICK) as one:
        one.until_seen(3 * FAST_FPS)
        assert one.state is State.LIVE
        one.until_state(State.RECONNECTING)  # the stream ends
        stats = one.capture.stats()
        assert share < 1e-2 or stats.corrupt + stats.bad_packets > 0
        assert_adds_up(one)


def test_damaged_packets_are_counted_and_frames_keep_coming() -> None:
    at_once(be_damaged, [1e-4, 1e-2])


def test_a_line_that_changes_bytes_heals_with_the_line() -> None:
    with RtspCamera() as camera, Line(camera.port) as line:
        with Watched(f"rtsp://127.0.0.1:{line.port}/cam", **QUICK) as one:
            one.until_seen(10)
            line.flips = 0.01
            one.until_state(State.RECONNECTING, State.STALLED)
            line.flips = 0.0
            one.assert_back_in_time(time.monotonic())
            one.until_seen(10)
            assert_adds_up(one)


def test_a_line_that_is_cut_is_found_again_at_once() -> None:
    with RtspCamera() as camera, Line(camera.port) as line:
        with Watched(f"rtsp://127.0.0.1:{line.port}/cam") as one:
            one.until_seen(10)
            line.cut()
            lost_s = one.until_state(State.RECONNECTING)
            one.assert_back_in_time(line.ready_s, lost_s)
            assert_one_outage(one)


def test_a_404_that_goes_away_is_forgotten() -> None:
    with mjpeg_camera() as camera:
        camera.status = 404
        with Watched(camera.url(LOGIN) + "?key=t0ken", live=True, **QUICK) as one:
            assert "404" in one.until_error()
            one.until_state(State.CONNECTING)
            assert_tells_no_secret(one)
            camera.status, camera.ready_s = 200, time.monotonic()
            one.assert_back_in_time(camera.ready_s)
            assert one.state is State.LIVE


def test_an_http_camera_that_vanishes_freezes_and_refuses_comes_back_each_time() -> None:
    with mjpeg_camera() as camera, Watched(camera.url(), **PATIENT) as one:
        one.until_seen(10)
        camera.stop()
        one.until_state(State.RECONNECTING)
        camera.start()
        one.assert_back_in_time(camera.ready_s)
        camera.freeze()
        one.until_state(State.STALLED)
        assert "no frame for" in one.until_error("no frame for")
        camera.thaw()
        one.assert_back_in_time(camera.ready_s)
        camera.stop()
        camera.status = 503
        camera.start()
        one.until_error("server")
        camera.status, camera.ready_s = 200, time.monotonic()
        one.assert_back_in_time(camera.ready_s)
        assert_times_rise(one.frames(), time.monotonic() - one.began_s)
        assert_adds_up(one)
        assert len(one.outages) == 3


def test_a_udp_sender_that_falls_silent_is_waited_for() -> None:
    sender = UdpSender(parts_of(20), 25)
    with Watched(sender.url, **{**QUICK, "connect_s": 2.0}) as one:
        assert "nothing was sent" in one.until_error()
        with sender:
            one.assert_back_in_time(sender.ready_s)
            one.until_seen(5)
        one.until_state(State.STALLED, State.RECONNECTING)
        one.until_error("no frame")
        with sender:
            one.assert_back_in_time(sender.ready_s)
        assert_adds_up(one)


def test_a_playlist_that_is_gone_is_found_again(tmp_path: Path) -> None:
    with ffmpeg.HlsCamera(tmp_path) as camera, HttpFolder(tmp_path) as files:
        with Watched(files.url("live.m3u8"), **QUICK) as one:
            one.until_seen(10)
            files.status = 404
            camera.kill()
            one.until_state(State.RECONNECTING, within_s=15.0)
            files.status = 200
            camera.start()
            one.assert_back_in_time(camera.ready_s)
            assert_adds_up(one)


def test_a_playlist_whose_segments_last_longer_than_the_patience_is_no_outage(
    tmp_path: Path,
) -> None:
    settings = {**QUICK, "stall_s": 0.4}
    with ffmpeg.HlsCamera(tmp_path, segment_s=1.0) as camera, HttpFolder(tmp_path) as files:
        with Watched(files.url("live.m3u8"), **settings) as one:
            one.until_seen(2 * 24 + 1)  # all of two segments and more
            assert one.capture.stats().reconnects == 0 and not one.outages
            camera.kill()
            one.until_state(State.STALLED)
            assert one.capture.stats().lag_s > one.config.stall_s


@pytest.mark.parametrize("ending", ["", "#EXT-X-ENDLIST\n"])
def test_a_playlist_reaches_no_file_of_this_machine(tmp_path: Path, ending: str) -> None:
    clip = write_clip(tmp_path / "private.mp4", seconds=1, fps=10)
    playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n"
    (tmp_path / "live.m3u8").write_text(f"{playlist}file://{clip}\n{ending}")
    with HttpFolder(tmp_path) as files:
        with Watched(files.url("live.m3u8"), live=True, reconnects=0, **QUICK) as one:
            one.until_error()
            assert one.ended.wait(SOON_S)
            assert one.seen == 0 and one.state is State.FAILED


def test_a_camera_with_rare_key_frames_is_seen_at_once() -> None:
    """Its first key frame is not lost while the format is found out."""
    with RtspCamera("--gop", "1000") as camera, Watched(camera.url()) as one:
        one.assert_back_in_time(camera.ready_s)
        one.until_seen(5)


def test_a_frozen_camera_never_delays_another() -> None:
    with RtspCamera() as first, RtspCamera() as second:
        with Watched(first.url(), **QUICK) as frozen, Watched(second.url(), **QUICK) as other:
            frozen.until_seen(10)
            other.until_seen(10)
            first.freeze()
            arrivals, known = [time.monotonic()], 0
            while frozen.state is not State.RECONNECTING or arrivals[-1] - arrivals[0] < 2.5:
                still = other.newest.wait(known, SOON_S)
                assert still is not None
                known = still.number
                arrivals.append(still.arrived_s)
            steps = [after - before for before, after in pairwise(arrivals)]
            assert max(steps) < 0.5 and other.state is State.LIVE


def test_after_so_many_attempts_in_a_row_it_fails_for_good() -> None:
    with Watched(f"rtsp://{LOGIN}@127.0.0.1:{PORT_OF_NOBODY}/x", reconnects=2, **QUICK) as one:
        assert one.ended.wait(SOON_S)
        assert one.state is State.FAILED and "refused" in one.said()
        assert_tells_no_secret(one)


STATES = [
    "connecting",
    "connecting, refused",
    "connecting, silent",
    "connecting, udp",
    "live",
    "live, udp",
    "stalled",
    "reconnecting",
    "ended",
    "failed",
]


def test_close_is_quick_in_every_state_and_leaves_nothing(tmp_path: Path) -> None:
    """Threads may stay as long as FFmpeg's own timeouts; descriptors then are those of before."""
    before, others = descriptors(), longtake_threads()
    clip = write_clip(tmp_path / "clip.mp4", seconds=0.2, fps=10)
    rigs = (RtspCamera(), RtspCamera(), RtspCamera(), silent_server())
    with rigs[0] as camera, rigs[1] as freezing, rigs[2] as dying, rigs[3] as silent:
        nobody = f"rtsp://127.0.0.1:{PORT_OF_NOBODY}/cam"
        urls = {
            "connecting, refused": nobody,
            "connecting, silent": f"rtsp://127.0.0.1:{silent}/cam",
            "connecting, udp": f"udp://127.0.0.1:{free_udp_port()}",
            "stalled": freezing.url(),
            "reconnecting": dying.url(),
            "ended": str(clip),
            "failed": nobody,
        }
        harm = {"stalled": freezing.freeze, "reconnecting": dying.kill}
        at_once(lambda name: close_when(name, urls.get(name, camera.url()), harm.get(name)), STATES)
        limit_s = SOON_S + 2 * PATIENT["connect_s"] + 2 * PATIENT["stall_s"]
        until(lambda: longtake_threads() <= others, limit_s, "the end of their threads")
    until(lambda: descriptors() == before, SOON_S, "the end of their descriptors")


def close_when(name: str, url: str, harm: Callable[[], None] | None) -> None:
    """Bring about the state that comes first in `name`, and close."""
    state, reconnects = State(name.partition(",")[0]), 0 if name == "failed" else None
    preset = "udp" if name == "live, udp" else "low-latency"
    one = Watched(url, live=True, preset=preset, reconnects=reconnects, **PATIENT)
    if state in (State.LIVE, State.STALLED, State.RECONNECTING):
        one.until_seen(5)
    if harm is not None:
        harm()
    if name == "connecting, refused":
        one.until_error()
    one.until_state(state)
    began_s = time.monotonic()
    one.capture.stop()
    assert time.monotonic() - began_s < STOP_S
    assert one.state is (State.FAILED if state is State.FAILED else State.ENDED)
    told = (one.seen, one.mailbox.received)
    until(lambda: not one.capture.is_alive, what="the end of its thread")
    assert (one.seen, one.mailbox.received) == told
    one.capture.stop()


def test_a_capture_can_be_stopped_from_what_it_calls() -> None:
    with mjpeg_camera() as camera, Watched(camera.url(), **QUICK) as one:
        one.when_unseen = one.capture.stop
        one.until_seen(5)
        camera.stop()
        one.until_state(State.RECONNECTING)
        camera.start()
        one.until_state(State.ENDED)
        until(lambda: not one.capture.is_alive)
        assert len(one.outages) == 1 and one.ended.is_set()
