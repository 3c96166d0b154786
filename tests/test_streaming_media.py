"""Other people's clips and awkward files made from them, where they lie beside the checkout.

They are found at ``LONGTAKE_MEDIA`` or ``../shared/media``; elsewhere these tests skip.
"""

import io
import math
import os
from pathlib import Path

import av
import numpy as np
import pytest

from longtake.streaming.errors import NeedsSeeking, NotAVideo, NoVideoStream, SourceError
from longtake.streaming.frame import Frame
from longtake.streaming.report import SourceReport
from longtake.streaming.sources import open_source

BESIDE = Path(__file__).resolve().parents[1].parent / "shared" / "media"
MEDIA = Path(os.environ.get("LONGTAKE_MEDIA", BESIDE))

pytestmark = pytest.mark.skipif(
    not (MEDIA / "stress").is_dir(),
    reason=f"no clips at {MEDIA} (LONGTAKE_MEDIA names another folder)",
)


def read(name: str, fps: float = 2, **options: float) -> tuple[list[Frame], SourceReport]:
    with open_source(MEDIA / name, fps=fps, max_side=160, **options) as source:  # type: ignore[arg-type]
        frames = list(source.frames())
    times = [frame.pts_s for frame in frames]
    assert times == sorted(times)
    assert options or times[0] == 0
    assert source.report.kept == len(frames)
    return frames, source.report


@pytest.mark.parametrize(
    ("name", "decoded", "ended_s"),
    [
        ("one-by-one.mp4", 1394, 139.3),
        ("bottle-detection.mp4", 1189, 39.82),
        ("asl_book.mkv", 109, 3.6),
        ("gopro_max.mp4", 315, 10.48),
        ("tears.webm", 1691, 70.42),
        ("nasa_13013.mp4", 390, 12.98),  # its second, larger stream
        ("av1_video.mkv", 125, 4.96),
        ("h265_video.mp4", 10, 0.9),
        ("decord_90.mov", 3, 0.07),
        ("tree.avi", 68, 29.53),
        ("stress/vfr.mp4", 103, 11.97),
        ("stress/gap5s.mp4", 209, 11.97),
        ("stress/ptswrap.ts", 358, 11.97),
        ("stress/rot90.mp4", 152, 5.09),
        ("stress/odd161x91_444.mp4", 10, 1.8),
        ("stress/oneframe.mp4", 1, 0.0),
        ("stress/still.jpg", 1, 0.0),
        ("stress/blackout.mp4", 299, 9.99),
        ("stress/longgop.mp4", 200, 19.9),
        ("stress/h265.mkv", 50, 4.9),
        ("stress/vp9.webm", 30, 2.9),
    ],
)
def test_sound_files_are_read_to_their_end(name: str, decoded: int, ended_s: float) -> None:
    frames, report = read(name)
    assert (report.decoded, report.complete) == (decoded, True), report
    assert report.ended_s == pytest.approx(ended_s, abs=0.01)
    assert (report.bad_packets, report.times_repaired, report.times_made_up) == (0, 0, 0)
    assert len(frames) <= 2 * ended_s + 1


@pytest.mark.parametrize("name", ["tree.avi", "stress/vfr.mp4", "stress/gap5s.mp4", "asl_book.mkv"])
def test_frames_are_kept_by_time_and_not_by_number(name: str) -> None:
    whole, _ = read(name, fps=1000)
    halves = {math.floor(frame.pts_s * 2 + 0.004) for frame in whole}  # that hold a frame
    frames, _ = read(name, fps=2)
    assert len(frames) == len(halves) < len(whole)


def test_a_gap_stays_a_gap() -> None:
    frames, _ = read("stress/gap5s.mp4")
    assert not [frame for frame in frames if 4.1 < frame.pts_s < 8.9]
    assert [frame for frame in frames if 9.0 <= frame.pts_s < 9.1]


@pytest.mark.parametrize(
    ("name", "decoded", "says"),
    [
        ("stress/trunc_half.mp4", 685, "stops at 68.4 of 139.4 s"),
        ("stress/trunc_faststart.mp4", 204, "stops at 6.8 of 12.1 s"),
    ],
)
def test_cut_off_files_give_what_they_have_and_say_where_they_stop(
    name: str, decoded: int, says: str
) -> None:
    _, report = read(name)
    assert (report.decoded, report.complete, report.end_reason) == (decoded, False, says)


def test_a_refused_packet_costs_one_frame() -> None:
    _, report = read("decord_corrupted.mp4")
    assert (report.decoded, report.bad_packets, report.corrupt) == (49, 1, 1)
    assert report.complete


def test_a_raw_stream_gets_its_times_from_its_rate() -> None:
    _, report = read("stress/raw.h264")
    assert (report.decoded, report.times_made_up) == (50, 50)
    assert report.ended_s == pytest.approx(4.9)


def test_a_size_change_is_counted_and_time_goes_on() -> None:
    frames, report = read("stress/reschange.ts")
    assert (report.decoded, report.size_changes) == (180, 1)
    assert report.times_repaired >= 1
    assert report.ended_s == pytest.approx(5.92, abs=0.05)
    assert report.complete
    assert {frame.image.shape for frame in frames} == {(90, 160, 3)}


@pytest.mark.parametrize("name", ["stress/rot90.mp4", "decord_90.mov"])
def test_turned_pictures_stand_upright(name: str) -> None:
    frames, _ = read(name)
    assert all(frame.image.shape == (160, 90, 3) for frame in frames)


@pytest.mark.parametrize(("name", "quarters"), [("stress/rot90.mp4", 1), ("decord_90.mov", -1)])
def test_the_sign_of_a_turn_counts(name: str, quarters: int) -> None:
    with av.open(str(MEDIA / name)) as container:
        lying = next(container.decode(video=0)).to_ndarray(format="rgb24")
    with open_source(MEDIA / name, fps=1) as source:
        standing = next(source.frames()).image
    assert (standing == np.rot90(lying, quarters)).all()


def test_odd_sizes_stay_odd() -> None:
    with open_source(MEDIA / "stress/odd161x91_444.mp4", fps=1) as source:
        assert next(source.frames()).image.shape == (91, 161, 3)


@pytest.mark.parametrize(
    ("name", "kind", "says"),
    [
        ("zero.mp4", NotAVideo, "empty"),
        ("text.mp4", NotAVideo, "text"),
        ("random.mp4", NotAVideo, "no known format"),
        ("moov_missing.mp4", NotAVideo, "incomplete"),
        ("audioonly.m4a", NoVideoStream, "holds: audio"),
    ],
)
def test_what_is_no_video_is_refused_by_name(name: str, kind: type[SourceError], says: str) -> None:
    with pytest.raises(kind, match=f"{name}: .*{says}"):
        open_source(MEDIA / "stress" / name, fps=1)


def test_sound_alone_says_which_streams_there_are() -> None:
    with pytest.raises(NoVideoStream, match=r"has no video stream; it holds: audio$"):
        open_source(MEDIA / "stress/audioonly.m4a", fps=1)


def test_one_picture_is_a_whole_video_and_has_no_length_to_divide_by() -> None:
    for name in ("stress/still.jpg", "stress/oneframe.mp4"):
        frames, report = read(name)
        assert ([frame.pts_s for frame in frames], report.end_reason) == ([0], "end of file")


def test_made_up_times_are_said() -> None:
    _, report = read("stress/raw.h264")
    assert "times_made_up 50" in str(report)


class OneWay(io.BytesIO):
    """Bytes that cannot be read again."""

    def seekable(self) -> bool:
        return False


THROUGH_A_PIPE = {  # what comes as it does from a file; all else has its index at the end
    "asl_book.mkv",
    "av1_video.mkv",
    "ptswrap.ts",
    "raw.h264",
    "reschange.ts",
    "still.jpg",
    "trunc_faststart.mp4",
    "h265.mkv",
    "vp9.webm",
}


SMALL = [p for p in sorted(MEDIA.rglob("*.*")) if p.suffix != ".md" and p.stat().st_size < 1 << 20]


@pytest.mark.parametrize("path", SMALL, ids=lambda path: path.name)
def test_through_a_pipe_a_file_gives_the_same_or_says_why_not(path: Path) -> None:
    stream = OneWay(path.read_bytes())
    if path.name not in THROUGH_A_PIPE:
        with pytest.raises(SourceError) as caught:
            open_source("-", fps=2, stdin=stream)
        assert str(caught.value).startswith("standard input: ")
        try:
            open_source(path, fps=2).close()
        except SourceError:
            return  # nor is it one as a file
        assert isinstance(caught.value, NeedsSeeking)
        return
    with open_source("-", fps=2, max_side=32, stdin=stream) as source:
        times = [frame.pts_s for frame in source.frames()]
    with open_source(path, fps=2, max_side=32) as file:
        assert times == pytest.approx([frame.pts_s for frame in file.frames()])
    assert (source.report.decoded, source.report.bad_packets) == (
        file.report.decoded,
        file.report.bad_packets,
    )
    assert source.report.complete == file.report.complete


@pytest.mark.parametrize(
    ("name", "start_s"),
    [
        ("bottle-detection.mp4", 20.0),
        ("asl_book.mkv", 2.05),
        ("tree.avi", 12.0),
        ("stress/longgop.mp4", 15.0),
        ("stress/ptswrap.ts", 7.5),
        ("stress/raw.h264", 2.5),
        ("stress/gap5s.mp4", 6.0),
        ("stress/reschange.ts", 4.0),
    ],
)
def test_a_part_is_the_same_as_that_part_of_the_whole(name: str, start_s: float) -> None:
    whole, _ = read(name, fps=1000)
    part, report = read(name, fps=1000, start_s=start_s, stop_s=start_s + 1.5)
    expected = [frame for frame in whole if start_s <= frame.pts_s < start_s + 1.5]
    assert [f.pts_s for f in part] == pytest.approx([f.pts_s for f in expected], abs=0.001)
    if part:
        assert (part[0].image == expected[0].image).all()
    assert report.complete
