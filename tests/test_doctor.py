"""`longtake doctor`: what it finds, what it says of what is wrong, and its comparison of models."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from longtake import cli
from longtake.cli.run_doctor import exit_code, lines
from longtake.doctor import checkup, parity
from longtake.doctor import machine as checks_machine
from longtake.doctor import media as checks_media
from longtake.doctor.checks import Check, look
from longtake.doctor.machine import Devices, Gpu, Part
from longtake.doctor.parity import TOLERANCE, Heard, Parity
from longtake.memory.folder import CATALOG
from longtake.memory.store import Store
from longtake.models.loader import load
from longtake.models.positions import Rotary, axis_map
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
    assert 0 < found.max_abs_error < TOLERANCE == 1e-4
    assert found.tokens_compared == len(heard.embeds) + len(heard.prompt_ids)
    assert heard.logits.abs().max() > 1, "logits so small that any error would pass"


def test_a_wrong_rotation_fails(folder: Path) -> None:
    adapter = load(str(folder), device="cpu", dtype="float32")
    rotary = adapter.rotary
    axes = axis_map(len(rotary._frequency) // 2, adapter._side.decoder.config)  # type: ignore[attr-defined]
    adapter.rotary = Rotary(rotary._frequency[: len(axes)] * 1.01, axes)
    found = parity.compare(parity.listen(adapter), folder, CPU)
    assert not found.passed and found.max_abs_error > 10 * TOLERANCE


def test_a_position_off_by_one_fails(folder: Path, heard: Heard) -> None:
    positions = heard.positions.clone()
    positions[:, -len(heard.prompt_ids) :] += 1
    found = parity.compare(replace(heard, positions=positions), folder, CPU)
    assert not found.passed and found.max_abs_error > 10 * TOLERANCE


def test_what_is_not_a_number_fails_and_is_null_in_json() -> None:
    broken = Parity(float("nan"), TOLERANCE, 3)
    assert not broken.passed
    assert broken.as_json()["max_abs_error"] is None


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
    assert shown["parity"]["max_abs_error"] < shown["parity"]["tolerance"] == 1e-4
    assert shown["parity"]["tokens_compared"] > 100
    model = shown["model"]
    assert (model["family"], model["device"], model["dtype"]) == ("llava_onevision", "cpu", dtype)
    whole = load(str(tiny_model), device="cpu", dtype=dtype)._model  # type: ignore[attr-defined]
    held = sum(p.nbytes for p in whole.parameters())
    head = whole.language_model.embed_tokens.weight.nbytes  # not tied here, and outside of it
    assert model["weights_bytes"] == held + head
    assert model["load_s"] > 0 and model["encode_s"] > 0
    assert state_of(out, "parity")["state"] == "ok"


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
    monkeypatch.setattr(parity, "compare", lambda *_: Parity(0.5, TOLERANCE, 9))
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


# ------------------------------------------------------------------ single checks


def test_a_part_that_fails_is_a_problem_and_stops_no_other(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise OSError("no driver at rtsp://anna:secret@cam/main")

    monkeypatch.setattr(checks_media, "find_cameras", fail)
    code, out, err = run("--memory", tmp_path, "--json")
    assert code == cli.CONFIGURATION and "Traceback" not in err
    check = state_of(out, "cameras")
    assert check["state"] == "problem" and check["advice"]
    assert "no driver" in check["value"] and "secret" not in out
    assert state_of(out, "decoders")["state"] == "ok"


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


def test_a_missing_part_is_a_problem_only_where_it_is_needed() -> None:
    parts = (Part("torch", None, True), Part("triton", None, False, "for kernels on CUDA"))
    assert [c.state for c in checks_machine.judge_parts(parts)] == ["problem", "note"]


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
