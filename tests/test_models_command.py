"""`longtake models`: what checkpoints say of themselves is what they are once loaded."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from longtake import cli
from longtake.checkpoint import read
from longtake.engine import Engine
from longtake.models.loader import FAMILIES, load
from tests import checkpoints

Run = Any


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub's cache: not there yet."""
    folder = tmp_path / "hub"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder))
    return folder


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], cache: Path) -> Run:
    """Run ``longtake models``; returns exit code, stdout and stderr."""

    def call(*words: object) -> tuple[int, str, str]:
        code = cli.main(["models", *(str(word) for word in words)])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return call


@pytest.fixture(scope="module", params=sorted(checkpoints.FAMILIES))
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    written = tmp_path_factory.mktemp("models") / request.param
    checkpoints.write(request.param, written)
    recipe: dict[str, object] = {"window_s": 9.0}
    if request.param == "llava_onevision":
        recipe |= {"stamp": "hh:mm:ss", "fps": 2.0, "frames_per_step": 3}
    (written / "longtake.json").write_text(json.dumps(recipe))
    return written


def test_a_checkpoint_is_read_as_it_is_loaded(folder: Path) -> None:
    found = read("it", folder)
    adapter: Any = load(str(folder), device="cpu", dtype="float32")
    parameters = list(adapter.model.parameters())
    assert found.weights is not None and found.stream is not None and not found.trouble
    assert found.weights.parameters == sum(p.numel() for p in parameters)
    on_disk = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    assert found.weights.disk_bytes == on_disk
    assert found.stream.step_tokens == adapter.step_tokens
    with Engine(adapter) as engine, engine.open() as take:
        pace, held = take.pace, take.stats().device_bytes
    assert found.stream.window_tokens == pace.window_tokens
    assert (found.stream.fps, found.stream.window_s) == (pace.fps, pace.window_s)
    # The window's three buffers, twice as long as it, and room for sink and step; and the sink
    number, sink = found.stream.token_numbers // 2, adapter.sink().tokens
    slots = sink + 2 * pace.window_tokens + adapter.step_tokens
    assert held == 4 * number * (3 * slots + 2 * sink)
    assert found.stream.window_bytes(4) == 4 * 2 * number * pace.window_tokens


def test_an_hour_is_its_steps(tiny_model: Path) -> None:
    stream = read("it", tiny_model).stream
    assert stream is not None
    shape: Any = load(str(tiny_model), device="cpu").shape
    a_token = 2 * shape.layers * shape.kv_heads * shape.head_dim * 2
    assert stream.hour_bytes(2) == 3600 * 0.5 * stream.step_tokens * a_token


def test_what_ships_and_what_is_named_are_listed(run: Run, folder: Path) -> None:
    code, out, err = run(folder.parent)
    assert (code, err) == (0, "")
    for family in FAMILIES:
        assert family in out
    assert "LlavaOnevisionForConditionalGeneration" in out
    assert "\n  embedded\n" in out and f"\n  {folder}\n" in out
    assert "parameters" in out and "bfloat16" in out and "tokens a step" in out


def test_json_is_one_documented_object(run: Run, tiny_model: Path) -> None:
    code, out, _ = run(tiny_model, "--json")
    assert code == 0
    shown = json.loads(out)
    assert shown["schema"] == "longtake.models/1"
    assert {f["name"] for f in shown["families"]} == set(FAMILIES)
    embedded, tiny = shown["models"]
    assert (embedded["name"], tiny["name"]) == ("embedded", str(tiny_model))
    assert tiny["weights_bytes"]["float32"] == 4 * tiny["parameters"]
    assert tiny["window_bytes"]["float32"] == 2 * tiny["window_bytes"]["bfloat16"]
    documented = (Path(__file__).parents[1] / "docs" / "json.md").read_text()
    for name in keys(shown):
        assert f"`{name}`" in documented, f"{name} is not in docs/json.md"


def keys(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*map(keys, value.values()))
    if isinstance(value, list):
        return set().union(*map(keys, value))
    return set()


def test_the_hubs_cache_is_looked_into(run: Run, cache: Path, tiny_model: Path) -> None:
    for owner in ("models--anna--tiny", "models--anna--empty", "datasets--anna--films"):
        (cache / owner / "refs").mkdir(parents=True)
        (cache / owner / "refs" / "main").write_text("1234")
        (cache / owner / "blobs").mkdir()
        (cache / owner / "snapshots" / "1234").mkdir(parents=True)
    snapshot = cache / "models--anna--tiny" / "snapshots" / "1234"
    shutil.copytree(tiny_model, snapshot, dirs_exist_ok=True)
    shutil.copy(tiny_model / "config.json", cache / "datasets--anna--films" / "snapshots" / "1234")
    code, out, _ = run("--json")
    assert code == 0
    names = [(m["name"], m["folder"]) for m in json.loads(out)["models"]]
    assert names[1:] == [("anna/tiny", str(snapshot))]


def test_another_family_is_named_and_not_supported(run: Run, tmp_path: Path) -> None:
    other = tmp_path / "deep" / "bert"
    other.mkdir(parents=True)
    (other / "config.json").write_text('{"model_type": "bert"}')
    save_file({"a": torch.zeros(3, 4, dtype=torch.bfloat16)}, other / "model.safetensors")
    assert "not supported (bert)" in run(tmp_path)[1]
    model = json.loads(run(tmp_path, "--json")[1])["models"][1]
    assert (model["family"], model["model_type"], model["parameters"]) == (None, "bert", 12)
    assert model["window_bytes"] is None


def test_a_quantised_checkpoint_is_named_and_its_packed_numbers_are_not_counted(
    run: Run, tiny_model: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(tiny_model, tmp_path / "copy")
    config = json.loads((copy / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "awq"}
    (copy / "config.json").write_text(json.dumps(config))
    model = json.loads(run(copy, "--json")[1])["models"][1]
    assert (model["quantized"], model["parameters"], model["weights_bytes"]) == ("awq", None, None)
    assert model["disk_bytes"] > 0 and model["window_bytes"]
    out = run(copy)[1]
    assert "quantised (awq)" in out and "parameters" not in out.rpartition(str(copy))[2]


def test_every_family_is_listed_and_sized(run: Run, tmp_path: Path) -> None:
    for family in checkpoints.FAMILIES:
        checkpoints.write(family, tmp_path / family)
        recipe = {"window_s": 4.0}  # these were trained for little
        (tmp_path / family / "longtake.json").write_text(json.dumps(recipe))
    shown = json.loads(run(tmp_path, "--json")[1])
    models = {model["family"]: model for model in shown["models"][1:]}
    assert set(models) == set(FAMILIES) == {family["name"] for family in shown["families"]}
    for model in models.values():
        assert model["trouble"] is None and model["window_bytes"] and model["parameters"]


def test_a_missing_part_of_the_weights_is_told(run: Run, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    names = {"a": "model-1-of-2.safetensors", "b": "model-2-of-2.safetensors"}
    index = {"weight_map": names}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    save_file({"a": torch.zeros(5)}, tmp_path / names["a"])
    save_file({"a": torch.zeros(5)}, tmp_path / "consolidated.safetensors")  # the same once more
    model = json.loads(run(tmp_path, "--json")[1])["models"][1]
    assert (model["parameters"], model["missing"]) == (5, [names["b"]])


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("config.json", b"{"),
        ("config.json", b"[]"),
        ("config.json", b'{"model_type": "llava_onevision", "text_config": 3}'),
        ("model.safetensors", b"\xff" * 40),
        ("longtake.json", b'{"fps": -1}'),
    ],
)
def test_what_cannot_be_read_is_a_line_and_no_end(
    run: Run, tiny_model: Path, tmp_path: Path, file: str, content: bytes
) -> None:
    shutil.copytree(tiny_model, tmp_path / "broken")
    (tmp_path / "broken" / file).write_bytes(content)
    code, out, err = run(tmp_path / "broken", "--json")
    assert code == 0 and "Traceback" not in out + err
    model = json.loads(out)["models"][1]
    assert model["window_bytes"] is None
    assert model["trouble"] or model["family"] is None


def test_names_that_are_no_text_are_shown_escaped(
    run: Run, tiny_model: Path, tmp_path: Path
) -> None:
    odd = tmp_path / os.fsdecode(b"od\xe9d")
    shutil.copytree(tiny_model, odd)
    escaped = f"{tmp_path}/od\\xe9d"
    code, out, err = run(odd, "--json")
    model = json.loads(out)["models"][1]
    assert (code, err) == (0, "")
    assert model["name"] == model["folder"] == escaped
    code, out, err = run(odd)
    assert (code, err) == (0, "") and f"\n  {escaped}\n" in out


@pytest.mark.parametrize("said", ["[1]", "{}", "7", '"od\\ud800d"'])
def test_a_model_type_of_any_kind_is_shown(run: Run, tmp_path: Path, said: str) -> None:
    (tmp_path / "config.json").write_text(f'{{"model_type": {said}}}')
    index = {"weight_map": {"a": "\ud800.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert run(tmp_path)[0] == 0
    code, out, err = run(tmp_path, "--json")
    model = json.loads(out)["models"][1]
    assert (code, err, model["family"]) == (0, "", None)
    assert model["model_type"] == ("od\\ud800d" if "ud800" in said else None)
    assert model["missing"] == ["\\ud800.safetensors"]


@pytest.mark.parametrize("method", ["is_file", "iterdir"])
def test_a_private_folder_is_left_out_and_told(
    run: Run, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """As root nothing is private: what the system says to others is said here."""
    private = tmp_path / "homes" / "a private one"
    (private / "inner").mkdir(parents=True)
    shutil.copytree(tiny_model, tmp_path / "homes" / "tiny")
    look: Any = getattr(Path, method)

    def refuse(path: Path) -> Any:
        if path == private or path.parent == private:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return look(path)

    monkeypatch.setattr(Path, method, refuse)
    told = f"longtake: {private}: left out (Permission denied)\n"
    code, out, err = run(tmp_path / "homes", "--json")
    assert (code, err) == (0, told)
    assert [Path(m["name"]).name for m in json.loads(out)["models"]] == ["embedded", "tiny"]
    assert run(private)[2] == told, "and it is not said to hold none"
    assert run(private, "-q")[2] == ""


def test_a_cache_that_may_not_be_read_is_left_out_and_told(
    run: Run, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(cache / "models--a--b"))

    monkeypatch.setattr("huggingface_hub.scan_cache_dir", refuse)
    code, _, err = run()
    assert (code, err) == (0, f"longtake: {cache}: left out (Permission denied)\n")


def test_files_and_dead_links_are_no_folders(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "dead").symlink_to(tmp_path / "nowhere")
    code, _, err = run(tmp_path)
    assert code == 0 and "left out" not in err and "holds no checkpoint" in err


def test_a_folder_without_a_checkpoint_is_a_note(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    code, _, err = run(tmp_path / "empty")
    assert code == 0 and "holds no checkpoint" in err


def test_a_folder_that_is_not_there_is_a_usage_error(run: Run, tmp_path: Path) -> None:
    code, out, err = run(tmp_path / "nowhere")
    assert (code, out) == (cli.USAGE, "")
    assert "no such folder" in err
