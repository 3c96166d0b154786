"""``longtake narrate``: lines as they are spoken, subtitles that players read, clean endings."""

from __future__ import annotations

import io
import json
import random
import re
import signal
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from longtake import cli
from longtake.cli import run_narrate
from longtake.cli.run_narrate import KNOWN, Shown, make_telling
from longtake.cli.subtitles import VTT_HEAD, srt_cue, vtt_cue
from longtake.models.decode import Decoding
from longtake.models.embedded.filming import write_film
from longtake.models.embedded.world import Film
from longtake.narration.narration import Line
from tests.clips import write_clip

Run = Any
SECONDS = 16  # of the film: an orange star for 4 s, then none
TIME = r"(\d\d+):(\d\d):(\d\d)[,.](\d\d\d)"


class Cue(NamedTuple):
    start_s: float
    end_s: float
    text: str


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    write_film(Film(random.Random(4), SECONDS), path, fps=2, scale=2)
    return path


@pytest.fixture
def narrate(capsys: pytest.CaptureFixture[str], tiny_model: Path) -> Run:
    """With the tiny model, unless another is named."""

    def call(*words: object) -> tuple[int, str, str]:
        arguments = ["narrate", *(str(word) for word in words)]
        if "--model" not in arguments:
            arguments += ["--model", str(tiny_model), "--fps", "1", "--window", "4"]
        code = cli.main(arguments)
        told = capsys.readouterr()
        return code, told.out, told.err

    return call


@pytest.fixture(autouse=True)
def short_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGTAKE_MAX_TOKENS", "8")


def read_srt(text: str) -> list[Cue]:
    """As a player reads it."""
    cues = []
    for number, block in enumerate(text.removesuffix("\n\n").split("\n\n"), 1):
        count, times, *words = block.split("\n")
        assert int(count) == number
        cues.append(_cue(times, words))
    return cues


def read_vtt(text: str) -> list[Cue]:
    head, *blocks = text.removesuffix("\n\n").split("\n\n")
    assert head == "WEBVTT"
    cues = []
    for times, *words in (block.split("\n") for block in blocks):
        assert "," not in times and not re.search(r"[<>]|&(?!amp;|lt;|gt;)", words[0])
        words = [words[0].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")]
        cues.append(_cue(times, words))
    return cues


def _cue(times: str, words: list[str]) -> Cue:
    found = re.fullmatch(f"{TIME} --> {TIME}", times)
    assert found is not None and len(words) == 1, (times, words)
    parts = [int(part) for part in found.groups()]
    start_s, end_s = (h * 3600 + m * 60 + s + ms / 1000 for h, m, s, ms in (parts[:4], parts[4:]))
    return Cue(start_s, end_s, words[0])


# ------------------------------------------------------------------ forms


def test_lines_come_with_their_times_and_the_model_with_its_limits(
    narrate: Run, film: Path
) -> None:
    code, out, err = narrate(film, "--model", "embedded", "--window", "2", "--request", KNOWN)
    assert code == 0, err
    first, second, *rest = out.splitlines()
    assert [first, second] == ["0:00  orange", "0:04  I have not seen that"]
    assert all(line.endswith("  I have not seen that") for line in rest)
    assert "was not trained to narrate" in err and KNOWN in err
    assert "watching" not in err, "progress belongs on a terminal"


def test_all_forms_tell_the_same(narrate: Run, film: Path) -> None:
    """The tiny model's lines are noise: bytes of any kind; cues leave out control characters."""
    forms = {}
    for form in ("--srt", "--vtt", "--jsonl", "--json"):
        code, forms[form], err = narrate(film, form, "--rule", "always")
        assert code == 0, err
    cues = read_srt(forms["--srt"])
    assert [cue.start_s for cue in cues] == [float(s) for s in range(SECONDS)]
    assert all(a.end_s == b.start_s for a, b in pairwise(cues))
    assert cues[-1].end_s == SECONDS
    assert read_vtt(forms["--vtt"]) == cues
    lines = [json.loads(line) for line in forms["--jsonl"].splitlines()]
    assert {line["schema"] for line in lines} == {"longtake.line/1"}
    told = [(line["start_s"], without_controls(line["text"])) for line in lines]
    assert told == [(c[0], c[2]) for c in cues]
    shown = json.loads(forms["--json"])
    assert shown["schema"] == "longtake.narrate/1" and shown["complete"] is True
    whole = [Cue(**line) for line in shown["lines"]]
    assert [cue._replace(text=without_controls(cue.text)) for cue in whole] == cues
    assert shown["ingest"]["frames"] == SECONDS and "answers" not in shown


def without_controls(text: str) -> str:
    return " ".join(re.sub(r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f]", "", text).split()) or "-"


def test_the_json_is_documented() -> None:
    documented = (Path(__file__).parents[1] / "docs" / "json.md").read_text()
    section = documented.partition("## `longtake.narrate/1`")[2].partition("\n## ")[0]
    for name in ("schema", "request", "lines", "start_s", "end_s", "text", "longtake.line/1"):
        assert f"`{name}`" in section, f"{name} is not in docs/json.md"


def test_a_cue_holds_whatever_is_said() -> None:
    said = "a <b>&amp;\n\n1 --> 2"
    assert srt_cue(7, 3599.9996, 3725.5, said) == (
        "7\n01:00:00,000 --> 01:02:05,500\na <b>&amp; 1 -> 2\n\n"
    )
    assert vtt_cue(0.0, 360000.25, said) == (
        "00:00:00.000 --> 100:00:00.250\na &lt;b&gt;&amp;amp; 1 --&gt; 2\n\n"
    )
    assert "00:00:02,000 --> 00:00:02,001" in srt_cue(1, 2.0, 2.0, "short")
    assert vtt_cue(1.0, 2.0, " \n ").splitlines()[1] == "-"


def test_a_cue_holds_no_control_characters() -> None:
    said = "a \x1b[1mdog\x07\x00\nand\x9b a -\x00-> cat\x7f"
    assert srt_cue(1, 0.0, 1.0, said).splitlines()[2:] == ["a [1mdog and a -> cat", ""]
    assert vtt_cue(0.0, 1.0, said).splitlines()[1:] == ["a [1mdog and a --&gt; cat", ""]
    assert srt_cue(1, 0.0, 1.0, "\x1b").splitlines()[2] == "-"


def test_times_count_from_the_video_that_is_shown() -> None:
    show = Shown("srt", io.StringIO(), begin_s=100.0)
    show.line(Line(101.0, 103.5, "a dog"))
    show.line(Line(107.0, 109.0, "a cat"))
    cues = read_srt(show.out.getvalue())  # type: ignore[attr-defined]
    assert cues == [Cue(1.0, 3.5, "a dog"), Cue(7.0, 9.0, "a cat")]


def test_a_range_and_moments_further_apart(narrate: Run, film: Path) -> None:
    bounds = ("--from", "0:03", "--to", "12")
    code, out, err = narrate(film, "--rule", "always", "--every", "4", *bounds)
    assert code == 0, err
    assert [line.split("  ")[0] for line in out.splitlines()] == ["0:03", "0:07", "0:11"]


def test_several_videos_are_narrated_in_session_time(
    narrate: Run, film: Path, tmp_path: Path
) -> None:
    second = write_clip(tmp_path / "second.mp4", seconds=3, fps=2)
    code, out, err = narrate(film, second, "--rule", "always", "--json")
    assert code == 0, err
    shown = json.loads(out)
    assert [s["offset_s"] for s in shown["sources"]] == [0.0, float(SECONDS)]
    starts = [line["start_s"] for line in shown["lines"]]
    assert starts == [float(s) for s in range(SECONDS + 3)]
    ends = [line["end_s"] for line in shown["lines"]]
    assert ends == [*starts[1:], SECONDS + 3.0]


def test_standard_input_is_narrated(
    narrate: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    piped = write_clip(tmp_path / "piped.mkv", seconds=4, fps=2).read_bytes()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(piped)))
    code, out, err = narrate("-", "--rule", "always", "--vtt")
    assert code == 0, err
    assert [cue.start_s for cue in read_vtt(out)] == [0.0, 1.0, 2.0, 3.0]


def test_progress_on_a_terminal_leaves_the_lines_on_stdout(
    narrate: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    clip = write_clip(tmp_path / "clip.mp4", seconds=3, fps=2)
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    code, out, _ = narrate(clip, "--rule", "always", "--srt")
    assert code == 0
    assert len(read_srt(out)) == 3 and "-->" not in terminal.getvalue()
    assert "watching" in terminal.getvalue()


# ------------------------------------------------------------------ memories


def test_a_video_that_the_memory_knows_has_nothing_new(
    narrate: Run, film: Path, tmp_path: Path
) -> None:
    """What was cut short is narrated from there on."""
    starts = []
    for bounds in (("--to", "6"), (), ()):
        code, out, err = narrate(
            film, "--memory", tmp_path / "m", "--rule", "always", "--srt", *bounds
        )
        assert code == 0, err
        starts.append([cue.start_s for cue in read_srt(out)] if out else [])
    assert starts[0][0] == 0.0 and starts[0][-1] < 7
    assert starts[1][0] <= starts[0][-1] + 1 and starts[1][-1] == SECONDS - 1.0
    assert starts[2] == [] and "seen before; there is nothing new in it to narrate" in err
    code, out, _ = narrate(film, "--memory", tmp_path / "m", "--vtt")
    assert (code, out) == (0, VTT_HEAD)
    code, out, _ = narrate(film, "--memory", tmp_path / "m", "--json")
    assert json.loads(out)["lines"] == [] and json.loads(out)["complete"] is True


# ------------------------------------------------------------------ endings


@pytest.mark.parametrize("form", ["--srt", "--json", "text"])
def test_ctrl_c_ends_with_130_and_whole_output(
    narrate: Run, film: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    line_of, left = Shown.line, iter([False, True])

    def line(self: Shown, said: Line) -> None:
        line_of(self, said)
        if next(left, False):
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Shown, "line", line)
    flags = [] if form == "text" else [form]
    code, out, err = narrate(film, "--rule", "always", *flags)
    assert code == cli.INTERRUPTED and "narrated to 0:" in err and "interrupted" in err
    if form == "--srt":
        assert len(read_srt(out)) >= 2
    elif form == "--json":
        shown = json.loads(out)
        assert shown["complete"] is False and len(shown["lines"]) >= 2
        assert all(said["end_s"] > said["start_s"] for said in shown["lines"])
    else:
        assert all(re.match(r"\d:\d\d  .", said) for said in out.splitlines())


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], cli.USAGE, "VIDEO"),
        ([""], cli.USAGE, "empty"),
        (["/nowhere/clip.mp4"], cli.SOURCE, "no such file"),
        (["{text}"], cli.SOURCE, "text.mp4"),
        (["{text}", "--vtt"], cli.SOURCE, "text.mp4"),
        (["{text}", "--json"], cli.SOURCE, "text.mp4"),
        (["{film}", "--srt", "--vtt"], cli.USAGE, "--srt and --vtt"),
        (["{film}", "--rule", "sometimes"], cli.USAGE, "livestar, silence, always"),
        (["{film}", "--every", "0"], cli.USAGE, "every_s=0"),
        (["{film}", "--ratio", "-1"], cli.USAGE, "ratio=-1"),
        (["{film}", "--threshold", "2"], cli.USAGE, "threshold=2"),
        (["{film}", "--rule", "always", "--ratio", "2"], cli.USAGE, "belongs to --rule livestar"),
        (["{film}", "--ratio", "2", "--threshold", "0.5"], cli.USAGE, "belongs to --rule silence"),
        (["{film}", "--request", " "], cli.USAGE, "the request is empty"),
        (["{film}", "--mode", "guess"], cli.USAGE, "mode='guess'"),
        (["{film}", "--temperature", "-1"], cli.USAGE, "temperature=-1"),
    ],
)
def test_what_is_wrong_is_one_line_with_a_code(
    narrate: Run, film: Path, tmp_path: Path, words: list[str], code: int, said: str
) -> None:
    (tmp_path / "text.mp4").write_text("not a video at all\n" * 50)
    places = {"film": film, "text": tmp_path / "text.mp4"}
    got, out, err = narrate(*(word.format(**places) for word in words))
    assert (got, out) == (code, ""), err
    assert said in err and len(err.strip().splitlines()) == 1


def test_a_flag_of_one_rule_asks_for_that_rule() -> None:
    assert make_telling(None, 1.0, None, None, 0.5).rule == "silence"
    assert make_telling(None, 1.0, None, 1.1, None).rule == "livestar"
    assert make_telling(None, 1.0, None, None, None).rule is None


def test_streamingvlm_speaks_as_its_paper_does(narrate: Run, film: Path) -> None:
    """Sampled, 20 tokens at most, a line a second; flags change that."""
    told = _request(film, "streamingvlm", temperature=None, seed=3).settled.decoding
    assert told == Decoding(max_tokens=20, temperature=0.9, repetition_penalty=1.05, seed=3)
    told = _request(film, "streamingvlm", temperature=0.0).settled.decoding
    assert told == Decoding(max_tokens=20, temperature=0.0, repetition_penalty=1.05)
    assert _request(film, "recall", temperature=0.5).settled.decoding is None, "the take's"
    code, out, err = narrate(film, "--mode", "streamingvlm", "--to", "5", "--json")
    assert code == 0, err
    starts = [said["start_s"] for said in json.loads(out)["lines"]]
    assert starts and set(starts) <= {float(s) for s in range(6)}


def _request(film: Path, mode: str, **sampling: Any) -> run_narrate.Request:
    from longtake.cli import flags

    return run_narrate.Request(
        videos=(str(film),),
        settings=flags.settings({"take.mode": mode}),
        telling=make_telling(None, 1.0, None, None, None),
        sampling=sampling,
    )
