"""What is said of a source is what it is: its real rate, its backlog, its stamps, its transport."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtake import cli
from longtake.cli.capture_flags import av_options, capture_config, set_capture
from longtake.streaming import camera_stream
from longtake.streaming.addresses import Address, parse_address
from longtake.streaming.camera_stream import CameraStream
from longtake.streaming.capture_config import CaptureConfig
from longtake.streaming.errors import (
    NotAVideo,
    SourceError,
    SourceLost,
    SourceNotFound,
    SourceNotSupported,
    SourceRefused,
    SourceTimeout,
)
from longtake.streaming.looking import Look
from longtake.streaming.probed import Measured, Probed
from longtake.streaming.probing import probe
from tests.clips import write_clip
from tests.rigs import rtsp
from tests.rigs.http_camera import HttpFolder, mjpeg_camera

LAVFI = "lavfi:testsrc=size=64x48:rate=25,realtime"
ALLOWED = CaptureConfig(allow=frozenset({"lavfi"}))
SECRET = "s3cr3t"
REAL_OPEN, REAL_FRAMES = camera_stream.open_camera, CameraStream.frames
RATE_WITHIN = 0.4  # machines under load are late; 10 a second is still not 25


@dataclass
class Picture:
    """As much of a decoded frame as is looked at."""

    width: int = 64
    height: int = 48
    rotation: int = 0
    is_corrupt: bool = False
    key_frame: bool = False


def looked(
    frames: list[tuple[float | None, float]], *, is_live: bool = True, are_made_up: bool = False
) -> Measured:
    """Stamps and arrivals of frames, looked at."""
    look = Look(1e9, is_live=is_live, are_made_up=are_made_up)
    for stamp_s, arrived_s in frames:
        look.saw(Picture(), stamp_s, arrived_s)  # type: ignore[arg-type]
    return look.measured(bad_packets=0)


def even(count: int, fps: float, begin_s: float = 0.0) -> list[float]:
    return [begin_s + number / fps for number in range(count)]


# What frames say


def test_an_even_camera_has_its_rate_no_jitter_and_no_backlog() -> None:
    measured = looked(list(zip(even(50, 10, 7.0), even(50, 10, 100.0), strict=True)))
    assert measured.fps_by_arrival == pytest.approx(10) == measured.fps_by_stamps
    assert measured.jitter_s == pytest.approx(0, abs=1e-9)
    assert measured.backlog_s == pytest.approx(0, abs=1e-9)
    assert measured.looked_s == pytest.approx(4.9) and measured.stamps.first_s == 7.0


def test_a_burst_on_opening_is_the_backlog_and_no_part_of_the_rate() -> None:
    stamps = even(60, 10)
    arrivals = [max(0.001 * number, stamp_s - 2.6) for number, stamp_s in enumerate(stamps)]
    measured = looked(list(zip(stamps, arrivals, strict=True)))
    assert measured.backlog_s == pytest.approx(2.6, abs=0.05)
    assert measured.fps_by_arrival == pytest.approx(10, rel=0.02)
    assert measured.jitter_s == pytest.approx(0, abs=0.001)


def test_the_last_of_a_burst_is_no_part_of_the_rate() -> None:
    """It is within the tolerance by which a burst is told from its lead."""
    stamps = even(30, 25)
    arrivals = [max(0.001 * number, stamp_s - 0.16) for number, stamp_s in enumerate(stamps)]
    measured = looked(list(zip(stamps, arrivals, strict=True)))
    assert measured.fps_by_arrival == pytest.approx(25, rel=0.02)
    stampless = looked([(None, at_s) for at_s in arrivals])
    assert stampless.fps_by_arrival == pytest.approx(25, rel=0.02)


def test_uneven_arrivals_are_said_as_jitter() -> None:
    stamps = even(101, 10)
    arrivals = [s + (0.03 if n % 2 else 0.0) for n, s in enumerate(stamps)]
    jitter_s = looked(list(zip(stamps, arrivals, strict=True))).jitter_s
    assert jitter_s == pytest.approx(0.06) or jitter_s == pytest.approx(0.03)


def test_made_up_stamps_say_nothing_of_a_backlog() -> None:
    frames = list(zip(even(50, 25), even(50, 10), strict=True))
    measured = looked(frames, are_made_up=True)
    assert measured.backlog_s is None and measured.stamps.are_made_up
    assert measured.fps_by_arrival == pytest.approx(10)


def test_odd_stamps_are_counted_and_leave_the_rate_alone() -> None:
    stamps: list[float | None] = [*even(20, 10)]
    stamps += even(20, 10, 86_400.0)  # a day's jump
    stamps += even(20, 10, 0.5)  # a restart
    stamps[5] = None
    measured = looked(list(zip(stamps, even(60, 10), strict=True)))
    odd = measured.stamps
    assert (odd.missing, odd.jumps, odd.backwards) == (1, 1, 1)
    assert measured.fps_by_stamps == pytest.approx(10)
    assert measured.backlog_s == pytest.approx(0, abs=1e-6)


def test_a_stream_without_any_stamps_has_its_rate_by_arrival() -> None:
    measured = looked([(None, at_s) for at_s in even(30, 10)])
    assert measured.fps_by_stamps is None and measured.stamps.first_s is None
    assert measured.fps_by_arrival == pytest.approx(10) and measured.backlog_s is None


def test_a_recording_has_no_rate_by_arrival() -> None:
    measured = looked(list(zip(even(30, 10), even(30, 1000), strict=True)), is_live=False)
    assert measured.fps_by_arrival is None and measured.jitter_s is None
    assert measured.backlog_s is None and measured.looked_s == pytest.approx(2.9)


def test_pictures_are_counted_by_what_is_odd_about_them() -> None:
    look = Look(1e9, is_live=True)
    pictures = [
        Picture(key_frame=True, rotation=-90),
        Picture(is_corrupt=True, rotation=-90),
        Picture(width=32, key_frame=True),
        Picture(width=32),
        Picture(key_frame=True),
    ]
    for number, picture in enumerate(pictures):
        look.saw(picture, number * 0.5, number * 0.5)  # type: ignore[arg-type]
    measured = look.measured(bad_packets=3)
    assert (measured.corrupt, measured.bad_packets, measured.size_changes) == (1, 3, 2)
    assert measured.rotation == 270 and measured.size == (64, 48)
    assert measured.key_frame_s == pytest.approx(1.0)


def test_one_frame_is_enough_to_say_something() -> None:
    measured = looked([(None, 5.0)])
    assert measured.frames == 1 and measured.looked_s == 0.0
    assert measured.fps_by_arrival is measured.fps_by_stamps is measured.key_frame_s is None


@given(
    st.lists(
        st.tuples(st.none() | st.floats(-1e5, 1e5), st.floats(0, 10).map(lambda s: round(s, 4))),
        min_size=1,
    ),
    st.booleans(),
    st.booleans(),
)
def test_whatever_comes_the_numbers_are_sane(
    frames: list[tuple[float | None, float]], is_live: bool, are_made_up: bool
) -> None:
    at_s, arrived = 0.0, []
    for stamp_s, step_s in frames:
        at_s += step_s
        arrived.append((stamp_s, at_s))
    measured = looked(arrived, is_live=is_live, are_made_up=are_made_up)
    assert measured.frames == len(frames) and measured.looked_s >= 0
    for rate in (measured.fps_by_arrival, measured.fps_by_stamps):
        assert rate is None or rate > 0
    for length_s in (measured.jitter_s, measured.backlog_s):
        assert length_s is None or (length_s >= 0 and math.isfinite(length_s))
    for is_kind_live in (True, False):
        assert all(probed(measured, is_live=is_kind_live).warnings)


@pytest.mark.parametrize("is_live", [True, False])
def test_the_look_is_over_when_its_time_is(is_live: bool) -> None:
    look = Look(2.0, is_live=is_live)
    assert not look.is_done
    for at_s in (100.0, 101.0, 101.9):
        look.saw(Picture(), None, at_s)  # type: ignore[arg-type]
        assert not look.is_done
    look.saw(Picture(), None, 102.0)  # type: ignore[arg-type]
    assert look.is_done, "also where no stamp tells how far a recording is"


# Warnings


def probed(measured: Measured, **facts: Any) -> Probed:
    from longtake.streaming.probed import StreamFacts

    stream = StreamFacts(0, "video", "h264", (64, 48), "yuv420p", facts.pop("header_fps", 10.0))
    given: dict[str, Any] = {
        "address": "rtsp://cam/main",
        "kind": "rtsp",
        "format": "rtsp",
        "is_live": True,
        "files": 1,
        "streams": (stream,),
        "chosen": 0,
        "pixel_aspect": 1.0,
        "promised_s": None,
        "open_s": 0.1,
        "first_frame_s": 0.2,
        "options": {},
        "transport": "tcp",
        "ended": "",
    }
    return Probed(measured=measured, **{**given, **facts})


def test_a_camera_as_it_should_be_has_no_warning() -> None:
    fine = looked(list(zip(even(30, 10), even(30, 10), strict=True)))
    assert probed(fine).warnings == ()
    assert "cannot be known without a clock in the picture" in probed(fine).latency


@pytest.mark.parametrize(
    ("frames", "facts", "said"),
    [
        ((even(30, 25), even(30, 25)), {"header_fps": 90000.0}, "are 25 a second, but the header"),
        ((even(30, 25), even(30, 10)), {}, "arrive 10 a second"),
        ((even(90, 10), [0.0] * 60 + even(30, 10, 1.0)), {}, "came in a burst on opening"),
        ((even(60, 10), even(60, 10)), {}, "key frames are 5.9 s or more apart"),
        ((even(30, 10), even(30, 10)), {"ended": "it ended"}, "no more frames after 2.9 s: it"),
        ((even(30, 10), even(30, 10)), {"pixel_aspect": 1.333}, "1.33 times as wide as high"),
        (([None, *even(29, 10)], even(30, 10)), {}, "1 of 30 frames have no time stamp"),
    ],
)
def test_what_is_odd_is_said_in_words(
    frames: tuple[list[float | None], list[float]], facts: dict[str, Any], said: str
) -> None:
    warnings = probed(looked(list(zip(*frames, strict=True))), **facts).warnings
    assert any(said in warning for warning in warnings), warnings


# Recordings


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("probed") / "clip.mp4", seconds=4, fps=12)


def test_a_file_is_read_for_so_long_of_its_own_time(clip: Path) -> None:
    found = probe(clip, seconds=2.0)
    assert (found.kind, found.is_live, found.files) == ("file", False, 1)
    assert "mp4" in found.format and found.stream.codec == "h264"
    assert found.stream.size == (64, 48) == found.measured.size
    assert found.fps == pytest.approx(12) == found.stream.fps
    assert found.measured.frames == 25 and found.promised_s == pytest.approx(4)
    assert found.ended == "" and found.warnings == () and found.options == {}


def test_a_file_that_is_over_sooner_than_asked_is_fine(clip: Path) -> None:
    found = probe(clip, seconds=60.0)
    assert found.measured.frames == 48 and found.ended == "" and found.warnings == ()


def test_a_file_that_is_cut_off_says_so(clip: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole.mkv"
    with av.open(str(clip)) as source, av.open(str(whole), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    found = probe(cut, seconds=60.0)
    assert "promised 4.0 s and is cut off" in found.ended
    assert any("cut off" in warning for warning in found.warnings)


def test_a_folder_is_known_by_its_first_file(clip: Path, tmp_path: Path) -> None:
    import cv2

    for number in range(3):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.zeros((20, 30, 3), np.uint8))
    found = probe(tmp_path)
    assert (found.kind, found.files, found.measured.frames) == ("folder", 3, 1)
    assert found.measured.size == (30, 20)
    assert found.fps is None and found.stream.fps is None and found.promised_s is None


def test_standard_input_can_be_looked_at(clip: Path) -> None:
    command = [sys.executable, "-m", "longtake", "probe", "-", "--json"]
    with clip.open("rb") as stdin:
        done = subprocess.run(command, stdin=stdin, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["kind"] == "stdin"


def test_what_is_no_video_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFound):
        probe(tmp_path / "nowhere.mp4")
    text = tmp_path / "words.mp4"
    text.write_text("no video at all\n" * 99)
    with pytest.raises(NotAVideo, match=r"words\.mp4"):
        probe(text)


@pytest.mark.parametrize("seconds", [0.0, -1.0, 601.0, float("nan"), float("inf")])
def test_a_look_has_a_sane_length(clip: Path, seconds: float) -> None:
    with pytest.raises(ValueError, match=r"0\.1 to 600"):
        probe(clip, seconds=seconds)


# Cameras


def test_a_local_camera_is_measured_by_arrival() -> None:
    found = probe(LAVFI, ALLOWED, 1.0)
    assert found.is_live and found.kind == "lavfi"
    assert found.measured.fps_by_arrival == pytest.approx(25, rel=RATE_WITHIN)
    assert found.fps == found.measured.fps_by_arrival
    assert found.measured.looked_s >= 1.0
    assert found.first_frame_s >= found.open_s > 0


def test_a_camera_can_be_read_like_a_recording() -> None:
    read = CaptureConfig(allow=frozenset({"lavfi"}), live=False)
    found = probe(LAVFI.removesuffix(",realtime"), read, 2.0)
    assert not found.is_live and found.measured.frames == 51
    assert found.measured.fps_by_arrival is None and found.fps == pytest.approx(25)


def test_graphs_have_to_be_allowed() -> None:
    with pytest.raises(SourceNotSupported, match="--allow-lavfi"):
        probe(LAVFI)


def test_a_source_without_any_pace_ends_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("longtake.streaming.looking.MAX_FRAMES", 50)
    found = probe("lavfi:testsrc=size=64x48:rate=25", ALLOWED, 600.0)
    assert found.measured.frames == 50


def test_an_http_camera_has_made_up_stamps_and_its_real_rate() -> None:
    with mjpeg_camera(fps=10) as camera:
        found = probe(camera.url(), seconds=1.5)
    assert found.kind == "http" and found.is_live and found.measured.stamps.are_made_up
    assert found.fps == pytest.approx(10, rel=RATE_WITHIN)
    assert any("the header says 25" in warning for warning in found.warnings)


def test_a_recording_over_http_is_found_to_be_one(clip: Path) -> None:
    with HttpFolder(clip.parent) as server:
        found = probe(server.url(clip.name), seconds=2.0)
        assert not found.is_live and found.measured.frames == 25
        assert found.measured.stamps.first_s == 0.0 and found.promised_s == pytest.approx(4)
        with pytest.raises(SourceNotFound, match="404"):
            probe(server.url("nothing.mp4"))


def test_a_wrong_password_is_an_error_that_does_not_say_it() -> None:
    with mjpeg_camera(login="bob:right") as camera:
        with pytest.raises(SourceRefused) as raised:
            probe(camera.url(f"bob:{SECRET}"))
        assert SECRET not in str(raised.value)
        shown = probe(camera.url("bob:right"), seconds=0.3)
    assert "right" not in repr(shown) and "***" in shown.address


@pytest.mark.skipif(bool(rtsp.missing()), reason=rtsp.missing())
@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_of_an_rtsp_camera_the_transport_is_known(transport: str) -> None:
    with rtsp.RtspCamera("--transports", transport) as camera:
        found = probe(camera.url(), seconds=1.0)
    assert found.kind == "rtsp" and found.is_live and found.transport in (transport, None)
    assert transport == "udp" or found.transport == "tcp"
    assert found.fps == pytest.approx(25, rel=RATE_WITHIN)
    assert found.stream.codec == "h264" and found.measured.key_frame_s is not None


def opens(by: dict[str, SourceError | None]) -> Callable[[Address, CaptureConfig], CameraStream]:
    """In place of `open_camera`: what each transport brings; None a local camera."""
    local = parse_address(LAVFI, {"lavfi"})

    def open_camera(address: Address, config: CaptureConfig) -> CameraStream:
        failure = by[config.av_options.get("rtsp_transport", "any")]
        if failure is not None:
            raise failure
        return REAL_OPEN(local, config)

    return open_camera


def test_a_transport_that_is_refused_gives_way_to_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refused = SourceLost("cam: its transport was refused")
    for by, transport in (
        ({"tcp": None}, "tcp"),
        ({"tcp": refused, "udp": None}, "udp"),
        ({"tcp": refused, "udp": refused, "any": None}, None),
    ):
        monkeypatch.setattr(camera_stream, "open_camera", opens(by))
        assert probe("rtsp://cam/main", seconds=0.1).transport == transport
    monkeypatch.setattr(camera_stream, "open_camera", opens({"tcp": SourceRefused("cam: 401")}))
    with pytest.raises(SourceRefused):
        probe("rtsp://cam/main")


def breaking(after: int, failure: SourceError | None) -> Callable[..., Iterator[Any]]:
    """In place of `CameraStream.frames`: so many, then the failure or the end."""

    def frames(self: CameraStream, *given: Any) -> Iterator[Any]:
        for number, frame in enumerate(REAL_FRAMES(self, *given)):
            if number == after:
                break
            yield frame
        if failure is not None:
            raise failure

    return frames


def test_what_was_seen_before_a_camera_broke_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    failure = SourceTimeout(f"{LAVFI}: no frame for 5.0 s")
    monkeypatch.setattr(CameraStream, "frames", breaking(5, failure))
    found = probe(LAVFI, ALLOWED)
    assert found.measured.frames == 5 and found.ended == "no frame for 5.0 s"
    monkeypatch.setattr(CameraStream, "frames", breaking(5, None))
    assert probe(LAVFI, ALLOWED).ended == "it ended"


def test_a_camera_without_a_picture_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CameraStream, "frames", breaking(0, None))
    with pytest.raises(SourceLost, match="before its first picture"):
        probe(LAVFI, ALLOWED)
    monkeypatch.setattr(CameraStream, "frames", breaking(0, SourceTimeout("cam: no frame")))
    with pytest.raises(SourceTimeout, match="no frame"):
        probe(LAVFI, ALLOWED)
    clock = iter(range(0, 10_000, 20)).__next__
    monkeypatch.setattr(CameraStream, "frames", breaking(0, None))
    with pytest.raises(SourceTimeout, match="sent no picture within 30 s"):
        probe(LAVFI, ALLOWED, clock=lambda: float(clock()))


# The command


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*words: object) -> tuple[int, str, str]:
        code = cli.main([str(word) for word in words])
        out, err = capsys.readouterr()
        return code, out, err

    return call


def test_the_table_says_what_it_is_and_what_is_odd(run: Run) -> None:
    code, out, err = run("probe", LAVFI, "--allow-lavfi", "--seconds", "0.5")
    assert code == 0 and err == ""
    assert out.splitlines()[0] == LAVFI
    for said in ("a filter graph, live", "64 x 48", "frames/s by arrival", "clock in the picture"):
        assert said in out
    assert max(map(len, out.splitlines())) < 160


def test_json_is_one_documented_object(run: Run, clip: Path) -> None:
    code, out, _ = run("probe", clip, "--json")
    assert code == 0
    shown = json.loads(out)
    assert shown["schema"] == "longtake.probe/1" and shown["live"] is False
    assert shown["fps"] == pytest.approx(12) and shown["warnings"] == []
    page = (Path(__file__).parents[1] / "docs" / "json.md").read_text()
    section = re.search(r"^## `longtake\.probe/1`$(.*?)(^## |\Z)", page, re.DOTALL | re.MULTILINE)
    assert section is not None
    for name in (*shown, *shown["streams"][0], *shown["stamps"]):
        assert f"`{name}`" in section[1], f"{name} is not documented"


def test_a_source_that_cannot_be_read_ends_with_4(run: Run, tmp_path: Path) -> None:
    for words in (
        [tmp_path / "nowhere.mp4"],
        [LAVFI],
        ["/dev/video97"],
        [f"rtsp://bob:{SECRET}@127.0.0.1:9/cam?key={SECRET}"],
    ):
        code, out, err = run("probe", *words)
        assert code == cli.SOURCE and out == "" and err.startswith("longtake: "), words
        assert SECRET not in err and "Traceback" not in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "SOURCE"),
        (["x.mp4", "--seconds", "0"], "seconds=0"),
        (["x.mp4", "--seconds", "soon"], "'soon' is not a number"),
        (["x.mp4", "--preset", "fast"], "preset='fast'"),
        (["x.mp4", "--av-opt", "timeout"], "'timeout' is no NAME=VALUE"),
        (["x.mp4", "--av-opt", f"={SECRET}"], "--av-opt"),
    ],
)
def test_a_flag_that_makes_no_sense_ends_with_2(run: Run, words: list[str], said: str) -> None:
    code, out, err = run("probe", *words)
    assert code == cli.USAGE and out == "" and said in err and SECRET not in err


def test_what_the_configuration_says_of_cameras_counts(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    words = ("probe", LAVFI, "--allow-lavfi", "--seconds", "0.2")
    file = tmp_path / "longtake.toml"
    file.write_text("[capture]\nconnect_s = -1.0\n")
    code, _, err = run(*words, "--config", file)
    assert code == cli.CONFIGURATION and "longtake.toml line 2" in err
    monkeypatch.setenv("LONGTAKE_PRESET", "fast")
    code, _, err = run(*words)
    assert code == cli.CONFIGURATION and "LONGTAKE_PRESET" in err


def test_what_is_set_of_cameras_is_read_only_where_something_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LONGTAKE_STALL_S", "7")
    assert set_capture().stall_s == 7.0
    monkeypatch.delenv("LONGTAKE_STALL_S")
    file = tmp_path / "longtake.toml"
    file.write_text("[take]\nfps = 2.0\n[capture]\nbackoff_s = 3.0\n")
    monkeypatch.setenv("LONGTAKE_CONFIG", str(file))
    assert set_capture().backoff_s == 3.0
    file.write_text("[take]\nfps = 2.0\n")
    assert set_capture() == CaptureConfig()


def test_a_rate_over_few_frames_is_unsure(run: Run, tmp_path: Path) -> None:
    few = write_clip(tmp_path / "few.mp4", seconds=1, fps=6)
    assert "(unsure: 6 frames)" in run("probe", few)[1]


def test_options_that_are_secret_are_not_shown(run: Run) -> None:
    with mjpeg_camera(fps=20) as camera:
        flags = ["--av-opt", f"headers=X-Key: {SECRET}", "--av-opt", "probesize=4096"]
        for form in ([], ["--json"]):
            code, out, err = run("probe", camera.url(), "--seconds", "0.2", *flags, *form)
            assert code == 0, err
            assert SECRET not in out + err and "4096" in out


# The flags


def test_flags_become_the_configuration() -> None:
    made = capture_config(
        live=False,
        preset="udp",
        av_opt=["a=1", "b=x=y", "a=2"],
        policy="every",
        sampling="adaptive",
        still=0.1,
        scene=0.2,
        mask=["door:0,0 1,0 1,1"],
        stall=3.0,
        reconnects=4,
        allow_lavfi=True,
    )
    assert (made.live, made.preset, made.policy, made.sampling) == (
        False,
        "udp",
        "every",
        "adaptive",
    )
    assert made.av_options == {"a": "2", "b": "x=y"}
    assert (made.still, made.scene, made.stall_s, made.reconnects) == (0.1, 0.2, 3.0, 4)
    assert made.masks[0].camera == "door" and made.allow == {"lavfi"}


def test_flags_that_are_not_given_leave_what_was_set() -> None:
    assert capture_config() == CaptureConfig()
    base = capture_config(av_opt=["a=1", "b=1"], mask=["0,0 1,0 1,1"], stall=9.0, live=True)
    assert capture_config(base=base) == base
    more = capture_config(av_opt=["b=2"], mask=["0,0 1,0 0,1"], base=base)
    assert more.av_options == {"a": "1", "b": "2"} and len(more.masks) == 2
    assert more.stall_s == 9.0 and more.live is True


def test_an_option_without_a_name_is_refused_and_its_value_unsaid() -> None:
    for bad in ("", "=", f"={SECRET}", "word"):
        with pytest.raises(ValueError, match="--av-opt") as raised:
            av_options([bad])
        assert SECRET not in str(raised.value)
