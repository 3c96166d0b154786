"""The command line as people meet it: answers on stdout, one clear line for what is wrong."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from longtake import __version__, cli
from tests import checkpoints
from tests.clips import write_clip

Run = Any


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 s at 4 frames a second."""
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", seconds=12, fps=4)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tiny_model: Path) -> Run:
    """Run ``longtake``; returns exit code, stdout and stderr.  ``ask`` uses the tiny model."""

    def call(*words: object) -> tuple[int, str, str]:
        arguments = [str(word) for word in words]
        if arguments[:1] == ["ask"]:
            for flag, value in (("--model", str(tiny_model)), ("--fps", "1"), ("--window", "4")):
                if flag not in arguments:
                    arguments += [flag, value]
        code = cli.main(arguments)
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return call


def test_an_answer_with_its_evidence(run: Run, clip: Path, tmp_path: Path) -> None:
    code, out, err = run("ask", clip, "what was there?", "--evidence-dir", tmp_path / "seen")
    assert code == 0, err
    lines = out.splitlines()
    assert lines[0] == "Q  what was there?"
    assert lines[1].startswith("A  ")
    assert lines[2].startswith("   evidence  0:")
    pictures = sorted((tmp_path / "seen").glob("*.jpg"))
    assert pictures and all(p.read_bytes()[:2] == b"\xff\xd8" for p in pictures)
    assert "watching" not in err, "progress belongs on a terminal"


def test_json_is_one_documented_object(run: Run, clip: Path) -> None:
    code, out, _ = run("ask", clip, "what was there?", "and then?", "--json")
    assert code == 0
    shown = json.loads(out)
    assert shown["schema"] == "longtake.ask/1"
    assert shown["source"]["complete"] is True
    assert shown["source"]["ended_s"] == pytest.approx(11.75)
    assert shown["ingest"]["frames"] == 12 and shown["ingest"]["chunks"] == 12
    assert shown["ingest"]["dropped"] == {}
    assert [a["question"] for a in shown["answers"]] == ["what was there?", "and then?"]
    first = shown["answers"][0]
    assert {"start_s", "end_s", "score"} <= set(first["evidence"][0])
    assert {"first_token_s", "total_s"} <= set(first["timings"])
    assert first["coverage"] == 1.0 and first["as_of_s"] == pytest.approx(11.0)
    documented = (Path(__file__).parents[1] / "docs" / "json.md").read_text()
    for name in _keys(shown):
        assert f"`{name}`" in documented, f"{name} is not in docs/json.md"


def _keys(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*(_keys(v) for v in value.values()))
    if isinstance(value, list):
        return set().union(*(_keys(v) for v in value)) if value else set()
    return set()


def test_a_memory_answers_without_its_video(run: Run, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "gone.mp4", seconds=10, fps=2)
    memory = tmp_path / "memory"
    code, first, err = run("ask", "--memory", memory, clip, "what was there?", "--json")
    assert code == 0, err
    clip.unlink()
    code, again, err = run("ask", "--memory", memory, "what was there?", "--json")
    assert code == 0, err
    before, after = json.loads(first), json.loads(again)
    assert after["source"] is None and after["ingest"]["frames"] == 0
    assert after["answers"][0]["text"] == before["answers"][0]["text"]


def test_a_video_that_is_in_the_memory_is_not_read_again(
    run: Run, clip: Path, tmp_path: Path
) -> None:
    for expected in (12, 0):
        code, out, _ = run("ask", "--memory", tmp_path / "m", clip, "what?", "--json")
        assert code == 0
        assert json.loads(out)["ingest"]["frames"] == expected


def test_times_bound_what_is_seen_and_what_is_known(run: Run, clip: Path) -> None:
    code, out, _ = run("ask", clip, "what?", "--from", "0:02", "--to", "8", "--json")
    assert code == 0
    shown = json.loads(out)
    assert shown["ingest"]["frames"] == 6
    assert shown["answers"][0]["as_of_s"] == pytest.approx(7.0)
    code, out, _ = run("ask", clip, "what?", "--at", "0:05", "--json")
    assert json.loads(out)["answers"][0]["as_of_s"] == pytest.approx(5.0)
    code, out, _ = run("ask", clip, "what?", "--between", "3", "6", "--json")
    spans = json.loads(out)["answers"][0]["evidence"]
    assert spans and all(3 <= s["end_s"] and s["start_s"] <= 6 for s in spans)


def test_a_truncated_file_is_answered_about_and_said_to_be(
    run: Run, clip: Path, tmp_path: Path
) -> None:
    short = tmp_path / "short.mkv"
    whole = write_clip(tmp_path / "whole.mkv", seconds=12, fps=4).read_bytes()
    short.write_bytes(whole[: len(whole) // 2])
    code, out, err = run("ask", short, "what was there?", "--json")
    assert code == 0, err
    source = json.loads(out)["source"]
    assert source["complete"] is False
    assert 0 < source["ended_s"] < 11
    assert "seen to" in err


def test_a_folder_of_pictures_is_a_stream(run: Run, tmp_path: Path) -> None:
    import cv2
    import numpy as np

    for number in range(1, 11):
        image = np.full((40, 60, 3), number * 20, np.uint8)
        cv2.imwrite(str(tmp_path / f"shot{number}.png"), image)
    code, out, err = run("ask", tmp_path, "what was there?", "--json")
    assert code == 0, err
    assert json.loads(out)["source"]["kind"] == "pictures"
    assert json.loads(out)["ingest"]["frames"] == 10


# ------------------------------------------------------------------ what is wrong is said


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["/nowhere/clip.mp4", "what?"], cli.SOURCE, "/nowhere/clip.mp4: no such file"),
        (["{empty_folder}", "what?"], cli.SOURCE, "pictures"),
        (["{text}", "what?"], cli.SOURCE, "text.mp4"),
        (["{zero}", "what?"], cli.SOURCE, "zero.mp4"),
        (["{clip}"], cli.USAGE, "no question"),
        (["{clip}", " "], cli.USAGE, "empty"),
        (["", "what?"], cli.USAGE, "empty"),
        (["{clip}", "what?", "--memory", ""], cli.USAGE, "empty"),
        (["{clip}", "what?", "--evidence-dir", ""], cli.USAGE, "empty"),
        ([], cli.USAGE, "no question"),
        (["{clip}", "what?", "--fps", "0"], cli.USAGE, "fps=0"),
        (["{clip}", "what?", "--fps", "nan"], cli.USAGE, "fps=nan"),
        (["{clip}", "what?", "--fps", "fast"], cli.USAGE, "fast"),
        (["{clip}", "what?", "--top-k", "0"], cli.USAGE, "top_k=0"),
        (["{clip}", "what?", "--window", "-3"], cli.USAGE, "window_s=-3"),
        (["{clip}", "what?", "--temperature", "-1"], cli.USAGE, "temperature=-1"),
        (["{clip}", "what?", "--ram-bytes", "4 elephants"], cli.USAGE, "4 elephants"),
        (["{clip}", "what?", "--disk-bytes", "9K"], cli.CONFIGURATION, "disk_bytes=9216"),
        (["{clip}", "what?", "--at", "1:99"], cli.USAGE, "--at 1:99"),
        (["{clip}", "what?", "--from", "9", "--to", "5"], cli.USAGE, "later than --from"),
        (["{clip}", "what?", "--from", "99"], cli.SOURCE, "99"),
        (["{clip}", "what?", "--between", "9", "5"], cli.USAGE, "--between 9 5"),
        (["{clip}", "what?", "--model", "tiny-llama"], cli.MODEL, "llava_onevision, qwen2_5_vl"),
        (["{clip}", "what?", "--model", "{empty_folder}"], cli.MODEL, "config.json"),
        (["{clip}", "what?", "--device", "tpu9"], cli.MODEL, "tpu9"),
        (["--memory", "/nowhere/memory", "what?"], cli.USAGE, "/nowhere/memory"),
        (["{clip}", "what?", "--memory", "{text}"], cli.CONFIGURATION, "text.mp4"),
        (["{clip}", "what?", "--no-such-flag"], cli.USAGE, "--no-such-flag"),
    ],
)
def test_errors_are_one_line_with_a_code(
    run: Run, clip: Path, tmp_path: Path, words: list[str], code: int, said: str
) -> None:
    (tmp_path / "text.mp4").write_text("not a video at all\n" * 50)
    (tmp_path / "zero.mp4").touch()
    (tmp_path / "empty").mkdir()
    places = {
        "clip": clip,
        "text": tmp_path / "text.mp4",
        "zero": tmp_path / "zero.mp4",
        "empty_folder": tmp_path / "empty",
    }
    got, out, err = run("ask", *(word.format(**places) for word in words))
    assert (got, out) == (code, ""), err
    assert said in err
    assert "Traceback" not in err
    complaints = [line for line in err.splitlines() if line.strip()]
    assert len(complaints) == 1 and complaints[0].startswith("longtake: ")


def test_a_memory_of_another_model_is_refused(run: Run, clip: Path, tmp_path: Path) -> None:
    other = checkpoints.write("llava_onevision", tmp_path / "other", seed=5)
    assert run("ask", "--memory", tmp_path / "m", clip, "what?")[0] == 0
    code, _, err = run("ask", "--memory", tmp_path / "m", clip, "what?", "--model", other)
    assert code == cli.MODEL
    assert str(tmp_path / "m") in err and str(other) in err


def test_a_password_never_reaches_a_message(run: Run) -> None:
    code, out, err = run("ask", "rtsp://anna:secret@cam/main?token=hidden", "what?")
    assert code == cli.SOURCE
    assert "secret" not in out + err and "hidden" not in out + err
    assert "rtsp://***@cam" in err


def test_interrupting_ends_with_130(run: Run, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from longtake.cli import run_ask

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(run_ask, "run", interrupt)
    code, _, err = run("ask", clip, "what?")
    assert code == cli.INTERRUPTED and "interrupted" in err


def test_version_and_help_need_no_model() -> None:
    def call(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", "longtake", *words],
            capture_output=True,
            text=True,
            check=True,
        )
        loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
        assert not loaded & {"torch", "transformers", "av", "cv2", "numpy"}
        return done.stdout

    assert call("--version").strip() == f"longtake {__version__}"
    assert "ask" in call("--help")
    assert "--evidence-dir" in call("ask", "--help")


def commands() -> dict[str, Any]:
    """Every command by what is typed for it; the program itself by ``longtake``."""
    import typer

    def below(name: str, command: Any) -> dict[str, Any]:
        inner = getattr(command, "commands", {})
        found = {name: command}
        for word, one in inner.items():
            found |= below(f"{name} {word}", one)
        return found

    return below("longtake", typer.main.get_command(cli.app))


def test_every_command_and_flag_is_in_the_documentation() -> None:
    """Each flag stands in the section of its command, or with those that all commands share."""
    text = (Path(__file__).parents[1] / "docs" / "cli.md").read_text()
    shared, *sections = re.split(r"^## ", text, flags=re.MULTILINE)
    for name, command in commands().items():
        own = [part for part in sections if f"`{name}" in part]
        assert own or name == "longtake", f"{name} has no section"
        for option in command.params:
            for flag in option.opts:
                if flag.startswith("--"):
                    assert any(f"`{flag}" in part for part in (shared, *own)) or (
                        f"{name} {flag}" in shared
                    ), f"{flag} of {name}"


def test_every_command_shows_an_example_of_itself() -> None:
    for name, command in commands().items():
        if not hasattr(command, "commands"):
            assert f"{name} " in f"{command.help}\n".replace("\n", " "), name


def test_every_command_understands_the_shared_flags() -> None:
    for name, command in commands().items():
        if not hasattr(command, "commands") or name == "longtake":
            flags = {flag for option in command.params for flag in option.opts}
            assert {"--config", "--verbose", "-v", "--quiet", "-q", "--debug"} <= flags, name


@pytest.mark.parametrize(
    ("typed", "found"), [("longtake be", "bench"), ("longtake ask --mem", "--memory")]
)
def test_the_shell_completes_commands_and_flags(
    typed: str, found: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("_LONGTAKE_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", typed)
    monkeypatch.setenv("COMP_CWORD", str(len(typed.split()) - 1))
    assert cli.main([]) == 0
    assert found in capsys.readouterr().out.split()


@pytest.mark.parametrize(
    ("words", "near"),
    [
        (["aks", "v.mp4"], "ask"),
        (["ask", "--memroy", "m"], "--memory"),
        (["memory", "ifno"], "info"),
    ],
)
def test_a_mistyped_word_is_answered_with_the_near_one(
    words: list[str], near: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(words) == cli.USAGE
    assert near in capsys.readouterr().err
