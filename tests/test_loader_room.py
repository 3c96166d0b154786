"""Devices, memory before loading, and weights in fewer bits."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from longtake import cli
from longtake.models import intact, quantization, room, sound
from longtake.models.base import ModelError
from longtake.models.loader import load
from tests import checkpoints
from tests.broken import CPU, OUT_OF_MEMORY, edit, refusal

# ------------------------------------------------------------------ devices and room


@pytest.mark.parametrize("name", ["meta", "cuda:99", "xpu", "mps", "nonsense"])
def test_a_device_that_there_is_not(tiny_model: Path, name: str) -> None:
    with pytest.raises(ModelError, match=f"device='{name}'"):
        load(str(tiny_model), device=name)


@pytest.mark.parametrize("name", ["tpu", "", " cuda"])
def test_what_is_no_device_lists_what_there_is(tiny_model: Path, name: str) -> None:
    with pytest.raises(ModelError) as caught:
        load(str(tiny_model), device=name)
    assert str(caught.value) == f"device={name!r}: use auto, cpu, cuda or cuda:N"


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_every_dtype_loads_on_the_cpu(tiny_model: Path, dtype: str) -> None:
    assert load(str(tiny_model), device="cpu", dtype=dtype).dtype == getattr(torch, dtype)


def test_weights_are_counted_in_the_dtype_that_they_will_have() -> None:
    tensors = [
        intact.Stored("BF16", (100, 10)),
        intact.Stored("F32", (10,)),
        intact.Stored("I64", (2,)),
    ]
    assert room.need(tensors, torch.float32) == room.Need(4040 + 16, 4000)
    assert room.need(tensors, torch.bfloat16) == room.Need(2020 + 16, 20)
    assert room.need(tensors, torch.bfloat16, "4bit").bytes == 500 + 20 + 16


def test_a_model_that_cannot_fit_is_refused_before_it_is_read(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "free_bytes", lambda _: 1000)
    load(str(tiny_model), device="cpu", dtype="float32")  # mapped from its files
    monkeypatch.setattr(sound, "check_loaded", lambda _: pytest.fail("it was read"))
    said = refusal(tiny_model, dtype="bfloat16")
    assert "need 0.0 GiB of this machine's RAM" in said and "--quantize 4bit" in said


def test_a_device_that_does_not_tell_its_memory_is_tried(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "free_bytes", lambda _: None)
    load(str(tiny_model), device="cpu", dtype="bfloat16")


def test_on_a_gpu_all_weights_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "free_bytes", lambda _: 80 << 30)
    fits, does_not = room.Need(79 << 30, 0), room.Need(80 << 30, 0)
    room.check_room(fits, torch.device("cuda"))
    with pytest.raises(room.NotEnoughMemory, match=r"80\.2 GiB of cuda, and 80\.0 GiB are free"):
        room.check_room(does_not, torch.device("cuda"))


def test_free_ram_counts_swap_and_a_containers_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = {"MemTotal": 64 << 30, "MemAvailable": 10 << 30, "SwapFree": 2 << 30}
    monkeypatch.setattr(room, "_meminfo", lambda: fields)
    group = {"memory.max": None, "memory.current": 3 << 30}
    monkeypatch.setattr(room, "_number_in", lambda path: group[path.name])
    assert room.free_ram_bytes() == 12 << 30
    group["memory.max"] = 4 << 30
    monkeypatch.setattr(room, "_fields", lambda _: {"file": 1 << 30})
    assert room.free_ram_bytes() == 2 << 30
    monkeypatch.setattr(room, "_meminfo", dict)
    assert room.free_ram_bytes() is None


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=lambda error: type(error).__name__)
def test_memory_that_runs_out_while_loading(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(_: object) -> None:
        raise error

    monkeypatch.setattr(sound, "check_finite", fail)
    said = refusal(tiny_model)
    assert "memory ran out while it was loaded" in said and "--dtype bfloat16" in said


def test_what_torch_says_of_a_true_lack_is_known() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60)
    assert room.is_out_of_memory(caught.value)
    assert not room.is_out_of_memory(RuntimeError("shape '[64, 0]' is invalid"))


def test_max_pixels_goes_over_the_recipe(
    tiny_model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    loaded = load(str(tiny_model), device="cpu", max_pixels=900)
    assert loaded.recipe.max_pixels == 900
    assert "--max-pixels 900 changes nothing" in caplog.text  # its frames have one size
    with pytest.raises(ValueError, match="max_pixels=0: must be at least 1"):
        load(str(tiny_model), max_pixels=0)


def test_fewer_pixels_are_fewer_tokens(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = checkpoints.write("qwen2_5_vl", tmp_path / "qwen")
    whole = load(str(folder), device="cpu").step_tokens
    assert load(str(folder), device="cpu", max_pixels=2 * 64 * 64).step_tokens < whole
    assert not caplog.text


def test_too_few_pixels_are_the_callers_mistake_or_the_recipes(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = checkpoints.write("qwen2_5_vl", tmp_path / "qwen")
    said = "max_pixels=1: must be at least 128, one token of this model"
    words = ["ask", str(tmp_path), "what?", "--model", str(folder), "--device", "cpu"]
    assert cli.main([*words, "--max-pixels", "1"]) == 2
    assert capfd.readouterr().err == f"longtake: {said}\n"
    assert load(str(folder), device="cpu", max_pixels=128).step_tokens == 1
    (folder / "longtake.json").write_text('{"max_pixels": 1}')
    assert said in refusal(folder)


# ------------------------------------------------------------------ quantisation


def test_an_unknown_quantisation_lists_what_there_is(tiny_model: Path) -> None:
    with pytest.raises(ModelError, match="quantize='3bit': known are none, 4bit, 8bit"):
        load(str(tiny_model), quantize="3bit")


def test_without_bitsandbytes_the_way_out_is_said(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantization, "is_there", lambda name: name != "bitsandbytes")
    said = refusal(tiny_model, quantize="4bit")
    assert "needs bitsandbytes: pip install bitsandbytes;" in said and "--dtype bfloat16" in said


@pytest.mark.parametrize("quantize", ["4bit", "8bit"])
def test_what_transformers_is_asked_for(monkeypatch: pytest.MonkeyPatch, quantize: str) -> None:
    monkeypatch.setattr(quantization, "is_there", lambda _: True)
    asked = quantization.options(quantize, None, torch.bfloat16, CPU)
    assert asked["device_map"] == {"": CPU}
    given = asked["quantization_config"]
    assert (given.load_in_4bit, given.load_in_8bit) == (quantize == "4bit", quantize == "8bit")
    if quantize == "4bit":
        assert (given.bnb_4bit_quant_type, given.bnb_4bit_compute_dtype) == ("nf4", torch.bfloat16)
    with pytest.raises(ModelError, match="not used on mps"):
        quantization.options(quantize, None, torch.bfloat16, torch.device("mps"))


QUANTIZED = {
    "awq": {"quant_method": "awq", "bits": 4},
    "gptq": {"quant_method": "gptq", "bits": 4},
    "fp8": {"quant_method": "fp8"},
    "bitsandbytes": {"load_in_4bit": True, "quant_method": "bitsandbytes"},
}


@pytest.mark.parametrize("method", QUANTIZED)
def test_a_checkpoint_that_is_quantised_says_what_it_needs(
    copy: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    edit(copy / "config.json", quantization_config=QUANTIZED[method])
    assert f"is quantised already ({method})" in refusal(copy, quantize="4bit")
    monkeypatch.setattr(quantization, "is_there", lambda _: False)
    said = refusal(copy)
    assert f"is quantised ({method})" in said and "pip install accelerate" in said


def test_what_transformers_misses_is_told_as_it_says(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(copy / "config.json", quantization_config=QUANTIZED["awq"])
    monkeypatch.setattr(quantization, "is_there", lambda _: True)
    said = refusal(copy)
    assert "pip install" in said
