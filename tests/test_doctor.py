"""`longtake doctor`: what it finds, what it says of what is wrong, and its comparison of models."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest
import torch

from longtake import cli
from longtake.cli.run_doctor import exit_code, lines
from longtake.cli.run_doctor import run as doctor
from longtake.doctor import checkup, parity
from longtake.doctor import machine as checks_machine
from longtake.doctor import media as checks_media
from longtake.doctor import memory as checks_memory
from longtake.doctor import model as checks_model
from longtake.doctor import parts as checks_parts
from longtake.doctor.checks import OF_THE_MODEL, Check, look
from longtake.doctor.machine import Devices, Gpu
from longtake.doctor.parity import TOLERANCE, Heard, Parity
from longtake.doctor.parts import NEEDED, OPTIONAL, Library, Part
from longtake.engine import Engine
from longtake.memory.folder import CATALOG
from longtake.memory.store import Store
from longtake.models.base import ModelError, Step
from longtake.models.loader import load
from longtake.models.positions import Rotary, axis_map
from longtake.models.room import NotEnoughMemory
from longtake.settings import TakeConfig
from tests import checkpoints
from tests.chunks import MODEL, put, segment_files

Run = Any
FAMILIES = sorted(checkpoints.FAMILIES)
CPU = torch.device("cpu")
# Names of things, not of fields
BY_NAME = {"parts", "libraries", "protocols", "decoders"}


@pytest.fixture(autouse=True)
def no_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a file nor a variable of whoever runs the tests."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "nobody"))
    for name in ("CONFIG", "MODEL", "DEVICE", "DTYPE"):
        monkeypatch.delenv(f"LONGTAKE_{name}", raising=False)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run ``longtake doctor``; returns exit code, stdout and stderr."""

    def call(*words: object) -> tuple[int, str, str]:
        code = cli.main(["doctor", *(str(word) for word in words)])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return call


@pytest.fixture
def no_media(monkeypatch: pytest.MonkeyPatch) -> None:
    """FFmpeg and cameras are not looked at: this is not about them."""
    for name in ("find_media", "find_cameras"):
        monkeypatch.setattr(checks_media, name, lambda: None)
    for name in ("judge_media", "judge_cameras"):
        monkeypatch.setattr(checks_media, name, lambda _: ())


def state_of(out: str, name: str) -> dict[str, Any]:
    (check,) = (check for check in json.loads(out)["checks"] if check["name"] == name)
    found: dict[str, Any] = check
    return found


# ------------------------------------------------------------------ parity


@pytest.fixture(scope="module", params=FAMILIES)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.write(request.param, tmp_path_factory.mktemp("model") / request.param)


@pytest.fixture(scope="module")
def heard(folder: Path) -> Heard:
    return parity.listen(load(str(folder), device="cpu", dtype="float32"))


def test_the_engine_is_the_plain_model_in_every_token(folder: Path, heard: Heard) -> None:
    found = parity.compare(heard, folder, CPU)
    assert found.passed
    greatest = heard.logits.abs().max()
    assert 0 < found.max_abs_error < found.tolerance < 1.01 * TOLERANCE * greatest
    assert TOLERANCE == 1e-5 and greatest > 1, "logits so small that any error would pass"
    assert found.tokens_compared == len(heard.embeds) + len(heard.prompt_ids)
    assert found.same_first_token


def test_a_wrong_rotation_fails(folder: Path) -> None:
    adapter = load(str(folder), device="cpu", dtype="float32")
    rotary = adapter.rotary
    axes = axis_map(len(rotary._frequency) // 2, adapter.decoder.config)  # type: ignore[attr-defined]
    adapter.rotary = Rotary(rotary._frequency[: len(axes)] * 1.01, axes)
    found = parity.compare(parity.listen(adapter), folder, CPU)
    assert not found.passed and found.max_abs_error > 100 * found.tolerance


def test_a_position_off_by_one_fails(folder: Path, heard: Heard) -> None:
    positions = heard.positions.clone()
    positions[:, -len(heard.prompt_ids) :] += 1
    found = parity.compare(replace(heard, positions=positions), folder, CPU)
    assert not found.passed and found.max_abs_error > 100 * found.tolerance


def test_features_of_deeper_vision_layers_reach_the_plain_model(tmp_path: Path) -> None:
    folder = checkpoints.write("qwen3_vl", tmp_path / "qwen3")
    heard = parity.listen(load(str(folder), device="cpu", dtype="float32"))
    assert heard.extra and parity.compare(heard, folder, CPU).passed
    features = [level * 1.01 for level in heard.extra["deepstack_visual_embeds"]]
    off = heard.extra | {"deepstack_visual_embeds": features}
    for extra in (off, {}):
        found = parity.compare(replace(heard, extra=extra), folder, CPU)
        assert not found.passed and found.max_abs_error > 100 * found.tolerance


def test_keywords_that_cannot_be_joined_are_no_parity(heard: Heard) -> None:
    step = Step(heard.embeds, heard.positions, 0.0, 0.0)
    assert parity.join_extra([step, step]) == {}
    with pytest.raises(ValueError, match="cannot be joined"):
        parity.join_extra([step, replace(step, extra={"sound": 1})])


def test_what_is_not_a_number_fails_and_is_null_in_json() -> None:
    broken = Parity(float("nan"), TOLERANCE, 3, same_first_token=True)
    assert not broken.passed
    assert broken.as_json()["max_abs_error"] is None


def test_another_first_token_fails() -> None:
    assert Parity(0.0, TOLERANCE, 3, same_first_token=True).passed
    assert not Parity(0.0, TOLERANCE, 3, same_first_token=False).passed


def test_only_float32_is_compared(tiny_model: Path) -> None:
    with pytest.raises(ValueError, match="compared in float32"):
        parity.listen(load(str(tiny_model), device="cpu", dtype="bfloat16"))


# ------------------------------------------------------------------ the command


def test_a_machine_without_trouble_ends_with_0(run: Run, tmp_path: Path) -> None:
    code, out, err = run("--memory", tmp_path / "new" / "memory", "--device", "cpu")
    assert (code, err) == (0, "")
    for name in ("python", "torch", "attend", "dtype", "protocols", "decoders", "FFmpeg", "RAM"):
        assert f" {name} " in out, name
    assert "(will be made)" in out and not (tmp_path / "new").exists()
    assert "no problems" in out.splitlines()[-1]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_model_is_measured_as_asked_and_compared_in_float32(
    run: Run, tiny_model: Path, tmp_path: Path, dtype: str, no_media: None
) -> None:
    words = ("--model", tiny_model, "--dtype", dtype, "--device", "cpu", "--memory", tmp_path)
    code, out, err = run(*words, "--json")
    assert code == 0, err
    shown = json.loads(out)
    assert shown["schema"] == "longtake.doctor/1"
    assert shown["parity"]["passed"] is True
    assert shown["parity"]["max_abs_error"] < shown["parity"]["tolerance"] < 1e-4
    assert shown["parity"]["same_first_token"] is True
    assert shown["parity"]["tokens_compared"] > 50
    model = shown["model"]
    assert (model["family"], model["device"], model["dtype"]) == ("llava_onevision", "cpu", dtype)
    adapter: Any = load(str(tiny_model), device="cpu", dtype=dtype)
    assert model["weights_bytes"] == sum(p.nbytes for p in adapter.model.parameters())
    assert model["load_s"] > model["check_s"] > 0 and model["encode_s"] > 0
    assert model["quantized"] is None and model["step_tokens"] == adapter.step_tokens
    assert model["own_processor"] is (adapter.pixels.why_plain is None)
    assert model["why_arithmetic"] == adapter.pixels.why_plain
    assert state_of(out, "parity")["state"] == "ok"
    with Engine(adapter) as engine, engine.open() as take:
        assert model["window_bytes"] == take.stats().device_bytes
        assert model["window_s"] == take.pace.window_s
    sizes, width = adapter.shape, torch.finfo(adapter.dtype).bits // 8
    a_token = 2 * sizes.layers * sizes.kv_heads * sizes.head_dim * width
    steps = 3600 * adapter.recipe.fps / adapter.recipe.frames_per_step
    assert model["hour_bytes"] == steps * adapter.step_tokens * a_token
    # This one is bounded by its trained context, not by this machine's memory
    assert window_opens(adapter, model["widest_window_s"])
    assert not window_opens(adapter, model["widest_window_s"] * 1.1)


def window_opens(adapter: Any, window_s: float) -> bool:
    with Engine(adapter) as engine:
        try:
            engine.open(None, TakeConfig(window_s=window_s)).close()
        except ValueError:
            return False
    return True


def test_a_window_is_bounded_by_free_memory(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks_model, "_free_bytes", lambda _: 100_000)
    model = checks_model.find_model(str(tiny_model), "cpu", "float32")
    per_second = model.window_bytes / model.window_s
    assert model.widest_window_s == pytest.approx(50_000 / per_second, rel=0.3)
    (check,) = (c for c in checks_model.judge_model(model) if c.name == "window")
    assert check.state == "note" and "--window" in check.advice and "--quantize" in check.advice


def test_a_recipe_beyond_the_trained_context_is_noted_and_the_rest_is_looked_at(
    run: Run, tiny_model: Path, tmp_path: Path, no_media: None
) -> None:
    copy = shutil.copytree(tiny_model, tmp_path / "copy")
    (copy / "longtake.json").write_text('{"window_s": 99999}')
    code, out, _ = run("--model", copy, "--memory", tmp_path, "--device", "cpu", "--json")
    assert code == 0
    window = state_of(out, "window")
    assert window["state"] == "note" and "trained for" in window["value"]
    assert "--dtype" not in window["advice"] and "--quantize" not in window["advice"]
    model = json.loads(out)["model"]
    assert model["recipe_window_s"] == 99999
    with Engine(load(str(copy), device="cpu")) as engine, engine.open() as take:
        assert model["window_s"] == take.pace.window_s
        assert model["window_bytes"] == take.stats().device_bytes
    assert state_of(out, "parity")["state"] == "ok"


def test_what_has_no_room_in_float32_is_not_compared_and_no_problem(
    run: Run,
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    no_media: None,
) -> None:
    def no_room(*_: object) -> None:
        raise NotEnoughMemory("needs more")

    words = ("--model", tiny_model, "--memory", tmp_path, "--dtype", "bfloat16", "--json")
    real = checks_model.load
    monkeypatch.setattr(
        checks_model,
        "load",
        lambda name, *, dtype, **given: (
            no_room() if dtype == "float32" else real(name, dtype=dtype, **given)
        ),
    )
    code, out, _ = run(*words)
    assert code == 0 and json.loads(out)["parity"] is None
    check = state_of(out, "parity")
    assert check["state"] == "note" and "needs more" in check["value"] and check["advice"]


def test_quantised_weights_are_not_compared(tiny_model: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny_model, tmp_path / "copy")
    config = json.loads((copy / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "awq"}
    (copy / "config.json").write_text(json.dumps(config))
    found = checks_model.find_parity(str(copy), "cpu")
    assert isinstance(found, checks_model.NotCompared) and "awq" in found.reason


def test_flags_of_the_model_reach_the_loader(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_media: None
) -> None:
    asked: dict[str, Any] = {}

    def spy(name: str, **given: Any) -> Any:
        asked.update(given)
        raise ModelError("enough")

    monkeypatch.setattr(checks_model, "load", spy)
    words = ("--model", "embedded", "--memory", tmp_path, "--json")
    code, out, _ = run(*words, "--quantize", "8bit", "--max-pixels", "5000")
    assert code == cli.MODEL and state_of(out, "model")["value"] == "enough"
    assert (asked["quantize"], asked["max_pixels"]) == ("8bit", 5000)
    assert run(*words, "--quantize", "5bit")[0] == cli.USAGE


def test_json_is_one_documented_object(run: Run, tiny_model: Path, tmp_path: Path) -> None:
    with Store.open(tmp_path / "m", **MODEL) as store:
        put(store, 0)
    code, out, err = run("--model", tiny_model, "--memory", tmp_path / "m", "--json")
    assert code == 0, err
    shown = json.loads(out)
    assert all(shown[name] for name in ("machine", "kernels", "memory", "media", "model"))
    documented = (Path(__file__).parents[1] / "docs" / "json.md").read_text()
    for name in keys(shown):
        assert f"`{name}`" in documented, f"{name} is not in docs/json.md"
    code, out, _ = run("--memory", tmp_path / "m", "--json")
    assert json.loads(out)["model"] is None and json.loads(out)["parity"] is None


def keys(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*(keys(v) for k, v in value.items() if k not in BY_NAME))
    if isinstance(value, list):
        return set().union(*map(keys, value))
    return set()


@pytest.mark.parametrize("words", [("--model", "tiny-llama"), ("--device", "tpu9")])
def test_what_is_wrong_with_model_or_device_is_a_line_and_5(
    run: Run, words: tuple[str, str], tmp_path: Path, no_media: None
) -> None:
    code, out, err = run(*words, "--memory", tmp_path, "--json")
    assert code == cli.MODEL
    (problem,) = (c for c in json.loads(out)["checks"] if c["state"] == "problem")
    assert words[1] in problem["value"] and problem["advice"]
    assert "Traceback" not in out + err


def test_a_model_that_is_off_is_a_problem(
    run: Run, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_media: None
) -> None:
    monkeypatch.setattr(parity, "compare", lambda *_: Parity(0.5, TOLERANCE, 9, True))
    code, out, _ = run("--model", tiny_model, "--memory", tmp_path)
    assert code == cli.MODEL
    assert "PROBLEM  parity" in out and "off by 0.5" in out and "not to be trusted" in out


def test_a_configuration_that_cannot_be_read_is_a_line_and_3(
    run: Run, tmp_path: Path, no_media: None
) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("device = 7\n")
    code, out, err = run("--config", wrong, "--memory", tmp_path, "--json")
    assert (code, err) == (cli.CONFIGURATION, "")
    check = state_of(out, "settings")
    assert check["state"] == "problem" and str(wrong) in check["value"]


def test_help_needs_no_torch() -> None:
    for command, flag in (("doctor", "--memory"), ("models", "--json")):
        done = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", "longtake", command, "--help"],
            capture_output=True,
            text=True,
            check=True,
        )
        loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
        assert not loaded & {"torch", "transformers", "av", "cv2", "numpy", "safetensors"}
        assert flag in done.stdout


# ------------------------------------------------------------------ the parts

WITHOUT_CV2 = """
import importlib.metadata, sys

class NoOpenCV:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "cv2":
            raise ImportError("there is no cv2 here")

def version(name, known=importlib.metadata.version):
    if name.startswith("opencv"):
        raise importlib.metadata.PackageNotFoundError(name)
    return known(name)

sys.meta_path.insert(0, NoOpenCV())
importlib.metadata.version = version
from longtake import cli
code = cli.main(["doctor", *sys.argv[1:]])
assert not sys.modules.keys() & {"torch", "transformers", "av", "cv2", "numpy", "safetensors"}
sys.exit(code)
"""


@pytest.mark.parametrize("words", [(), ("--json", "--model", "embedded")])
def test_without_a_needed_library_the_parts_are_shown_and_nothing_is_imported(
    words: tuple[str, ...],
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_CV2, *words], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (cli.CONFIGURATION, "")
    if words:
        assert state_of(done.stdout, "opencv")["advice"] == "pip install opencv-python"
        assert state_of(done.stdout, "torch")["state"] == "ok"
    else:
        assert "PROBLEM  opencv" in done.stdout and "-> pip install opencv-python" in done.stdout
        assert done.stdout.splitlines()[-1].endswith("1 problem, no notes")


@pytest.mark.parametrize("library", NEEDED, ids=lambda library: library.module)
def test_each_needed_library_is_missed(
    library: Library, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, library.module, None)  # as if it could not be imported
    # Not through `main`: without typer, or what it stands on, there is no command line
    code = doctor(model=None, memory=None, device=None, dtype=None, as_json=True)
    shown = json.loads(capsys.readouterr().out)
    assert code == cli.CONFIGURATION
    assert [c["name"] for c in shown["checks"] if c["state"] == "problem"] == [library.name]
    parts = shown["machine"].pop("parts")
    assert parts[library.name] is None and parts["python"]
    assert {c["name"] for c in shown["checks"]} == set(parts)
    assert (shown["machine"], shown["kernels"]) == ({}, [])
    assert all(shown[name] is None for name in ("memory", "media", "model", "parity"))


def test_a_library_that_is_there_and_broken_is_a_problem(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "longtake.doctor.checkup", None)  # its imports fail
    code, out, err = run("--json")
    assert code == cli.CONFIGURATION and "Traceback" not in err
    assert "import of longtake.doctor.checkup" in state_of(out, "parts")["value"]
    assert state_of(out, "torch")["state"] == "ok" and json.loads(out)["media"] is None


def test_what_is_needed_is_what_the_project_depends_on() -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    named = [re.split(r"[^\w-]", dependency)[0] for dependency in project["dependencies"]]
    assert sorted(named) == sorted(library.distributions[0] for library in NEEDED)


def test_only_a_needed_library_is_a_problem_and_what_does_nothing_yet_is_no_advice() -> None:
    missing = [
        Part("torch", None, True, "pip install torch"),
        *(Part(one.name, None, False, one.advice, one.remark) for one in OPTIONAL),
    ]
    shown = {c.name: c for c in checks_parts.judge_parts(tuple(missing))}
    states = {name: check.state for name, check in shown.items()}
    assert states == {"torch": "problem", "faiss": "note", "triton": "ok"}
    assert "not used yet" in shown["triton"].value and not shown["triton"].advice
    there = (Part("triton", "3.2", False, "", "not used yet"),)
    assert [c.value for c in checks_parts.judge_parts(there)] == ["3.2; not used yet"]


def test_a_library_without_a_distribution_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(checks_parts, "version", unknown)
    by_name = {part.name: part.version for part in checks_parts.find_parts()}
    assert by_name["opencv"] == "of unknown version"


# ------------------------------------------------------------------ the memory folder


def contents(path: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in path.rglob("*") if p.is_file()}


def test_a_memory_is_counted_and_left_as_it_is(run: Run, tmp_path: Path, no_media: None) -> None:
    with Store.open(tmp_path, **MODEL) as store:
        put(store, 0, 1, 2)
    before = contents(tmp_path)
    code, out, _ = run("--memory", tmp_path, "--json")
    held = json.loads(out)["memory"]["held"]
    assert code == 0
    assert (held["model"], held["chunks"], held["writer"]) == ("tiny", 3, None)
    assert held["disk_bytes"] == sum(map(len, before.values()))
    assert contents(tmp_path) == before


def test_a_writer_is_noted(run: Run, tmp_path: Path, no_media: None) -> None:
    with Store.open(tmp_path, **MODEL):
        code, out, _ = run("--memory", tmp_path, "--json")
    assert code == 0
    assert state_of(out, "writer")["state"] == "note"


def test_folders_that_hold_no_usable_memory_end_with_3(
    run: Run, tmp_path: Path, no_media: None
) -> None:
    (tmp_path / "file").write_text("no folder")
    for name in ("no database", "no segment"):
        with Store.open(tmp_path / name, **MODEL) as store:
            put(store, 0)
    (tmp_path / "no database" / CATALOG).write_bytes(b"not a database, but long enough" * 40)
    segment_files(tmp_path / "no segment")[0].unlink()
    for name, check in (("file", "folder"), ("no database", "memory"), ("no segment", "bytes")):
        code, out, err = run("--memory", tmp_path / name, "--json")
        assert code == cli.CONFIGURATION, name
        assert state_of(out, check)["state"] == "problem"
        assert "Traceback" not in out + err


def test_the_current_directory_is_only_noted(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_media: None
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("longtake.doctor.memory._refusal", lambda _: "read-only file system")
    code, out, _ = run("--json")
    assert code == 0 and state_of(out, "folder")["state"] == "note"
    code, out, _ = run("--json", "--memory", tmp_path)
    assert code == cli.CONFIGURATION and state_of(out, "folder")["state"] == "problem"


def test_names_that_are_no_text_are_shown_escaped(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_media: None
) -> None:
    odd = tmp_path / os.fsdecode(b"od\xe9d")
    odd.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(odd))
    with Store.open(odd, **MODEL) as store:
        put(store, 0)
    code, out, err = run("--memory", odd, "--json")
    assert (code, err) == (0, "")
    shown, escaped = json.loads(out), f"{tmp_path}/od\\xe9d"
    assert shown["memory"]["folder"] == shown["machine"]["temp_folder"] == escaped
    assert state_of(out, "folder")["value"] == f"{escaped}, writable"
    code, out, _ = run("--memory", odd)
    assert code == 0 and out.count(escaped) == 2


def test_configuration_at_an_odd_place_is_shown_escaped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = tmp_path / os.fsdecode(b"od\xe9d.toml")
    odd.write_text("device = 'cpu'\n")
    escaped = f"{tmp_path}/od\\xe9d.toml"
    assert cli.main(["config", "show", "--json", "--config", str(odd)]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["file"] == escaped
    assert shown["values"]["device"]["origin"] == f"{escaped} line 1"
    assert cli.main(["config", "show", "--config", str(odd)]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"# {escaped}\n") and f"# {escaped} line 1\n" in out


# ------------------------------------------------------------------ single checks


FINDERS = (  # room, what looks, the line that says that it failed, a line that it finds
    (checks_parts, "find_parts", "parts", "python"),
    (checks_machine, "find_machine", "machine", "system"),
    (checks_machine, "find_devices", "device", "dtype"),
    (checks_machine, "find_kernels", "kernels", "attend"),
    (checks_memory, "find", "memory", "room"),
    (checks_media, "find_media", "media", "protocols"),
    (checks_media, "find_cameras", "cameras", "OpenCV's ways"),
    (checks_model, "find_model", "model", "seeing"),
    (checks_model, "find_parity", "model", "parity"),
)


@pytest.mark.parametrize(("room", "finder", "line", "lost"), FINDERS, ids=[f[1] for f in FINDERS])
def test_what_fails_is_a_problem_and_stops_no_other(
    room: Any,
    finder: str,
    line: str,
    lost: str,
    run: Run,
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise OSError(5, "no driver", "rtsp://anna:secret@cam/main")

    monkeypatch.setattr(room, finder, fail)
    code, out, err = run("--model", tiny_model, "--memory", tmp_path, "--device", "cpu", "--json")
    assert code == (cli.MODEL if line in OF_THE_MODEL else cli.CONFIGURATION)
    assert "Traceback" not in err and "secret" not in out
    checks = json.loads(out)["checks"]
    (problem,) = (check for check in checks if check["state"] == "problem")
    assert (problem["name"], problem["value"]) == (line, "rtsp://***@cam/main: no driver")
    assert problem["advice"]
    others = {known for *_, known in FINDERS} - {lost}
    if finder == "find_model":
        others -= {"parity"}  # nothing to compare
    found = {check["name"] for check in checks if check["state"] != "problem"}
    assert others <= found and lost not in found


def test_every_finder_is_made_to_fail_above() -> None:
    rooms = {module.__name__: module for module, *_ in FINDERS}
    there = {
        (room, name)
        for room, module in rooms.items()
        for name, value in vars(module).items()
        if name.split("_")[0] == "find" and getattr(value, "__module__", None) == room
    }
    assert there == {(module.__name__, name) for module, name, *_ in FINDERS}


def test_interrupting_is_no_finding() -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        look("media", "wait", interrupt, lambda _: ())


def test_a_protocol_is_found_out_on_the_loopback() -> None:
    assert checks_media._knows("rtsp", socket.SOCK_STREAM)
    assert checks_media._knows("udp", socket.SOCK_DGRAM)
    assert not checks_media._knows("nosuch", socket.SOCK_STREAM)


def test_a_missing_decoder_is_a_problem_only_where_most_videos_need_it() -> None:
    media = checks_media.Media({}, {"rtsp": True}, {"h264": True, "vp9": False}, ())
    states = {c.name: c.state for c in checks_media.judge_media(media)}
    assert states["decoders"] == "note"
    media = replace(media, decoders={"h264": False, "vp9": True})
    states = {c.name: c.state for c in checks_media.judge_media(media)}
    assert states["decoders"] == "problem"


def test_a_camera_that_may_not_be_opened_is_noted() -> None:
    cameras = checks_media.Cameras(
        (checks_media.Camera("/dev/video0", "C920", False),), True, ("V4L2",)
    )
    first = next(iter(checks_media.judge_cameras(cameras)))
    assert first.state == "note" and "C920" in first.value and "video" in first.advice


def test_every_gpu_is_a_line() -> None:
    gpus = (Gpu("H200", 139 << 30, 130 << 30), Gpu("L4", 22 << 30, 1 << 30))
    devices = Devices(torch.device("cuda"), torch.bfloat16, gpus, "12.8")
    shown = {c.name: c.value for c in checks_machine.judge_devices(devices)}
    assert shown["dtype"] == "bfloat16"
    assert shown["GPU 0"] == "H200, 139.0 GiB, 130.0 GiB free"
    assert shown["GPU 1"].startswith("L4")


def test_a_problem_must_say_what_to_do() -> None:
    with pytest.raises(ValueError, match="must say what to do"):
        Check("media", "decoders", "problem", "none")


def test_lines_are_aligned_and_advice_stands_under_its_line() -> None:
    checks = [
        Check("device", "device", "ok", "cpu"),
        Check("memory", "the folder", "problem", "full", "free some space"),
    ]
    shown = list(lines(checks))
    assert shown[1].index("cpu") == shown[4].index("full")
    assert shown[5].strip() == "-> free some space"
    assert shown[-1] == "2 checks: 1 problem, no notes"


def test_the_model_counts_before_the_rest() -> None:
    folder = Check("memory", "folder", "problem", "full", "free some space")
    device = Check("device", "device", "problem", "none", "--device cpu")
    assert exit_code([]) == 0
    assert exit_code([folder]) == cli.CONFIGURATION
    assert exit_code([folder, device]) == cli.MODEL


def test_every_part_has_advice_for_when_it_fails() -> None:
    found = checkup.examine(None, None, "cpu", "auto")
    assert {check.area for check in found.checks} <= set(checkup._ADVICE)
