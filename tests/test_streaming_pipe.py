"""Standard input and named pipes: read as they come, told apart from what cannot be."""

import io
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import av
import cv2
import numpy as np
import pytest

from longtake.streaming.errors import (
    BeyondEnd,
    NeedsSeeking,
    NotAVideo,
    NoVideoStream,
    SourceError,
    SourceNotFound,
    SourceNotSupported,
)
from longtake.streaming.frame import Frame
from longtake.streaming.pipe import Pipe, is_stdin
from longtake.streaming.report import SourceReport
from longtake.streaming.sources import find_path, open_source
from tests.test_streaming_sources import make_clip, make_picture, numbers, steps, times

WAIT_S = 10.0  # a deadline for what should happen at once; never slept


class OneWay(io.BytesIO):
    """Bytes that cannot be read again, with something that happens in the middle."""

    def __init__(self, data: bytes, fail_at: int | None = None, failure: object = None) -> None:
        super().__init__(data)
        self.fail_at, self.failure = fail_at, failure

    def seekable(self) -> bool:
        return False

    def seek(self, *_: object) -> int:
        raise AssertionError("nobody can go back in a pipe")

    def read1(self, size: int | None = -1) -> bytes:
        if self.fail_at is not None and self.tell() >= self.fail_at:
            assert isinstance(self.failure, BaseException)
            raise self.failure
        return super().read1(min(size or 4096, 4096))


def read(stream: BinaryIO, fps: float = 10, **options: float) -> tuple[list[Frame], SourceReport]:
    with open_source("-", fps=fps, stdin=stream, **options) as source:  # type: ignore[arg-type]
        return list(source.frames()), source.report


@contextmanager
def pouring(data: bytes) -> Iterator[BinaryIO]:
    """The reading end of a pipe into which another thread writes."""
    reading, writing = os.pipe()

    def pour() -> None:
        try:
            with open(writing, "wb") as file:
                file.write(data)
        except BrokenPipeError:
            return  # the reader had enough

    thread = threading.Thread(target=pour)
    with open(reading, "rb") as stream:
        thread.start()
        yield stream
    thread.join(WAIT_S)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.ts", {}),
        ("a.mkv", {}),
        ("a.avi", {"codec": "mpeg4"}),
        ("a.flv", {}),
        ("a.h264", {}),
        ("a.mp4", {"movflags": "faststart"}),
        ("a.mp4", {"movflags": "frag_keyframe+empty_moov"}),
    ],
)
def test_what_can_be_read_as_it_comes_gives_what_the_file_gives(
    tmp_path: Path, name: str, options: dict[str, str]
) -> None:
    path = make_clip(tmp_path / name, steps(20), **options)  # type: ignore[arg-type]
    with open_source(path, fps=10) as source:
        expected = list(source.frames())
    with pouring(path.read_bytes()) as stream:
        frames, report = read(stream)
    assert numbers(frames) == numbers(expected) and len(frames) >= 10
    assert times(frames) == pytest.approx(times(expected))
    assert report.decoded == 20
    assert report.complete


def test_plain_pictures_one_after_the_other_are_a_video(tmp_path: Path) -> None:
    planes = [bytes([16 + 20 * n]) * (96 * 64) + bytes([128]) * (96 * 32) for n in range(10)]
    y4m = b"YUV4MPEG2 W96 H64 F10:1 C420\n" + b"".join(b"FRAME\n" + p for p in planes)
    frames, report = read(OneWay(y4m))
    assert times(frames) == pytest.approx(steps(10))
    assert [f.image.mean() for f in frames] == sorted(f.image.mean() for f in frames)
    assert report.complete
    photographs = make_clip(tmp_path / "a.avi", [0.0], codec="mpeg4")
    with open_source(photographs, fps=1) as source:
        jpeg = jpeg_of(next(source.frames()))
    frames, report = read(OneWay(jpeg * 5), fps=100)
    assert (len(frames), report.decoded) == (5, 5)


def jpeg_of(frame: Frame) -> bytes:
    done, data = cv2.imencode(".jpg", frame.image)
    assert done
    return data.tobytes()


def test_a_picture_can_come_through_a_pipe(tmp_path: Path) -> None:
    frames, report = read(OneWay(make_picture(tmp_path / "a.png", 3).read_bytes()))
    assert (numbers(frames), times(frames), report.complete) == ([3], [0], True)


def test_standard_input_says_what_it_is(tmp_path: Path) -> None:
    data = make_clip(tmp_path / "a.mkv", steps(20)).read_bytes()
    with open_source("-", fps=10, stdin=OneWay(data)) as source:
        assert (source.kind, source.address) == ("stdin", "-")
        assert source.promised_s == pytest.approx(2.0, abs=0.01)
    data = make_clip(tmp_path / "a.ts", steps(20)).read_bytes()
    with open_source("-", fps=10, stdin=OneWay(data)) as source:
        assert source.promised_s is None


def test_the_process_own_standard_input_is_read_and_stays_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = make_clip(tmp_path / "a.mkv", steps(20)).read_bytes()
    stream = OneWay(data)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(stream))
    with open_source("-", fps=10) as source:
        assert len(list(source.frames())) == 20
    assert not stream.closed


@pytest.mark.parametrize(("start_s", "stop_s"), [(0.95, 1.45), (1.0, 9.0)])
@pytest.mark.parametrize("name", ["a.mkv", "a.ts"])
def test_a_part_is_reached_by_decoding_through(
    tmp_path: Path, name: str, start_s: float, stop_s: float
) -> None:
    path = make_clip(tmp_path / name, steps(20, first_s=3.0))
    with open_source(path, fps=10, start_s=start_s, stop_s=stop_s) as source:
        expected = list(source.frames())
    frames, report = read(OneWay(path.read_bytes()), start_s=start_s, stop_s=stop_s)
    assert times(frames) == pytest.approx(times(expected))
    assert numbers(frames) == numbers(expected)
    assert report.complete


@pytest.mark.parametrize("name", ["a.mkv", "a.ts"])
def test_beginning_after_the_end_names_both_times(tmp_path: Path, name: str) -> None:
    data = make_clip(tmp_path / name, steps(10)).read_bytes()
    with pytest.raises(BeyondEnd, match="standard input: asked to begin at 60 s"):
        read(OneWay(data), start_s=60)


def test_an_index_behind_the_pictures_is_refused_before_these_are_read(tmp_path: Path) -> None:
    stream = OneWay(make_clip(tmp_path / "a.mp4", steps(20)).read_bytes() + bytes(1 << 20))
    with pytest.raises(NeedsSeeking, match=r"standard input: .*behind.*faststart.*save it"):
        read(stream)
    assert stream.tell() <= 1 << 16


def test_a_file_as_standard_input_may_have_its_index_at_the_end(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", steps(20))
    with path.open("rb") as stream:
        frames, report = read(stream)
        assert not stream.closed
    assert (numbers(frames), report.complete) == (list(range(20)), True)


@pytest.mark.parametrize(
    ("data", "kind", "says"),
    [
        (b"", NotAVideo, r"it is empty \(0 bytes\)"),
        (b"hello, no video\n" * 99, NotAVideo, "it holds text"),
        (np.random.default_rng(0).bytes(50_000), NotAVideo, "no known format"),
        (b"RIFF\x00\x01\x00\x00WEBPANIM" + bytes(500), SourceError, ""),
    ],
    ids=["empty", "text", "noise", "half a WebP"],
)
def test_what_is_no_video_is_refused_by_name(
    data: bytes, kind: type[SourceError], says: str
) -> None:
    with pytest.raises(kind, match=f"standard input: .*{says}"):
        read(OneWay(data))


def test_sound_alone_is_refused_by_name(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mkv", steps(1), sound_s=1)
    with av.open(str(path)) as both, av.open(str(tmp_path / "s.mka"), "w") as alone:
        stream = alone.add_stream_from_template(both.streams.audio[0])
        for packet in both.demux(both.streams.audio[0]):
            if packet.dts is not None:
                packet.stream = stream
                alone.mux(packet)
    with pytest.raises(NoVideoStream, match="standard input: has no video stream; it holds: audio"):
        read(OneWay((tmp_path / "s.mka").read_bytes()))


def test_a_terminal_and_a_closed_standard_input_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Terminal(OneWay):
        def isatty(self) -> bool:
            return True

    with pytest.raises(SourceNotSupported, match="standard input: is a terminal"):
        read(Terminal(b""))
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(SourceError, match="standard input: is closed"):
        open_source("-", fps=1)


def test_a_pipe_that_is_cut_off_gives_what_came(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mkv", steps(40), key_every=5)
    data = path.read_bytes()
    frames, report = read(OneWay(data[: len(data) // 2]))
    assert 5 < len(frames) < 35
    assert not report.complete
    assert report.end_reason == f"stops at {frames[-1].pts_s:.1f} of 4.0 s"


def test_a_pipe_that_fails_gives_what_came_and_says_why(tmp_path: Path) -> None:
    data = make_clip(tmp_path / "a.ts", steps(40), size=(320, 240), codec="mpeg4").read_bytes()
    failure = OSError(5, "Input/output error")
    frames, report = read(OneWay(data, len(data) * 3 // 4, failure))
    assert len(frames) > 5
    assert not report.complete
    assert report.end_reason == "transport failed: [Errno 5] Input/output error"
    with pytest.raises(SourceError, match=r"standard input: cannot be read .*Input/output error"):
        read(OneWay(data, 0, failure))


@pytest.mark.parametrize("at", [0.0, 0.75])
def test_an_interrupt_from_the_keyboard_is_not_lost_while_bytes_are_waited_for(
    tmp_path: Path, at: float
) -> None:
    data = make_clip(tmp_path / "a.ts", steps(40), size=(320, 240), codec="mpeg4").read_bytes()
    with pytest.raises(KeyboardInterrupt):
        read(OneWay(data, int(len(data) * at), KeyboardInterrupt()))


def test_a_reader_that_waits_can_be_interrupted_from_another_thread(tmp_path: Path) -> None:
    data = make_clip(tmp_path / "a.ts", steps(40), size=(320, 240), codec="mpeg4").read_bytes()
    reading, writing = os.pipe()
    found: list[int] = []
    with open(reading, "rb") as stream, open(writing, "wb") as file:
        pourer = threading.Thread(target=lambda: (file.write(data), file.flush()))
        pourer.start()
        with open_source("-", fps=10, stdin=stream) as source:
            begun = threading.Event()

            def count() -> None:
                for number, _ in enumerate(source.frames(), 1):
                    found[:] = [number]
                    begun.set()

            reader = threading.Thread(target=count)
            reader.start()
            assert begun.wait(WAIT_S)
            pourer.join(WAIT_S)
            source.interrupt()  # nobody closes the pipe
            reader.join(WAIT_S)
            assert not reader.is_alive()
        assert found[0] >= 1
        assert not source.report.complete
        assert source.report.end_reason == "interrupted while waiting for more"


def test_bytes_are_handed_on_as_they_come() -> None:
    reading, writing = os.pipe()
    with open(reading, "rb") as stream, open(writing, "wb", buffering=0) as file:
        pipe = Pipe(stream, "-", "stdin")
        file.write(b"abc")
        assert pipe.look(0, 2) == b"ab"
        assert pipe.read(32768) == b"abc"
        file.write(b"defg")
        assert (pipe.read(3), pipe.read(3)) == (b"def", b"g")
        assert pipe.head == b"abcdefg"


@pytest.fixture
def fifo(tmp_path: Path) -> Iterator[Callable[[bytes], Path]]:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    threads: list[threading.Thread] = []

    def fill(data: bytes) -> Path:
        thread = threading.Thread(target=lambda: path.write_bytes(data))
        threads.append(thread)
        thread.start()
        return path

    yield fill
    for thread in threads:
        thread.join(WAIT_S)


def test_a_named_pipe_is_read_like_standard_input(
    tmp_path: Path, fifo: Callable[[bytes], Path]
) -> None:
    path = fifo(make_clip(tmp_path / "a.mkv", steps(20)).read_bytes())
    with open_source(path, fps=10) as source:
        assert (source.kind, source.address) == ("pipe", str(path))
        assert numbers(list(source.frames())) == list(range(20))
    assert source.report.complete


def test_a_named_pipe_with_an_index_behind_the_pictures_is_refused(
    tmp_path: Path, fifo: Callable[[bytes], Path]
) -> None:
    path = fifo(make_clip(tmp_path / "a.mp4", steps(20)).read_bytes())
    with pytest.raises(NeedsSeeking, match="fifo: this MP4"):
        open_source(path, fps=10)


def test_the_end_of_a_process_can_be_named_as_a_file(tmp_path: Path) -> None:
    data = make_clip(tmp_path / "a.mkv", steps(20)).read_bytes()
    with pouring(data) as stream:  # as a shell's <(...) does
        with open_source(f"/dev/fd/{stream.fileno()}", fps=10) as source:
            assert len(list(source.frames())) == 20


def test_only_a_dash_is_standard_input_and_a_file_of_that_name_has_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_clip(Path("a.mkv"), steps(3)).rename("-")
    assert [is_stdin(word) for word in ("-", "--", "./-", "a", "")] == [True] + [False] * 4
    with open_source("./-", fps=10) as source:
        assert (source.kind, len(list(source.frames()))) == ("file", 3)
    with pytest.raises(SourceNotSupported, match="is standard input"):
        find_path("-")
    with pytest.raises(SourceNotFound):
        find_path("--")
