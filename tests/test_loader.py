"""What is wrong with a checkpoint is told in one line: what, why, and the way out.

Each folder here is a tiny checkpoint with one thing broken.
"""

from __future__ import annotations

import errno
import json
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file

from longtake import cli
from longtake.doctor import parity
from longtake.models import intact, loader, sound, supported, trained
from longtake.models.base import ModelError
from longtake.models.loader import FAMILIES, load
from tests import checkpoints
from tests.broken import CPU, OUT_OF_MEMORY, Change, edit, edit_tensors, refusal

# ------------------------------------------------------------------ config


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "is no JSON"),
        (b"", "is no JSON"),
        (b"\xff\xfe", "is no JSON"),
        (b"[" * 100_000, "is no JSON"),
        (b"[1]", "holds no JSON object"),
        (b"{}", "does not say its family"),
        (b'{"model_type": ["llava_onevision"]}', "does not say its family"),
        (b'{"model_type": "llava_onevision"}', "lacks vision_config"),
        (b'{"model_type": "llava_onevision", "vision_config": {"a": 1}}', "lacks text_config"),
        (b'{"model_type": "llava_onevision", "vision_config": 3}', "lacks vision_config"),
    ],
)
def test_a_config_that_says_nothing_useful(copy: Path, content: bytes, said: str) -> None:
    (copy / "config.json").write_bytes(content)
    assert said in refusal(copy)


def test_a_config_with_a_field_of_the_wrong_kind(copy: Path) -> None:
    text = json.loads((copy / "config.json").read_text())["text_config"]
    edit(copy / "config.json", text_config=text | {"hidden_size": "wide"})
    assert "hidden_size" in refusal(copy)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("num_hidden_layers", 99, "num_hidden_layers"),
        ("hidden_size", "64", 'text_config.hidden_size is "64"'),
        ("max_position_embeddings", None, "text_config.max_position_embeddings is null"),
        ("num_attention_heads", 0, "text_config.num_attention_heads is 0"),
        ("dtype", "float99", 'text_config.dtype is "float99", and torch has no such dtype'),
    ],
)
def test_a_wrong_value_is_laid_to_the_config_and_not_to_the_tokenizer(
    copy: Path, field: str, value: Any, said: str
) -> None:
    text = json.loads((copy / "config.json").read_text())["text_config"]
    edit(copy / "config.json", text_config=text | {field: value})
    told = refusal(copy)
    assert "config.json cannot be used" in told and said in told and "tokenizer" not in told
    assert told.endswith("; correct it, or download it again")


OTHERS: list[tuple[dict[str, Any], str]] = [
    ({"model_type": "llama", "vocab_size": 9}, "reads text and does not see"),
    ({"model_type": "whisper", "num_mel_bins": 80, "vocab_size": 9}, "hears and does not see"),
    ({"model_type": "vit", "image_size": 224}, "encodes pictures and does not speak"),
    ({"model_type": "brand_new", "vision_config": {}}, "no adapter for it is written"),
    ({"model_type": "odd"}, "no Video-LLM that is known"),
    ({"model_type": "their_vl", "auto_map": {}, "vision_config": {}}, "no code of a checkpoint"),
    ({"model_type": "internvl_chat", "auto_map": {}, "vision_config": {}}, "ends in -hf"),
    ({"model_type": "llava", "vision_config": {}}, "single pictures"),
    ({"model_type": "llava_next_video", "vision_config": {}}, "take llava_onevision"),
    ({"model_type": "qwen2_5_omni"}, "take qwen2_5_vl"),
    ({"model_type": "gemma3", "vision_config": {}}, "last tokens only"),
    ({"model_type": "qwen3_5", "vision_config": {}}, "evicted, recalled or taken back"),
    ({"model_type": "mamba", "vocab_size": 9}, "evicted, recalled or taken back"),
    (
        {"model_type": "unheard_of", "text_config": {"layer_types": ["linear_attention"]}},
        "evicted, recalled or taken back",
    ),
]


@pytest.mark.parametrize(("config", "said"), OTHERS, ids=[c["model_type"] for c, _ in OTHERS])
def test_another_kind_of_model_is_told_what_it_is(
    tmp_path: Path, config: dict[str, Any], said: str
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    told = refusal(tmp_path)
    assert said in told and f"supported are {', '.join(FAMILIES)}" in told


def test_no_family_that_runs_is_said_not_to() -> None:
    assert not set(supported._NEAR) & set(FAMILIES)
    for reason in supported._NEAR.values():
        _, found, taken = reason.rpartition("take ")
        assert not found or taken in FAMILIES or taken.startswith("the checkpoint")


@pytest.mark.parametrize(
    "inner", [{"layer_types": ["full_attention", "linear_attention"]}, {"model_type": "qwen3_next"}]
)
def test_a_recurrent_decoder_in_a_family_that_runs(copy: Path, inner: dict[str, Any]) -> None:
    text = json.loads((copy / "config.json").read_text())["text_config"]
    edit(copy / "config.json", text_config=text | inner)
    assert "evicted, recalled or taken back" in refusal(copy)


@pytest.mark.parametrize("kind", ["linear_attention", "conv", "chunked_attention"])
def test_layers_of_another_kind_are_named(kind: str) -> None:
    config = SimpleNamespace(layer_types=["full_attention", kind], max_position_embeddings=9)
    with pytest.raises(ModelError, match=kind):
        trained.check_layers(config)


def sliding(folder: Path, window: int) -> Path:
    return checkpoints.write(
        "llava_onevision",
        folder / str(window),
        use_sliding_window=True,
        sliding_window=window,
        max_window_layers=0,
    )


def test_sliding_layers_are_refused_for_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loaded all the same, the engine would not compute what the model does."""
    folder = sliding(tmp_path, 24)
    assert "last 24 tokens only" in refusal(folder)
    monkeypatch.setattr(trained, "check_layers", lambda _: None)
    found = parity.compare(parity.listen(load(str(folder), dtype="float32")), folder, CPU)
    assert found.max_abs_error > 1000 * found.tolerance


def test_a_layer_that_never_slides_is_plain_attention(tmp_path: Path) -> None:
    folder = sliding(tmp_path, 4096)  # the trained context
    found = parity.compare(parity.listen(load(str(folder), dtype="float32")), folder, CPU)
    assert found.passed


@pytest.mark.parametrize(
    ("rope", "tokens"),
    [
        ({"rope_type": "default"}, 4096),
        ({"rope_type": "yarn", "original_max_position_embeddings": 1024}, 4096),
        ({"rope_type": "dynamic", "original_max_position_embeddings": 1024}, 1024),
        ({"rope_type": "dynamic"}, 4096),
        ({"rope_type": "longrope", "original_max_position_embeddings": 1024}, 1024),
        (None, 4096),
    ],
)
def test_a_context_ends_where_its_frequencies_would_change(
    rope: dict[str, Any] | None, tokens: int
) -> None:
    config = SimpleNamespace(max_position_embeddings=4096, rope_parameters=rope)
    assert trained.trained_tokens(config) == tokens


@pytest.mark.parametrize("kind", ["dynamic", "longrope"])
def test_frequencies_are_those_of_the_short_context_up_to_its_end(kind: str) -> None:
    """Transformers' own rotary module, at the last position that is let through and beyond."""
    factors = {"short_factor": [1.0] * 8, "long_factor": [4.0] * 8} if kind == "longrope" else {}
    rope: dict[str, Any] = {
        "rope_type": kind,
        "rope_theta": 10000.0,
        "factor": 2.0,
        **factors,
        **({"original_max_position_embeddings": 64} if kind == "longrope" else {}),
    }
    config = transformers.Qwen2Config(
        hidden_size=32,
        num_attention_heads=2,
        max_position_embeddings=128 if kind == "longrope" else 64,
        rope_parameters=rope,
    )
    assert trained.trained_tokens(config) == 64
    from transformers.models.qwen2.modeling_qwen2 import Qwen2RotaryEmbedding

    rotary: Any = Qwen2RotaryEmbedding(config)
    short = rotary.inv_freq.clone()
    shown = torch.zeros(1, 1, 16)
    rotary(shown, torch.arange(64)[None])
    assert torch.equal(rotary.inv_freq, short)
    rotary(shown, torch.arange(65)[None])
    assert not torch.equal(rotary.inv_freq, short)


def test_no_code_of_a_checkpoint_is_run(copy: Path, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    code = f"open({str(ran)!r}, 'w').close()\n"
    for name in ("modeling_odd.py", "tokenization_odd.py", "custom_generate/generate.py"):
        (copy / name).parent.mkdir(exist_ok=True)
        (copy / name).write_text(code)
    there = {"AutoModelForImageTextToText": "modeling_odd.Odd", "AutoConfig": "modeling_odd.Odd"}
    edit(copy / "config.json", auto_map=there)
    edit(copy / "tokenizer_config.json", auto_map={"AutoTokenizer": ["tokenization_odd.Odd", None]})
    try:
        assert load(str(copy), device="cpu").family == "llava_onevision"
    except ModelError as error:
        assert "cannot be read" in str(error)
    assert not ran.exists()


# ------------------------------------------------------------------ files


def only(name: str, content: bytes = b"") -> Change:
    """Weights under one name alone."""

    def change(folder: Path) -> None:
        for file in [*intact.weight_files(folder), folder / intact.INDEX]:
            file.unlink()
        (folder / name).write_bytes(content)

    return change


def on_the_first(change: Change) -> Change:
    return lambda folder: change(intact.weight_files(folder)[0])


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def grow(file: Path) -> None:
    file.write_bytes(file.read_bytes() + b"more")


def spoil_header(file: Path) -> None:
    held = bytearray(file.read_bytes())
    held[8:40] = b"\xff" * 32
    file.write_bytes(held)


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:1234\nsize 99\n"
FILES: dict[str, tuple[Change, str]] = {
    "nothing": (only("notes.txt"), "holds no weights"),
    "pickled": (only("pytorch_model.bin"), "safetensors only, not pickled PyTorch; convert it"),
    "pt": (only("model.pt"), "save_pretrained"),
    "gguf": (only("model-Q4_K_M.gguf"), "not GGUF; take the original checkpoint"),
    "tensorflow": (only("tf_model.h5"), "not TensorFlow"),
    "adapter": (only("adapter_config.json", b"{}"), "merge it into its base model"),
    "another name": (only("weights.safetensors"), "rename a single file to model.safetensors"),
    "a shard missing": (on_the_first(Path.unlink), "1 of 2 weight files missing: model-00001-of"),
    "a shard cut": (on_the_first(cut), "is cut: "),
    "a shard too long": (on_the_first(grow), "is damaged: "),
    "a header": (on_the_first(spoil_header), "its header is damaged"),
    "an empty shard": (on_the_first(lambda f: f.write_bytes(b"")), "(0 bytes) is damaged, or cut"),
    "a page of HTML": (on_the_first(lambda f: f.write_bytes(b"<html>" * 9)), "is damaged, or cut"),
    "a pointer": (on_the_first(lambda f: f.write_bytes(POINTER)), "git lfs pull"),
    "an index": (lambda f: (f / intact.INDEX).write_text("{") and None, "is damaged"),
    "an odd index": (
        lambda f: (f / intact.INDEX).write_text('{"weight_map": {"a": 3}}') and None,
        "is damaged",
    ),
    "no tokenizer": (lambda f: (f / "tokenizer.json").unlink(), "holds no tokenizer"),
    "a tokenizer": (lambda f: (f / "tokenizer.json").write_text("{") and None, "tokenizer cannot"),
    "no template": (lambda f: (f / "chat_template.jinja").unlink(), "no chat template"),
    "a template for text": (
        lambda f: (
            (f / "chat_template.jinja").write_text(
                "{% for m in messages %}{{ m['content'][-1]['text'] }}{% endfor %}"
            )
            and None
        ),
        "writes no <video> for a video",
    ),
    "a broken template": (
        lambda f: (f / "chat_template.jinja").write_text("{% for m in") and None,
        "cannot be loaded",
    ),
    "a recipe": (
        lambda f: (f / "longtake.json").write_text('{"fps": 0}') and None,
        "longtake.json",
    ),
}


@pytest.mark.parametrize("what", FILES)
def test_files_that_are_missing_or_damaged(copy: Path, what: str) -> None:
    change, said = FILES[what]
    change(copy)
    assert said in refusal(copy)


def test_an_index_of_another_version_is_seen_before_weights_are_read(copy: Path) -> None:
    path = copy / intact.INDEX
    index = json.loads(path.read_text())
    names = {f"extra.{i}": "model-00001-of-00002.safetensors" for i in range(5)}
    path.write_text(json.dumps({**index, "weight_map": index["weight_map"] | names}))
    said = refusal(copy)
    assert "extra.0 (in model-00001-of-00002.safetensors)" in said and "and 2 more" in said
    assert "extra.3" not in said


def test_headers_are_read_as_the_library_reads_them(copy: Path) -> None:
    stored = intact.check_files(copy, "")
    held = {k: v for file in intact.weight_files(copy) for k, v in load_file(file).items()}
    assert {name: one.shape for name, one in stored.items()} == {
        name: tuple(tensor.shape) for name, tensor in held.items()
    }
    assert {one.dtype for one in stored.values()} == {"F32"}


def test_a_folder_that_may_not_be_read(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, *_: Any, **__: Any) -> Any:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_file", refuse)
    said = refusal(copy)
    assert "cannot be read" in said and "Permission denied" in said


def test_a_file_is_no_folder(copy: Path) -> None:
    file = copy / "config.json"
    with pytest.raises(ModelError, match="is a file: give the folder"):
        load(str(file))


# ------------------------------------------------------------------ tensors


def some_norm(held: dict[str, torch.Tensor]) -> str:
    (name,) = (name for name in held if name.endswith("layers.0.input_layernorm.weight"))
    return name


def test_missing_tensors_are_named_and_not_drawn_at_random(copy: Path) -> None:
    def change(held: dict[str, torch.Tensor]) -> None:
        for name in [n for n in held if "layers.1.mlp" in n and "_proj" in n]:
            del held[name]

    edit_tensors(copy, change)
    said = refusal(copy)
    assert "lacks 3 tensors" in said and said.count("layers.1.mlp") == 3


def test_a_tensor_of_another_shape_is_named(copy: Path) -> None:
    edit_tensors(copy, lambda held: held.update({some_norm(held): torch.ones(7)}))
    said = refusal(copy)
    assert "layers.0.input_layernorm.weight is [7], not [64]" in said


def test_a_tensor_too_many_inside_a_layer_is_refused(copy: Path) -> None:
    def change(held: dict[str, torch.Tensor]) -> None:
        held[some_norm(held).replace("input_layernorm", "self_attn.q_proj.lora_A")] = torch.ones(3)

    edit_tensors(copy, change)
    said = refusal(copy)
    assert "lora_A" in said and "must be merged first" in said


def test_a_tensor_too_many_elsewhere_is_only_told(
    copy: Path, caplog: pytest.LogCaptureFixture
) -> None:
    edit_tensors(copy, lambda held: held.update({"value_head.weight": torch.ones(3)}))
    with caplog.at_level(logging.WARNING, "longtake"):
        load(str(copy), device="cpu")
    assert "1 tensors are not used: value_head.weight" in caplog.text


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_is_found_while_loading(copy: Path, value: float) -> None:
    def change(held: dict[str, torch.Tensor]) -> None:
        held[some_norm(held)][3] = value

    edit_tensors(copy, change)
    said = refusal(copy)
    assert "NaN or infinity in 1 of its tensors: model.language_model.layers.0.input" in said
    assert "download it again" in said


def test_what_only_float16_cannot_hold_is_said_so(copy: Path) -> None:
    def change(held: dict[str, torch.Tensor]) -> None:
        held[some_norm(held)][3] = 1e6

    edit_tensors(copy, change)
    assert "--dtype bfloat16 or float32" in refusal(copy, dtype="float16")
    assert load(str(copy), device="cpu", dtype="bfloat16").dtype is torch.bfloat16


def test_buffers_are_looked_at_and_packed_integers_are_not() -> None:
    model = torch.nn.Linear(3, 3)
    model.register_buffer("packed", torch.full((4,), 255, dtype=torch.uint8))
    model.register_buffer("empty", torch.zeros(0))
    sound.check_finite(model)
    model.register_buffer("scale", torch.tensor([1.0, torch.nan]))
    with pytest.raises(ModelError, match="scale"):
        sound.check_finite(model)


# ------------------------------------------------------------------ tokens


def test_special_tokens_that_the_tokenizer_does_not_know(copy: Path) -> None:
    edit(copy / "config.json", video_token_index=70)
    assert "video_token_id=70 is no special token" in refusal(copy)


def test_special_tokens_without_an_embedding(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    rows = config["video_token_index"]
    config["text_config"]["vocab_size"] = rows
    (copy / "config.json").write_text(json.dumps(config))

    def change(held: dict[str, torch.Tensor]) -> None:
        for name in [name for name in held if "embed_tokens" in name or "lm_head" in name]:
            held[name] = held[name][:rows].clone()

    edit_tensors(copy, change)
    assert "no embedding for" in refusal(copy)


@pytest.mark.parametrize("name", ["chat_template.json", "processor_config.json"])
def test_a_processors_template_goes_before_the_tokenizers(copy: Path, name: str) -> None:
    """Older checkpoints keep the one for videos there, and one for text in the tokenizer."""
    whole = load(str(copy), device="cpu").prompt("what?").ids
    template = (copy / "chat_template.jinja").read_text()
    (copy / "chat_template.jinja").unlink()
    edit(copy / "tokenizer_config.json", chat_template="{{ messages[0]['content'] }}")
    assert "writes no <video>" in refusal(copy)
    (copy / name).write_text(json.dumps({"chat_template": template}))
    assert torch.equal(load(str(copy), device="cpu").prompt("what?").ids, whole)


# ------------------------------------------------------------------ the command line


def nan(folder: Path) -> None:
    def change(held: dict[str, torch.Tensor]) -> None:
        held[some_norm(held)][0] = torch.nan

    edit_tensors(folder, change)


COMMAND: dict[str, tuple[Change, str]] = {
    "family": (lambda f: edit(f / "config.json", model_type="llava"), "single pictures"),
    "shard": (on_the_first(Path.unlink), "weight files missing"),
    "cut": (on_the_first(cut), "is cut"),
    "pickled": (only("pytorch_model.bin"), "safetensors only"),
    "nan": (nan, "NaN or infinity"),
    "tokenizer": (lambda f: (f / "tokenizer.json").unlink(), "holds no tokenizer"),
    "template": (lambda f: (f / "chat_template.jinja").unlink(), "no chat template"),
}


@pytest.mark.parametrize("what", COMMAND)
def test_a_command_ends_with_5_and_one_line(
    copy: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], what: str
) -> None:
    change, said = COMMAND[what]
    change(copy)
    clip = tmp_path / "clip.png"
    clip.write_bytes(b"not looked at before the model")
    code = cli.main(["ask", str(clip), "what?", "--model", str(copy), "--device", "cpu"])
    shown = capfd.readouterr()
    assert code == cli.MODEL and shown.out == ""
    assert said in shown.err and shown.err.startswith(f"longtake: {copy}: ")
    assert shown.err.count("\n") == 1


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=lambda error: type(error).__name__)
def test_memory_that_runs_out_while_running_says_what_needs_less(
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    error: Exception,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("longtake.memory.window.Window.__init__", fail)
    (tmp_path / "clip.png").write_bytes(b"not looked at")
    words = ["ask", str(tmp_path / "clip.png"), "what?", "--model", str(tiny_model)]
    assert cli.main([*words, "--device", "cpu"]) == cli.MODEL
    shown = capfd.readouterr()
    assert shown.err.startswith("longtake: out of memory") and shown.err.count("\n") == 1
    for flag in ("--max-pixels", "--window", "--top-k", "--fps", "--dtype", "--quantize"):
        assert flag in shown.err


def test_flags_of_the_model_reach_the_loader(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}

    def spy(name: str, **given: Any) -> Any:
        asked.update(given)
        raise ModelError("enough")

    monkeypatch.setattr("longtake.engine.load", spy)
    (tmp_path / "clip.png").write_bytes(b"not looked at")
    monkeypatch.setenv("LONGTAKE_QUANTIZE", "8bit")
    words = ["ask", str(tmp_path / "clip.png"), "what?", "--max-pixels", "5000"]
    assert cli.main(words) == cli.MODEL
    assert (asked["quantize"], asked["max_pixels"]) == ("8bit", 5000)
    assert cli.main([*words, "--quantize", "none"]) == cli.MODEL
    assert asked["quantize"] == "none"
    assert cli.main([*words, "--quantize", "5bit"]) == cli.USAGE


def test_amounts_are_taken_from_what_torch_says() -> None:
    from longtake.out_of_memory import explain

    said = explain(
        torch.OutOfMemoryError(
            "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 1 has a total capacity of 79.15 "
            "GiB of which 1.21 GiB is free. Process 7 has 77.9 GiB memory in use."
        )
    )
    assert "on GPU 1: 2.00 GiB more were needed and 1.21 GiB of 79.15 GiB were free" in said
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60)
    assert "out of memory (RAM): 4294967296.0 GiB more were needed" in explain(caught.value)


def test_loading_leaves_transformers_as_it_was(tiny_model: Path) -> None:
    theirs: Any = transformers.utils.logging
    level = theirs.get_verbosity()
    load(str(tiny_model), device="cpu")
    assert theirs.get_verbosity() == level


def test_errors_keep_what_they_came_from(copy: Path) -> None:
    (copy / "tokenizer.json").write_text("{")
    with pytest.raises(ModelError) as caught:
        load(str(copy))
    assert caught.value.__cause__ is not None
    assert loader.FAMILIES is FAMILIES
