"""The benchmarks say what they measured, in one schema; what they compare is comparable."""

from __future__ import annotations

import json
import os
import platform
import random
import shutil
import sys
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
import transformers

from longtake import __version__, cli
from longtake.bench import start
from longtake.bench.clip import draw, pour
from longtake.bench.frame import Row, compared, interleave, show
from longtake.bench.model import Model
from longtake.bench.plain import Plain
from longtake.engine import Engine
from longtake.hardware import machine
from longtake.models.embedded.filming import write_film
from longtake.models.embedded.network import build_model
from longtake.models.embedded.weights_folder import write_folder
from longtake.models.embedded.world import SIZE, Film
from longtake.models.loader import load
from longtake.streaming.sources import open_source
from tests import checkpoints
from tests.streams import ONE_TOKEN, Listening

RUN = ["--minutes", "0.5", "--repeats", "1", "--json"]


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded model with random weights."""
    folder = tmp_path_factory.mktemp("untrained") / "model"
    torch.manual_seed(0)
    write_folder(build_model(), folder)
    return folder


def silent(text: str) -> None:
    """Hears how far a benchmark is."""


def run(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    code = cli.main(["bench", *words])
    shown = capsys.readouterr()
    assert code == 0, shown.err
    result: dict[str, Any] = json.loads(shown.out)
    return result


@pytest.mark.parametrize(
    ("bench", "names"),
    [
        ("ingest", {"whole pipeline", "bare forward", "decode and sample", "memory on disk"}),
        ("ask", {"first token", "whole answer", "plain re-encoding, first token"}),
    ],
)
def test_a_bench_prints_one_documented_object(
    bench: str, names: set[str], untrained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = run(capsys, bench, "--model", str(untrained), *RUN)
    rows = check(found, bench)
    assert {name.strip() for name in rows} >= names
    assert sum(row["ratio"] is not None for row in rows.values()) == 1


def check(found: dict[str, Any], bench: str) -> dict[str, dict[str, Any]]:
    """The object is as documented; its rows by name."""
    assert set(found) == {"schema", "bench", "machine", "sizes", "rows"}
    assert found["schema"] == "longtake.bench/1" and found["bench"] == bench
    assert set(found["machine"]) >= {"cpu", "cores", "os", "python", "torch", "longtake"}
    rows = {row["name"]: row for row in found["rows"]}
    assert len(rows) == len(found["rows"]), "names tell rows apart"
    for row in rows.values():
        assert set(row) == {"name", "value", "unit", "ratio", "reference"}
        assert row["value"] > 0
        assert (row["ratio"] is None) == (row["reference"] is None)
        if row["reference"] is not None:
            assert row["ratio"] == pytest.approx(row["value"] / rows[row["reference"]]["value"])
    return rows


def test_streams_of_several_lengths_are_compared_with_the_first(
    untrained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = ["--model", str(untrained)]
    found = run(capsys, "ask", *model, "--minutes", "0.5,1", "--repeats", "1", "--json")
    rows = check(found, "ask")
    first, second = rows["first token, 0.5 min"], rows["first token, 1 min"]
    assert first["reference"] == "plain re-encoding, first token"
    assert second["reference"] == "first token, 0.5 min"
    assert {"    of it the search, 0.5 min", "    of it the search, 1 min"} <= set(rows)
    assert sum(name.startswith("plain") for name in rows) == 1
    assert "30 s (15 chunks in memory), 60 s (30 chunks in memory)" in found["sizes"]["stream"]


def test_a_long_stream_is_a_short_clip_again_and_again(untrained: Path, tmp_path: Path) -> None:
    adapter = load(str(untrained))
    draw(tmp_path / "clip.mp4", 0.5, 1.0, silent)
    with Engine(adapter) as engine, engine.open() as take:
        pour(take, tmp_path / "clip.mp4", 75, silent)
        stats = take.stats()
    assert stats.received == 75 and stats.dropped == {}
    assert stats.newest_s == 73.0, "the 75th frame waits for the other one of its step"


def test_reading_a_file_is_compared_with_ffmpeg(capsys: pytest.CaptureFixture[str]) -> None:
    if shutil.which("ffmpeg") is None:
        pytest.skip("needs ffmpeg's command line, which is not on this machine")
    found = run(capsys, "decode", "--seconds", "1", "--repeats", "1", "--json")
    rows = check(found, "decode")
    assert rows["decode and sample"]["reference"] == "ffmpeg, the same"
    assert found["sizes"]["ffmpeg"].startswith("ffmpeg version")


def test_without_ffmpeg_our_own_reading_stands_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    code = cli.main(["bench", "decode", "--seconds", "1", "--repeats", "1", "--json"])
    shown = capsys.readouterr()
    assert code == 0 and "no ffmpeg on this machine" in shown.err
    found = json.loads(shown.out)
    rows = check(found, "decode")
    assert set(rows) == {"decode and sample", "frames decoded"}
    assert rows["decode and sample"]["ratio"] is None
    assert found["sizes"]["kept"] == "1 pictures, 320 x 180, RGB"


def test_a_start_is_compared_with_loading_the_weights_alone(
    untrained: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start, "seconds_to", lambda begun: float(len(begun.words)))
    found = run(capsys, "start", "--model", str(untrained), "--repeats", "1", "--json")
    rows = check(found, "start")
    assert set(rows) == {start.ASK, start.LOAD, start.TORCH, start.HELP}
    assert rows[start.ASK]["reference"] == start.LOAD


def test_the_processes_of_a_start_do_what_their_rows_say(
    untrained: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Their words, run in this process."""
    draw(tmp_path / "clip.mp4", 0.5, 1.0, silent)
    with Engine(str(untrained)) as engine, engine.open(tmp_path / "memory") as take:
        take.watch(tmp_path / "clip.mp4").wait()
    found = start.starts(Model(str(untrained)), tmp_path / "memory")
    for name in (start.ASK, start.HELP):
        assert found[name].words[1:4] == ("-u", "-m", "longtake")
        assert cli.main(list(found[name].words[4:])) == 0
        seen = capsys.readouterr().out.encode()
        assert seen.partition(found[name].before)[2] if found[name].before else seen
    monkeypatch.setattr(sys, "argv", ["-c", *found[start.LOAD].words[4:]])
    exec(found[start.LOAD].words[3], {})
    assert capsys.readouterr().out == "loaded\n"


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("print('Q', end='\\nA  ')", "ended with 0, no answer: it said nothing"),
        ("import sys; print('Q\\nA  no'); sys.exit('it broke')", "ended with 1, .*: it broke"),
    ],
)
def test_a_start_without_an_answer_is_an_error(program: str, said: str) -> None:
    words = (sys.executable, "-u", "-S", "-c")
    assert start.seconds_to(start.Start((*words, "print('Q\\nA  yes')"), before=b"\nA  ")) > 0
    with pytest.raises(RuntimeError, match=said):
        start.seconds_to(start.Start((*words, program), before=b"\nA  "))


@pytest.mark.long
def test_a_start_is_measured_in_processes_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    rows = check(run(capsys, "start", "--repeats", "1", "--json"), "start")
    assert rows["longtake --help"]["value"] < rows[start.LOAD]["value"]


def test_the_plain_twin_says_what_the_engine_says(untrained: Path, tmp_path: Path) -> None:
    """Where the window holds everything both see the same: so both did the same work."""
    adapter = Listening(load(str(untrained)))
    plain = Plain(adapter, str(untrained))
    clip, question = tmp_path / "clip.mp4", "was there a red star?"
    write_film(Film(random.Random(0), 8), clip, fps=1, scale=1)
    with open_source(clip, fps=1.0, max_side=SIZE) as source:
        images = [frame.image for frame in source.frames()]
    with Engine(adapter) as engine, engine.open() as take:
        take.watch(clip).wait()
        assert take.stats().window_tokens == 4 * adapter.step_tokens, "nothing left the window"
        take.ask(question, decoding=ONE_TOKEN)
    assert adapter.last_logits is not None
    logits = plain.first_logits(plain.pixels(images), question)
    torch.testing.assert_close(adapter.last_logits[0], logits, rtol=1e-4, atol=1e-4)  # float32


def test_the_plain_twin_keeps_a_window_of_the_same_size(untrained: Path) -> None:
    adapter = load(str(untrained))
    plain = Plain(adapter, str(untrained))
    with Engine(adapter) as engine, engine.open() as take:
        assert plain.window_tokens == take.pace.window_tokens
        assert plain.batch_frames == 16
    many = list(np.zeros((900, 96, 96, 3), np.uint8))
    fitting = plain.fitting(many, prompt_tokens=20)
    tokens = len(fitting) // 2 * adapter.step_tokens
    assert adapter.shape.trained_tokens - 2 * adapter.step_tokens < tokens + 30
    assert tokens + 30 < adapter.shape.trained_tokens
    assert len(plain.fitting(many[:8], prompt_tokens=20)) == 8


SIZES = {"ingest": RUN, "ask": RUN, "start": RUN[2:], "needle": ["--episodes", "1"]}


@pytest.mark.parametrize("bench", SIZES)
def test_the_model_can_come_from_the_environment_or_a_file(
    bench: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Which of them was read is told by what it refuses."""
    words = ["bench", bench, *SIZES[bench]]
    file = tmp_path / "config.toml"
    file.write_text('model = "/in/the/file"\ndtype = "float1"\n')
    assert cli.main([*words, "--config", str(file), "--dtype", "float32"]) == cli.MODEL
    assert "/in/the/file" in capsys.readouterr().err
    assert cli.main([*words, "--config", str(file), "--model", "embedded"]) == cli.MODEL
    assert "dtype='float1'" in capsys.readouterr().err
    monkeypatch.setenv("LONGTAKE_MODEL", "/in/the/environment")
    assert cli.main(words) == cli.MODEL
    assert "/in/the/environment" in capsys.readouterr().err
    monkeypatch.setenv("LONGTAKE_DEVICE", "nothing")
    assert cli.main([*words, "--model", "embedded"]) == cli.MODEL
    assert "device='nothing'" in capsys.readouterr().err
    assert cli.main([*words, "--device", "nobody"]) == cli.MODEL
    assert "device='nobody'" in capsys.readouterr().err


def test_the_processes_of_a_start_use_the_device_and_dtype_that_were_asked_for(
    untrained: Path, tmp_path: Path
) -> None:
    found = start.starts(Model(str(untrained), "cpu", "bfloat16"), tmp_path)
    asked = found[start.ASK].words
    assert asked[asked.index("--device") + 1] == "cpu"
    assert asked[asked.index("--dtype") + 1] == "bfloat16"
    assert found[start.LOAD].words[-3:] == (str(untrained), "cpu", "bfloat16")


def test_a_family_without_a_twin_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = checkpoints.write("qwen2_5_vl", tmp_path / "model")
    assert cli.main(["bench", "ask", "--model", str(folder), *RUN]) == 5
    assert "compares llava_onevision models only" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--minutes", "0.1"], ["--repeats", "0"]])
@pytest.mark.parametrize("bench", ["ingest", "ask"])
def test_a_size_that_makes_no_sense_is_a_usage_error(
    bench: str, words: list[str], untrained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["bench", bench, "--model", str(untrained), *RUN, *words]) == 2
    assert "must be at least" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["ingest", "--minutes", "inf"], "minutes=inf: must be at least 0.5"),
        (["ingest", "--minutes", "nan"], "minutes=nan: must be at least 0.5"),
        (["ingest", "--minutes", "0.1"], "minutes=0.1: must be at least 0.5"),
        (["ingest", "--minutes", "-inf"], "minutes=-inf: must be at least 0.5"),
        (["ingest", "--repeats", "0"], "repeats=0: must be at least 1"),
        (["ask", "--minutes", "10,0.1"], "minutes=0.1: must be at least 0.5"),
        (["ask", "--minutes", "nan"], "minutes=nan: must be at least 0.5"),
        (["ask", "--minutes", "10,an hour"], "'an hour' is not a number"),
        (["ask", "--minutes", "10,10"], "minutes=10, 10: one comes twice"),
        (["ask", "--repeats", "0"], "repeats=0: must be at least 1"),
        (["decode", "--seconds", "0"], "seconds=0: must be at least 1"),
        (["decode", "--seconds", "inf"], "seconds=inf: must be at least 1"),
        (["decode", "--repeats", "0"], "repeats=0: must be at least 1"),
        (["start", "--repeats", "0"], "repeats=0: must be at least 1"),
    ],
)
def test_what_cannot_be_measured_is_told_before_anything_is_loaded(
    words: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LONGTAKE_MODEL", "/nowhere")  # loading it would end with another code
    assert cli.main(["bench", *words]) == 2
    assert capsys.readouterr().err == f"longtake: {said}\n"  # and no note: nothing was drawn


def test_a_table_names_the_reference(capsys: pytest.CaptureFixture[str]) -> None:
    show("ingest", {"clip": "none"}, [Row("a", 1.0, "ms", 0.5, "b")], False)
    assert "0.5 x b" in capsys.readouterr().out


def test_runs_take_turns_and_the_first_does_not_count() -> None:
    order: list[str] = []

    def job(name: str) -> float:
        order.append(name)
        return float(len(order))

    found = interleave({n: lambda n=n: job(n) for n in "AB"}, 2, silent)  # type: ignore[misc]
    assert order == ["A", "B"] * 3
    assert found == {"A": [3.0, 5.0], "B": [4.0, 6.0]}


def test_only_like_is_compared_with_like() -> None:
    one = Row("one", 2.0, "ms")
    assert compared("other", 1.0, "ms", one) == Row("other", 1.0, "ms", 0.5, "one")
    with pytest.raises(ValueError, match="no ratio"):
        compared("other", 1.0, "frames/s", one)


def test_the_machine_is_named() -> None:
    found = machine()
    cpu, cores, system = found.pop("cpu"), found.pop("cores"), str(found.pop("os"))
    assert isinstance(cpu, str) and cpu.strip()
    if sys.platform == "linux":
        assert cores == len(os.sched_getaffinity(0))
        assert system.startswith("Linux-") and platform.release().partition("-")[0] in system
    assert found == {
        "python": sys.version.split()[0],
        "longtake": __version__,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "av": av.__version__,
    }
