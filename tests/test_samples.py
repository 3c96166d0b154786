"""The samples do what their first lines say."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import av
import pytest

import longtake
from longtake.models.embedded.questions import UNKNOWN_KIND

SAMPLES = Path(__file__).resolve().parents[1] / "samples"
CLIPS = {"demo.mp4": (18.0, 4), "short.mp4": (18.0, 8), "second.mp4": (16.0, 25)}


@pytest.fixture
def sample(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import a sample as Python would when it is run."""
    monkeypatch.syspath_prepend(str(SAMPLES))

    def load(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(name, SAMPLES / f"{name}.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture
def clips(sample: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(sys, "argv", ["make_clips.py", "--out", str(tmp_path), "--minutes", "0.3"])
    sample("make_clips").main()
    return tmp_path


def test_clips_are_drawn_with_their_answers(clips: Path) -> None:
    assert {path.name for path in clips.iterdir()} == {*CLIPS, "answers.json"}
    for name, (seconds, fps) in CLIPS.items():
        with av.open(str(clips / name)) as container:
            stream = container.streams.video[0]
            assert stream.average_rate == fps
            assert stream.frames == seconds * fps
    known = json.loads((clips / "answers.json").read_text())
    assert [k["clip"] for k in known] == sorted((k["clip"] for k in known), key=list(CLIPS).index)
    for k in known:
        assert set(k) == {"clip", "question", "answers", "span_s"}
        assert k["question"].endswith("?") and all(isinstance(a, str) for a in k["answers"])
        if k["span_s"] is not None:
            start, end = k["span_s"]
            assert 0 <= start < end <= CLIPS[k["clip"]][0]
    for name in CLIPS:
        answers = [k["answers"][0] for k in known if k["clip"] == name]
        assert {"no", UNKNOWN_KIND} < set(answers), "something that never was, something foreign"
        assert len(answers) >= 4


def test_the_same_seed_draws_the_same_clips(sample: Any, tmp_path: Path) -> None:
    make = sample("make_clips").make
    first, again = (make(tmp_path / n, 7, [("a.mp4", 16, 2)]) for n in ("one", "two"))
    assert first == again != make(tmp_path / "three", 8, [("a.mp4", 16, 2)])


def test_an_hour_is_drawn_as_it_goes_and_asked_about(
    sample: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    make_clips = sample("make_clips")
    make_clips.make(tmp_path, 7, [("a.mp4", 16, 2)])
    capsys.readouterr()
    words = ["make_clips.py", "--out", str(tmp_path), "--hour", "--minutes", "2"]
    monkeypatch.setattr(sys, "argv", words)
    make_clips.main()
    said = capsys.readouterr().out
    assert f"hour.mp4: 120 s at 2 frames/s {10 * '.'} " in said
    with av.open(str(tmp_path / "hour.mp4")) as container:
        assert container.streams.video[0].frames == 240
    known = make_clips.read_answers(tmp_path)
    assert {k["clip"] for k in known} == {"a.mp4", "hour.mp4"}, "what was known is still known"
    spans = [k["span_s"] for k in known if k["clip"] == "hour.mp4" and k["span_s"]]
    assert min(start for start, _ in spans) < 60 < 120 - min(end for _, end in spans)
    assert make_clips.an_hour(3600)[0].seconds == 3600


def test_a_clip_that_is_too_short_is_refused(
    sample: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["make_clips.py", "--out", "x", "--hour", "--minutes", "0.2"])
    with pytest.raises(SystemExit, match="2"):
        sample("make_clips").main()
    assert "at least 0.27 (16 s)" in capsys.readouterr().err


def test_a_file_is_asked_in_a_few_lines(
    sample: Any,
    clips: Path,
    tiny_model: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    plain = longtake.open
    monkeypatch.setattr(
        longtake, "open", lambda model: plain(str(tiny_model), fps=1.0, window_s=4.0)
    )
    monkeypatch.setattr(sys, "argv", ["ask_a_file.py", str(clips / "short.mp4"), "what?", "who?"])
    sample("ask_a_file").main()
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("what? -> ")]
    assert [line for line in lines if line.startswith("    ") and " s (" in line]


@pytest.fixture
def demo(sample: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """The demo with a stand-in for ``longtake ask`` that answers as told; runs it."""
    module = sample("demo")
    script = tmp_path / "stand_in.py"
    monkeypatch.setattr(module, "program", lambda: [sys.executable, str(script)])

    def run(code: int = 0, wrong: int = 0) -> int:
        known = tmp_path / "demo" / "answers.json"
        script.write_text(
            "import json, sys\n"
            f"known = json.load(open({str(known)!r}))\n"
            f"for i, k in enumerate(known):\n"
            f"    print('Q ', k['question'])\n"
            f"    print('A ', 'mauve' if i < {wrong} else k['answers'][0].upper())\n"
            f"sys.exit({code})\n"
        )
        words = ["demo.py", "--folder", str(tmp_path / "demo"), "--seconds", "16"]
        monkeypatch.setattr(sys, "argv", words)
        result: int = module.main()
        return result

    return run


def test_the_demo_compares_with_what_is_known(demo: Any, capfd: pytest.CaptureFixture[str]) -> None:
    assert demo() == 0
    first = capfd.readouterr().out
    assert "drawing" in first and "WRONG" not in first
    count = first.count("Q  ")
    assert count >= 4 and f"{count} of {count} answers are right" in first

    assert demo(wrong=1) == 0, "a wrong answer is said, and is no failure"
    again = capfd.readouterr().out
    assert "drawing" not in again, "the clip is there already"
    assert "WRONG: it said 'mauve'" in again and f"{count - 1} of {count} answers" in again


def test_the_demo_fails_when_the_program_does(demo: Any) -> None:
    assert demo(code=5) == 5
