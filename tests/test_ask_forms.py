"""Several videos as one take, and the forms in which answers come."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

from longtake import cli
from longtake.answer import Answer, Moment, Timings
from longtake.cli.subtitles import srt
from longtake.cli.words import sort_words
from tests.clips import write_clip

Run = Any


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("clips")
    return [write_clip(folder / f"{name}.mp4", seconds=6, fps=2) for name in ("one", "two")]


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str], tiny_model: Path) -> Run:
    def call(*words: object, model: Path = tiny_model) -> tuple[int, str, str]:
        fixed = ["--model", str(model), "--fps", "1", "--window", "4"]
        code = cli.main(["ask", *(str(word) for word in words), *fixed])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return call


def test_several_files_are_one_take_in_the_order_given(ask: Run, clips: list[Path]) -> None:
    code, out, err = ask(*clips, "what was there?", "and then?", "--json")
    assert code == 0, err
    shown = json.loads(out)
    assert [s["address"] for s in shown["sources"]] == [str(c) for c in clips]
    assert [s["offset_s"] for s in shown["sources"]] == [0.0, pytest.approx(6.0)]
    assert shown["source"] == shown["sources"][0]
    assert shown["ingest"]["frames"] == 12
    assert all(s["complete"] for s in shown["sources"])
    assert [a["question"] for a in shown["answers"]] == ["what was there?", "and then?"]
    assert shown["answers"][0]["as_of_s"] == pytest.approx(11.0)


def test_a_missing_file_among_several_is_told_before_anything_is_seen(
    ask: Run, clips: list[Path], tmp_path: Path
) -> None:
    memory = tmp_path / "m"
    code, out, err = ask(clips[0], tmp_path / "gone.mp4", "what?", "--memory", memory)
    assert (code, out) == (cli.SOURCE, "") and "gone.mp4: no such file" in err
    assert not memory.exists()


def test_a_range_of_several_files_is_refused(ask: Run, clips: list[Path]) -> None:
    code, _, err = ask(*clips, "what?", "--to", "3")
    assert code == cli.USAGE and "there are 2" in err


@pytest.mark.parametrize(
    ("words", "has_memory", "videos"),
    [
        (["{clip}", "what?"], False, 1),
        (["{clip}", "{clip}", "what?"], False, 2),
        (["gone.mp4", "what?"], True, 1),
        (["what happened in gone.mp4", "and then?"], True, 0),
        (["nothing", "what?"], False, 1),
        (["what?", "{clip}"], True, 0),
        (["-", "what?"], False, 1),
        (["rtsp://cam/main", "what?"], True, 1),
        (["x" * 5000, "what?"], True, 0),
        ([], False, 0),
    ],
)
def test_videos_are_told_from_questions(
    words: list[str], has_memory: bool, videos: int, clips: list[Path]
) -> None:
    typed = [word.format(clip=clips[0]) for word in words]
    found = sort_words(typed, has_memory)
    assert (*found.videos, *found.questions) == tuple(typed)
    assert len(found.videos) == videos


def test_a_line_for_each_answer(ask: Run, clips: list[Path]) -> None:
    code, out, _ = ask(clips[0], "what was there?", "and then?", "--jsonl")
    assert code == 0
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["question"] for line in lines] == ["what was there?", "and then?"]
    assert {line["schema"] for line in lines} == {"longtake.answer/1"}
    assert all(line["evidence"] for line in lines)


def test_answers_as_subtitles(ask: Run, clips: list[Path]) -> None:
    code, out, _ = ask(clips[0], "what was there?", "--srt")
    assert code == 0
    cues = [cue.splitlines() for cue in out.strip().split("\n\n")]
    assert [cue[0] for cue in cues] == [str(n) for n in range(1, len(cues) + 1)]
    for cue in cues:
        assert re.fullmatch(r"00:00:0\d,\d{3} --> 00:00:0\d,\d{3}", cue[1])
        assert cue[2] == "what was there?" and len(cue) == 4


def test_subtitles_are_in_time_order_and_last_as_long_as_their_frames() -> None:
    def answer(question: str, text: str, *spans: tuple[float, float]) -> Answer:
        moments = tuple(Moment(start, end, 0.5) for start, end in spans)
        return Answer(question, text, moments, 0.0, 0.0, 1.0, False, Timings(0, 0, 0, 1))

    late = answer("late?", "two\n\nlines", (3599.5, 3600.0))
    text = srt([late, answer("early?", "", (1.0, 2.25))], frame_s=0.5)
    assert text == (
        "1\n00:00:01,000 --> 00:00:02,750\nearly?\n-\n\n"
        "2\n00:59:59,500 --> 01:00:00,500\nlate?\ntwo lines\n"
    )
    assert srt([], 1.0) == ""


def test_subtitles_count_from_where_their_video_began() -> None:
    moments = (Moment(2.0, 3.0, 0.5), Moment(9.0, 12.0, 0.3), Moment(20.0, 21.0, 0.2))
    answer = Answer("what?", "that", moments, 0.0, 0.0, 1.0, False, Timings(0, 0, 0, 1))
    times = [line for line in srt([answer], 1.0, begin_s=10.0).splitlines() if "-->" in line]
    assert times == ["00:00:00,000 --> 00:00:03,000", "00:00:10,000 --> 00:00:12,000"]


def test_one_form_at_a_time(ask: Run, clips: list[Path]) -> None:
    code, out, err = ask(clips[0], "what?", "--json", "--srt")
    assert (code, out) == (cli.USAGE, "") and "--json and --srt" in err


@pytest.fixture(scope="module")
def cut_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half the bytes of a video that says it is longer."""
    path = write_clip(tmp_path_factory.mktemp("cut") / "cut.mkv", seconds=12, fps=4)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    return path


@pytest.mark.parametrize(
    ("is_cut", "is_ending", "expected"),
    [(False, True, 0), (True, True, cli.PARTIAL), (False, False, cli.PARTIAL)],
    ids=["nothing is missing", "half the video is missing", "an answer is not whole"],
)
def test_strict_ends_with_7_where_something_is_missing(
    is_cut: bool,
    is_ending: bool,
    expected: int,
    ask: Run,
    clips: list[Path],
    cut_clip: Path,
    ending_model: Path,
    tiny_model: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each reason alone; without the flag they are only told."""
    monkeypatch.setenv("LONGTAKE_MAX_TOKENS", "2")  # the tiny model's answers are longer
    clip, model = cut_clip if is_cut else clips[0], ending_model if is_ending else tiny_model
    for flags, code in (([], 0), (["--strict"], expected)):
        got, out, err = ask(clip, "what?", "--json", *flags, model=model)
        assert got == code, err
        shown = json.loads(out)
        assert shown["source"]["complete"] is not is_cut
        assert shown["answers"][0]["partial"] is not is_ending
        assert shown["answers"][0]["coverage"] == 1.0
        assert shown["complete"] is (expected == 0)


def test_quiet_says_nothing_beside_the_answer(ask: Run, clips: list[Path], tmp_path: Path) -> None:
    memory = tmp_path / "m"
    assert ask(clips[0], "what?", "--memory", memory)[0] == 0
    _, _, told = ask(clips[0], "what?", "--memory", memory)
    assert "seen before" in told
    code, out, err = ask(clips[0], "what?", "--memory", memory, "-q")
    assert code == 0 and out and err == ""


def test_verbose_tells_model_and_window(ask: Run, clips: list[Path]) -> None:
    _, _, err = ask(clips[0], "what?", "-v")
    assert "llava_onevision" in err and "window of 4 s" in err


def test_a_video_from_standard_input(
    ask: Run, clips: list[Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    piped = write_clip(tmp_path / "piped.mkv", seconds=6, fps=2).read_bytes()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(piped)))
    code, out, err = ask("-", "what was there?", "--json")
    assert code == 0, err
    shown = json.loads(out)
    assert shown["source"]["kind"] == "stdin" and shown["ingest"]["frames"] == 6
