"""Files and folders as frames in session time, over small clips made here.

The n-th frame of a clip is gray, ``LEVEL * (n + 1)`` bright, so that a picture tells its number.
"""

import gc
import os
import stat
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from longtake.streaming import opening
from longtake.streaming.decoding import VideoFile
from longtake.streaming.errors import (
    BeyondEnd,
    EmptyFolder,
    NotAVideo,
    NoVideoStream,
    SourceError,
    SourceNotFound,
    SourceNotSupported,
)
from longtake.streaming.folders import natural_order
from longtake.streaming.frame import Frame
from longtake.streaming.report import SourceReport
from longtake.streaming.sources import open_source
from tests.clips import write_clip

LEVEL = 6


def make_clip(
    path: Path,
    times_s: Sequence[float],
    *,
    size: tuple[int, int] = (96, 64),
    codec: str = "libx264",
    key_every: int = 10,
    sound_s: float = 0.0,
    second_size: tuple[int, int] | None = None,
    **container_options: str,
) -> Path:
    """Write a clip with a frame at each of `times_s`, and streams beside it where asked for."""
    ticks = Fraction(1, 10 if path.suffix == ".h264" else 1000)  # a raw stream keeps no stamps
    with av.open(str(path), "w", options=container_options) as container:
        streams = []
        for width, height in [size, *([second_size] if second_size else [])]:
            stream = container.add_stream(codec, rate=10)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.codec_context.time_base = ticks
            stream.codec_context.gop_size = key_every
            if codec == "libx264":
                stream.options = {"preset": "ultrafast", "bf": "0"}
            streams.append(stream)
        sound = container.add_stream("aac", rate=8000, layout="mono") if sound_s else None
        for number, time_s in enumerate(times_s):
            for stream in streams:
                gray = np.full((stream.height, stream.width, 3), LEVEL * (number + 1), np.uint8)
                picture = av.VideoFrame.from_ndarray(gray)
                picture.pts, picture.time_base = round(time_s / ticks), ticks
                container.mux(stream.encode(picture))
        for stream in streams:
            container.mux(stream.encode(None))
        if sound is not None:
            for start in range(0, int(sound_s * 8000), 1024):
                samples = np.random.default_rng(start).random((1, 1024), np.float32)
                heard = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
                heard.pts, heard.sample_rate = start, 8000
                container.mux(sound.encode(heard))
            container.mux(sound.encode(None))
    return path


def steps(count: int, fps: float = 10, first_s: float = 0.0) -> list[float]:
    return [first_s + n / fps for n in range(count)]


def read(
    address: str | Path, fps: float = 10, **options: float
) -> tuple[list[Frame], SourceReport]:
    with open_source(address, fps=fps, **options) as source:  # type: ignore[arg-type]
        return list(source.frames()), source.report


def times(frames: list[Frame]) -> list[float]:
    return [frame.pts_s for frame in frames]


def numbers(frames: list[Frame]) -> list[int]:
    return [round(float(frame.image.mean()) / LEVEL) - 1 for frame in frames]


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.avi"])
def test_a_file_gives_the_frames_at_the_ticks(tmp_path: Path, name: str) -> None:
    codec = "mpeg4" if name.endswith("avi") else "libx264"
    frames, report = read(make_clip(tmp_path / name, steps(20), codec=codec), fps=2)
    assert numbers(frames) == [0, 5, 10, 15]
    assert times(frames) == pytest.approx([0, 0.5, 1, 1.5], abs=0.01)
    assert all(frame.image.shape == (64, 96, 3) for frame in frames)
    assert (report.decoded, report.kept, report.complete) == (20, 4, True)
    assert report.started_s == 0
    assert report.ended_s == pytest.approx(1.9, abs=0.01)
    assert report.end_reason == "end of file"


def test_a_slow_file_gives_every_frame(tmp_path: Path) -> None:
    frames, _ = read(make_clip(tmp_path / "a.mp4", steps(8, fps=2)), fps=10)
    assert numbers(frames) == list(range(8))


def test_a_variable_rate_and_a_gap_are_sampled_by_time(tmp_path: Path) -> None:
    stamps = [0, 0.1, 0.2, 0.9, 1.0, 1.3, 6.2, 6.3, 7.0]
    frames, report = read(make_clip(tmp_path / "a.mp4", stamps), fps=1)
    assert numbers(frames) == [0, 4, 6, 8]
    assert times(frames) == pytest.approx([0, 1.0, 6.2, 7.0], abs=0.01)
    assert report.complete


@pytest.mark.parametrize("name", ["a.mkv", "a.ts"])
def test_session_time_counts_from_the_first_frame(tmp_path: Path, name: str) -> None:
    frames, report = read(make_clip(tmp_path / name, steps(10, first_s=5.0)))
    assert times(frames) == pytest.approx(steps(10), abs=0.01)
    assert report.times_repaired == 0
    assert report.complete


def test_frames_without_time_stamps_get_them_from_the_rate_and_it_is_said(tmp_path: Path) -> None:
    frames, report = read(make_clip(tmp_path / "a.h264", steps(10)))
    assert report.times_made_up == report.decoded == len(frames) == 10
    gaps = [b - a for a, b in pairwise(times(frames))]
    assert min(gaps) > 0 and max(gaps) == pytest.approx(min(gaps))
    assert report.complete


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.h264"])
@pytest.mark.parametrize(("start_s", "stop_s"), [(0.0, 0.55), (0.95, 2.0), (1.73, 9.0)])
def test_a_part_is_the_same_as_that_part_of_the_whole(
    tmp_path: Path, name: str, start_s: float, stop_s: float
) -> None:
    path = make_clip(tmp_path / name, steps(30, first_s=0.4), key_every=7)
    whole, _ = read(path)
    part, report = read(path, start_s=start_s, stop_s=stop_s)
    expected = [frame for frame in whole if start_s <= frame.pts_s < stop_s]
    assert len(expected) > 3
    assert times(part) == pytest.approx(times(expected))
    assert numbers(part) == numbers(expected)
    assert (report.started_s, report.ended_s) == pytest.approx((part[0].pts_s, part[-1].pts_s))
    assert report.complete


def test_a_part_of_a_long_file_does_not_decode_it_all(tmp_path: Path) -> None:
    _, report = read(make_clip(tmp_path / "a.mp4", steps(40), key_every=5), start_s=3.5)
    assert report.decoded <= 10


@pytest.mark.parametrize("name", ["a.mp4", "a.h264"])
def test_beginning_after_the_end_names_both_times(tmp_path: Path, name: str) -> None:
    with pytest.raises(BeyondEnd, match=r"a\..*begin at 60 s.*ends at \d") as caught:
        read(make_clip(tmp_path / name, steps(10)), start_s=60)
    assert caught.value.end_s < 5


def test_a_cut_off_file_keeps_what_could_be_read_and_says_where_it_stops(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", steps(40), key_every=5, movflags="faststart")
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"mdat") + (len(data) - data.index(b"mdat")) // 2])
    frames, report = read(path)
    assert 10 < len(frames) < 30
    assert numbers(frames) == list(range(len(frames)))
    assert not report.complete
    assert report.promised_s == pytest.approx(4.0, abs=0.01)
    assert report.ended_s == frames[-1].pts_s
    assert report.end_reason == f"stops at {frames[-1].pts_s:.1f} of 4.0 s"
    with pytest.raises(BeyondEnd, match=r"begin at 3\.5 s, but it ends at"):
        read(path, start_s=3.5)


def test_damage_in_the_middle_costs_only_what_is_damaged(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.ts", steps(40), key_every=5)
    data = bytearray(path.read_bytes())
    for at in range(len(data) // 3, len(data) // 2, 97):
        data[at] ^= 0xFF
    path.write_bytes(data)
    frames, report = read(path)
    assert 10 < report.decoded < 40 or report.corrupt
    assert numbers(frames)[-1] == 39
    assert times(frames) == sorted(times(frames))


def test_a_size_change_and_a_new_beginning_in_mid_stream_keep_time_going(tmp_path: Path) -> None:
    first = make_clip(tmp_path / "1.ts", steps(10, first_s=3)).read_bytes()
    second = make_clip(tmp_path / "2.ts", steps(10), size=(64, 48)).read_bytes()
    (tmp_path / "both.ts").write_bytes(first + second)
    frames, report = read(tmp_path / "both.ts", fps=100)
    assert report.decoded == 20
    assert report.size_changes == 1
    assert report.times_repaired >= 1
    assert times(frames) == sorted(times(frames))
    assert frames[-1].pts_s == pytest.approx(1.9, abs=0.2)
    assert [frame.image.shape[:2] for frame in (frames[0], frames[-1])] == [(64, 96), (48, 64)]


def with_matrix(path: Path, *matrix: int) -> Path:
    """Write a display matrix ``a b c d`` into the header of an MP4's only track."""
    data = path.read_bytes()
    a, b, c, d = (value << 16 for value in matrix)
    at = data.index(b"tkhd") + 44
    packed = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data[:at] + packed + data[at + len(packed) :])
    return path


@pytest.mark.parametrize(
    ("matrix", "corner"),
    [
        ((1, 0, 0, 1), "top left"),
        ((0, 1, -1, 0), "top right"),  # a quarter turn with the clock
        ((-1, 0, 0, -1), "bottom right"),
        ((0, -1, 1, 0), "bottom left"),
    ],
)
def test_pictures_stand_upright(tmp_path: Path, matrix: tuple[int, ...], corner: str) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        picture = np.zeros((64, 96, 3), np.uint8)
        picture[:32, :48] = 255
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(stream.encode(None))
    frames, _ = read(with_matrix(path, *matrix))
    image = frames[0].image
    height, width = image.shape[:2]
    assert (height, width) == ((64, 96) if matrix[0] else (96, 64))
    corners = {
        f"{row} {column}": float(image[y : y + height // 4, x : x + width // 4].mean())
        for row, y in (("top", 0), ("bottom", height * 3 // 4))
        for column, x in (("left", 0), ("right", width * 3 // 4))
    }
    assert max(corners, key=lambda name: corners[name]) == corner


@pytest.mark.parametrize(
    ("size", "max_side", "shape"),
    [
        ((96, 64), 48, (32, 48)),
        ((64, 96), 48, (48, 32)),
        ((96, 64), 1000, (64, 96)),
        ((96, 64), 31, (21, 31)),
        ((320, 2), 16, (1, 16)),
    ],
)
def test_pictures_are_scaled_down_only_and_keep_their_aspect(
    tmp_path: Path, size: tuple[int, int], max_side: int, shape: tuple[int, int]
) -> None:
    path = make_clip(tmp_path / "a.mp4", [0.0], size=size, codec="mpeg4")
    frames, _ = read(path, max_side=max_side)
    assert frames[0].image.shape == (*shape, 3)
    assert frames[0].image.flags.c_contiguous


def test_one_frame_is_a_whole_video(tmp_path: Path) -> None:
    frames, report = read(make_clip(tmp_path / "a.mp4", [0.0]), fps=1)
    assert numbers(frames) == [0]
    assert times(frames) == [0]
    assert report.complete


@pytest.mark.parametrize("name", ["one.png", "100%d.png", "a:b.png"])
def test_a_picture_is_one_frame(tmp_path: Path, name: str) -> None:
    frames, report = read(make_picture(tmp_path / name, 3), fps=1)
    assert numbers(frames) == [3]
    assert (times(frames), report.complete) == ([0], True)


def test_the_largest_video_stream_is_read(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", steps(5), size=(64, 48), second_size=(96, 64))
    frames, _ = read(path)
    assert frames[0].image.shape == (64, 96, 3)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "untagged.mkv"])
def test_a_file_is_complete_when_its_pictures_are_though_sound_goes_on(
    tmp_path: Path, name: str
) -> None:
    path = make_clip(tmp_path / name, steps(10), sound_s=4.0)
    if name == "untagged.mkv":  # then the container promises for both at once
        path.write_bytes(path.read_bytes().replace(b"DURATION", b"DURATIOM"))
    _, report = read(path)
    assert report.complete
    assert report.ended_s == pytest.approx(0.9, abs=0.01)


def test_a_cut_off_file_with_sound_is_not_complete(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mkv", steps(40), sound_s=8.0)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2].replace(b"DURATION", b"DURATIOM"))
    _, report = read(path)
    assert not report.complete


def test_pictures_of_absurd_size_are_refused_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "MAX_AREA_PX", 64 * 48)
    options = opening.decoder_options()  # several decoding threads tell of several at once
    monkeypatch.setattr(opening, "decoder_options", lambda: options | {"threads": "1"})
    small = make_clip(tmp_path / "1.ts", steps(5), size=(64, 48)).read_bytes()
    large = make_clip(tmp_path / "2.ts", steps(5, first_s=0.5)).read_bytes()
    (tmp_path / "both.ts").write_bytes(small + large)
    frames, report = read(tmp_path / "both.ts")
    assert {frame.image.shape for frame in frames} == {(48, 64, 3)}
    assert (report.decoded, report.oversized, report.complete) == (5, 5, False)
    with pytest.raises(SourceError, match="too large"):
        read(tmp_path / "2.ts")


class FailingDisk:
    """An open file whose disk fails after some packets."""

    def __init__(self, container: av.container.InputContainer) -> None:
        self.container = container

    def __getattr__(self, name: str) -> object:
        return getattr(self.container, name)

    def demux(self, *streams: av.VideoStream) -> Iterator[av.Packet]:
        for number, packet in enumerate(self.container.demux(*streams)):
            if number == 20:
                raise av.error.OSError(5, "Input/output error", "smb://me:secret@nas/a.mp4")
            yield packet


def test_a_failing_disk_ends_the_stream_and_is_told_without_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, really_open = make_clip(tmp_path / "a.mp4", steps(30)), opening.open_container
    monkeypatch.setattr(opening, "open_container", lambda path: FailingDisk(really_open(path)))
    frames, report = read(path)
    assert numbers(frames) == list(range(len(frames)))
    assert 10 < len(frames) <= 20
    assert (report.complete, report.end_reason) == (False, "transport failed: Input/output error")


def test_no_level_of_ffmpegs_log_is_left_to_call_back_from_its_threads(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", steps(3))
    av.logging.set_level(av.logging.ERROR)
    try:
        read(path)
        assert av.logging.get_level() is None
    finally:
        av.logging.set_level(None)


@pytest.fixture
def wrong(tmp_path: Path) -> Callable[[str], Path]:
    """Addresses from which no picture comes, by what is wrong with them."""

    def make(what: str) -> Path:
        path = tmp_path / "x.mp4"
        if what == "empty":
            path.touch()
        elif what == "text":
            path.write_text("not a video at all\n" * 200)
        elif what == "notes":
            path = tmp_path / "notes.txt"  # FFmpeg would render it
            path.write_text("not a video at all\n" * 200)
        elif what == "noise":
            path.write_bytes(np.random.default_rng(0).bytes(50_000))
        elif what == "no index":
            data = make_clip(path, steps(20)).read_bytes()
            path.write_bytes(data[: data.index(b"moov") - 4])
        elif what == "sound":
            path = make_clip(tmp_path / "sound.mkv", [], sound_s=1)
            with av.open(str(path)) as both, av.open(str(tmp_path / "s.m4a"), "w") as alone:
                stream = alone.add_stream_from_template(both.streams.audio[0])
                for packet in both.demux(both.streams.audio[0]):
                    if packet.dts is not None:
                        packet.stream = stream
                        alone.mux(packet)
            path = tmp_path / "s.m4a"
        elif what == "socket":
            os.mknod(path, stat.S_IFSOCK | 0o600)
        elif what == "empty folder":
            path.mkdir()
            (path / "notes.txt").touch()
        return path

    return make


@pytest.mark.parametrize(
    ("what", "kind", "says"),
    [
        ("missing", SourceNotFound, "no such file or folder"),
        ("empty", NotAVideo, "not a video: it is empty"),
        ("text", NotAVideo, "not a video: it holds text"),
        ("notes", NotAVideo, "not a video: it holds text"),
        ("noise", NotAVideo, "not a video: no known format in its 50000 bytes"),
        ("no index", NotAVideo, "incomplete: its index"),
        ("sound", NoVideoStream, "no video stream; it holds: audio"),
        ("socket", SourceNotSupported, "a device or a socket"),
        ("empty folder", EmptyFolder, "no clips .* among its 1 files"),
    ],
)
def test_what_is_no_video_is_refused_by_name(
    wrong: Callable[[str], Path], what: str, kind: type[SourceError], says: str
) -> None:
    path = wrong(what)
    with pytest.raises(kind, match=says) as caught:
        read(path)
    assert str(path) in str(caught.value)
    assert isinstance(caught.value, OSError)


def test_a_link_to_nothing_and_a_link_in_a_circle_say_so(tmp_path: Path) -> None:
    (tmp_path / "nowhere.mp4").symlink_to("gone.mp4")
    (tmp_path / "circle.mp4").symlink_to("circle.mp4")
    for name in ("nowhere.mp4", "circle.mp4"):
        with pytest.raises(SourceNotFound, match=f"{name}: is a link that leads nowhere"):
            read(tmp_path / name)


def test_a_name_too_long_for_a_file_is_a_source_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot be looked up"):
        read(tmp_path / ("x" * 300 + ".mp4"))


@pytest.mark.parametrize(
    "name",
    ["-a.mp4", "%d.mp4", "%03d.png", "a:b.mp4", "x" * 240 + ".mp4", os.fsdecode(b"caf\xe9.mp4")],
    ids=["dash", "percent", "percent picture", "colon", "long", "not UTF-8"],
)
def test_odd_names_are_only_names(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = make_clip(Path("a.mp4"), steps(3)) if name.endswith("mp4") else make_picture("a.png", 0)
    made.rename(name)
    with open_source(name, fps=10) as source:
        assert len(list(source.frames())) == (3 if name.endswith("mp4") else 1)
    source.address.encode()  # can be printed


def test_a_file_that_goes_away_while_it_is_read_is_read_to_its_end(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mkv", steps(30))
    with open_source(path, fps=10) as source:
        frames = source.frames()
        next(frames)
        path.unlink()
        assert len(list(frames)) == 29
    assert source.report.complete


def test_a_file_that_grows_while_it_is_read_gives_what_was_there_and_more(tmp_path: Path) -> None:
    data = make_clip(tmp_path / "a.ts", steps(40), size=(320, 240), codec="mpeg4").read_bytes()
    path = tmp_path / "growing.ts"
    path.write_bytes(data[: len(data) // 2])
    with open_source(path, fps=10) as source, path.open("ab") as file:
        frames = source.frames()
        next(frames)
        file.write(data[len(data) // 2 :])
        file.flush()
        assert 18 <= 1 + len(list(frames)) <= 40
    assert source.report.bad_packets <= 1


@pytest.mark.parametrize("start_s", [0.0, 2.0])
def test_a_file_that_went_away_before_it_was_opened_is_a_source_error(
    tmp_path: Path, start_s: float
) -> None:
    path = make_clip(tmp_path / "a.h264", steps(30))  # cannot seek: it is opened once more
    with pytest.raises(SourceNotFound, match=r"a\.h264: no such file"):
        if start_s:
            with open_source(path, fps=10, start_s=start_s) as source:
                path.unlink()
                next(source.frames())
        else:
            path.unlink()
            VideoFile(path)


def test_a_folder_that_may_not_be_listed_is_a_source_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_path: Path) -> Iterator[Path]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(SourceError, match=r"cannot be listed \(Permission denied\)"):
        read(tmp_path)


def test_a_playlist_in_a_file_reaches_no_network(tmp_path: Path) -> None:
    path = tmp_path / "list.m3u8"
    path.write_text(
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n"
    )
    with pytest.raises(SourceError):
        read(path)


def test_addresses_of_cameras_are_refused_without_their_secrets() -> None:
    with pytest.raises(SourceNotSupported, match="cam/main") as caught:
        open_source("rtsp://user:secret@cam/main?token=abc", fps=1)
    assert "secret" not in str(caught.value) and "abc" not in str(caught.value)
    with pytest.raises(SourceNotSupported, match="webcam:0"):
        open_source("webcam:0", fps=1)


def test_a_file_address_and_a_relative_path_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_clip(tmp_path / "with space:1.mp4", steps(3))
    monkeypatch.chdir(tmp_path)
    assert len(read(path.name)[0]) == len(read(path.as_uri())[0]) == 3


@pytest.mark.parametrize(
    "options",
    [
        {"fps": 0},
        {"start_s": -1.0},
        {"start_s": float("nan")},
        {"stop_s": 0.0},
        {"start_s": 2.0, "stop_s": 1.0},
        {"max_side": 0},
    ],
)
def test_wrong_arguments_are_value_errors_before_anything_is_opened(
    options: dict[str, float],
) -> None:
    name = next(reversed(options))
    with pytest.raises(ValueError, match=f"{name}="):
        read("/nowhere", **options)


def test_a_source_is_read_once_and_says_when_it_was_left_early(tmp_path: Path) -> None:
    with open_source(make_clip(tmp_path / "a.mp4", steps(20)), fps=10) as source:
        assert (source.kind, source.promised_s) == ("file", pytest.approx(2.0, abs=0.01))
        next(source.frames())
        with pytest.raises(RuntimeError, match="read already"):
            source.frames()
    assert not source.report.complete
    assert source.report.end_reason == "not read to its end"


def test_damaged_files_print_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = make_clip(tmp_path / "a.ts", steps(20))
    data = bytearray(path.read_bytes())
    data[len(data) // 3 : len(data) // 2] = bytes(len(data) // 2 - len(data) // 3)
    path.write_bytes(data)
    read(path)
    assert capfd.readouterr() == ("", "")


def make_picture(path: str | Path, number: int) -> Path:
    gray = np.full((48, 64, 3), LEVEL * (number + 1), np.uint8)
    with av.open(str(path), "w", format="image2", options={"update": "1"}) as container:
        stream = container.add_stream("png", rate=1)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "rgb24"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(gray)))
        container.mux(stream.encode(None))
    return Path(path)


@pytest.fixture
def pictures(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, name in enumerate(["p1.png", "p2.PNG", "p9.png", "p10.png", "p100.png"]):
        make_picture(folder / name, number)
    (folder / "notes.txt").touch()
    (folder / ".p3.png").touch()
    yield folder


def test_pictures_come_in_natural_order_one_tick_apart(pictures: Path) -> None:
    frames, report = read(pictures, fps=2)
    assert numbers(frames) == [0, 1, 2, 3, 4]
    assert times(frames) == [0, 0.5, 1, 1.5, 2]
    assert (report.complete, report.promised_s, report.ignored) == (True, 2.5, 1)
    part, report = read(pictures, fps=2, start_s=0.6, stop_s=2)
    assert times(part) == [1, 1.5]
    assert report.complete


def test_an_unreadable_picture_leaves_its_time_empty_and_is_counted(pictures: Path) -> None:
    (pictures / "p9.png").write_bytes(b"nothing of a picture")
    frames, report = read(pictures, fps=1)
    assert times(frames) == [0, 1, 3, 4]
    assert (report.unreadable, report.complete) == (1, False)


def test_a_folder_of_nothing_readable_says_so(pictures: Path) -> None:
    for path in pictures.glob("*.[pP]*"):
        path.write_bytes(b"nothing of a picture")
    with pytest.raises(NotAVideo, match="none of its 5 pictures could be read"):
        read(pictures)


def test_beginning_after_the_last_picture_names_both_times(pictures: Path) -> None:
    with pytest.raises(BeyondEnd, match="begin at 9 s, but it ends at 5 s"):
        read(pictures, fps=1, start_s=9)


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    folder = tmp_path / "clips"
    folder.mkdir()
    make_clip(folder / "cut9.mp4", steps(10))
    make_clip(folder / "cut10.mkv", steps(15, first_s=2.0))
    make_clip(folder / "cut11.ts", steps(10))
    make_picture(folder / "poster.png", 0)
    return folder


def test_clips_are_joined_in_natural_order(clips: Path) -> None:
    frames, report = read(clips, fps=10)
    assert numbers(frames) == [*range(10), *range(15), *range(10)]
    assert times(frames) == pytest.approx(steps(35), abs=0.01)
    assert (report.decoded, report.kept, report.ignored) == (35, 35, 1)
    assert report.complete


@pytest.mark.parametrize("start_s", [0.45, 1.0, 1.25, 2.5, 3.0])
def test_a_part_of_clips_is_the_same_as_that_part_of_the_whole(clips: Path, start_s: float) -> None:
    whole, _ = read(clips)
    part, report = read(clips, start_s=start_s, stop_s=3.25)
    expected = [frame for frame in whole if start_s <= frame.pts_s < 3.25]
    assert times(part) == pytest.approx(times(expected))
    assert numbers(part) == numbers(expected)
    assert report.complete


def test_a_bad_clip_is_skipped_and_counted(clips: Path) -> None:
    (clips / "cut10.mkv").write_bytes(b"nothing of a clip")
    frames, report = read(clips)
    assert numbers(frames) == [*range(10), *range(10)]
    assert (report.unreadable, report.complete) == (1, False)


def test_beginning_after_the_last_clip_names_both_times(clips: Path) -> None:
    with pytest.raises(BeyondEnd, match=r"begin at 60 s, but it ends at 3\.5"):
        read(clips, start_s=60)


def test_leaving_clips_early_closes_the_clip(clips: Path) -> None:
    with open_source(clips, fps=10) as source:
        frames = source.frames()
        next(frames)
    assert next(frames, None) is None
    assert source.kind == "clips"
    assert not source.report.complete


def test_names_that_carry_times_come_in_the_order_of_these_times() -> None:
    names = ["cam 2024-5-9 7.30.mp4", "cam 2024-05-09 12.05.mp4", "cam 2024-05-10 0.00.mp4"]
    assert sorted(reversed(names), key=natural_order) == names


def test_numbers_inside_names_compare_as_numbers() -> None:
    names = ["b1", "a10", "a9", "a09b", "A2", "10", "9", "²x"]
    assert sorted(names, key=natural_order)[:2] == ["9", "10"]
    assert [n for n in sorted(names, key=natural_order) if n[0] in "aA"] == [
        "A2",
        "a9",
        "a09b",
        "a10",
    ]


# ------------------------------------------------------------------ what is over


def decoders() -> int:
    """Threads of this process beside Python's own."""
    return len(os.listdir("/proc/self/task")) - threading.active_count()


def test_a_file_that_was_read_keeps_no_threads_though_somebody_holds_it(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", seconds=2, fps=10)
    gc.collect()
    before, reading = decoders(), 0
    gc.disable()
    try:
        with open_source(path, fps=1.0) as source:
            for _ in source.frames():
                reading = max(reading, decoders() - before)
        assert source.report.complete and reading > 0
        assert decoders() <= before
    finally:
        gc.enable()
