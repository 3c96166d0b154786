"""Odd time stamps in real files: straightened, counted, and time never goes back."""

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from tests.test_streaming_sources import make_clip, numbers, read, steps, times

WRAP_S = 2**33 / 90_000  # where the clock of an MPEG transport stream starts again


def remux(path: Path, out: Path, stamps_s: Sequence[float]) -> Path:
    """Copy the packets of `path` with other stamps, one after the other."""
    with av.open(str(path)) as old, av.open(str(out), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        packets = [packet for packet in old.demux(video=0) if packet.dts is not None]
        for packet, stamp_s in zip(packets, stamps_s, strict=True):
            packet.pts = packet.dts = round(stamp_s / packet.time_base)
            packet.duration = 0
            packet.stream = stream
            new.mux(packet)
    return out


@pytest.mark.parametrize("name", ["a.mkv", "a.ts"])
@pytest.mark.parametrize("first_s", [0.033, 1000.0, 90_000.0])
def test_a_late_first_stamp_is_time_zero(tmp_path: Path, name: str, first_s: float) -> None:
    frames, report = read(make_clip(tmp_path / name, steps(10, first_s=first_s)))
    assert times(frames) == pytest.approx(steps(10), abs=0.02)
    assert (report.times_repaired, report.times_made_up, report.complete) == (0, 0, True)


def test_a_counter_that_wraps_begins_below_zero_and_goes_on(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.ts", steps(20, first_s=WRAP_S - 1))
    with av.open(str(path)) as container:
        first_s = next(container.decode(video=0)).time
        assert first_s is not None and first_s == pytest.approx(-1.0, abs=0.1)
    frames, report = read(path)
    assert numbers(frames) == list(range(20))
    assert times(frames) == pytest.approx(steps(20), abs=0.02)
    assert report.complete
    assert report.ended_s == pytest.approx(1.9, abs=0.02)


@pytest.mark.parametrize("jump_s", [86_400.0, 3e9])
def test_a_jump_of_a_day_and_an_absurd_one_are_one_repair(tmp_path: Path, jump_s: float) -> None:
    stamps = [*steps(10), *steps(10, first_s=1.0 + jump_s)]
    path = remux(make_clip(tmp_path / "plain.nut", steps(20)), tmp_path / "a.nut", stamps)
    frames, report = read(path)
    assert numbers(frames) == list(range(20))
    assert times(frames) == pytest.approx(steps(20), abs=0.02)
    assert (report.times_repaired, report.complete) == (1, True)


def test_a_gap_of_half_an_hour_is_a_gap(tmp_path: Path) -> None:
    stamps = [*steps(10), *steps(10, first_s=1800.0)]
    frames, report = read(make_clip(tmp_path / "a.mkv", stamps))
    assert times(frames) == pytest.approx(stamps, abs=0.01)
    assert (report.times_repaired, report.complete) == (0, True)


def test_stamps_that_start_again_go_on_and_are_counted(tmp_path: Path) -> None:
    first = make_clip(tmp_path / "1.ts", steps(15, first_s=500)).read_bytes()
    second = make_clip(tmp_path / "2.ts", steps(15)).read_bytes()
    (tmp_path / "both.ts").write_bytes(first + second)
    frames, report = read(tmp_path / "both.ts", fps=100)
    assert (report.decoded, len(frames)) == (30, 30)
    assert report.times_repaired >= 1
    assert times(frames) == pytest.approx(steps(30), abs=0.25)
    assert all(a <= b for a, b in pairwise(times(frames)))


def test_a_raw_stream_has_times_from_its_rate_though_no_stamp(tmp_path: Path) -> None:
    frames, report = read(make_clip(tmp_path / "a.h264", steps(20)), fps=100)
    assert report.times_made_up == len(frames) == 20
    assert all(a < b for a, b in pairwise(times(frames)))
    assert "times_made_up 20" in str(report)


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_avi_with_b_frames_comes_in_the_order_of_display(tmp_path: Path, codec: str) -> None:
    path = tmp_path / "a.avi"  # AVI holds no presentation stamps; FFmpeg's shuffle with B-frames
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.max_b_frames = 2
        for number in range(20):
            gray = np.full((64, 96, 3), 6 * (number + 1), np.uint8)
            picture = av.VideoFrame.from_ndarray(gray)
            picture.pts, picture.time_base = number, Fraction(1, 10)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    frames, report = read(path)
    seen = [float(frame.image.mean()) / 6 - 1 for frame in frames]
    assert seen == pytest.approx(range(20), abs=0.7)
    assert times(frames) == pytest.approx(steps(20), abs=0.01)
    assert report.times_repaired == 0
    assert report.times_made_up <= 2  # the last ones, which bring no stamp of any use
    assert report.complete


def test_a_long_last_picture_is_part_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "slides.mkv"
    with av.open(str(make_clip(tmp_path / "plain.mkv", [0.0, 20.0]))) as old:
        with av.open(str(path), "w") as new:
            stream = new.add_stream_from_template(old.streams.video[0])
            for packet in old.demux(video=0):
                if packet.dts is not None:
                    packet.stream, packet.duration = stream, round(60 / packet.time_base)
                    new.mux(packet)
    frames, report = read(path, fps=1)
    assert times(frames) == pytest.approx([0, 20])
    assert report.promised_s == pytest.approx(80, abs=0.1)
    assert report.complete
