"""The key projection's bias that adapters tell is what is in the keys that are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from longtake.models.loader import load
from tests import checkpoints

YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 1024}
BIASED: dict[str, tuple[str, dict[str, Any]]] = {
    "llava_onevision": ("llava_onevision", {}),
    "qwen2_vl": ("qwen2_vl", {}),
    "qwen2_5_vl": ("qwen2_5_vl", {}),
    "internvl of qwen2": ("internvl", {"model_type": "qwen2"}),
    "yarn": ("qwen2_5_vl", {"rope_parameters": YARN}),
    "one key head": ("qwen2_vl", {"num_attention_heads": 3, "num_key_value_heads": 1}),
}


class Keys:
    """A past that keeps the keys it is shown, ``[L][G, T, D]``, and attends to nothing."""

    def __init__(self) -> None:
        self.found: list[Tensor] = []

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        assert layer == len(self.found)
        self.found.append(key[0])
        return torch.zeros_like(query).transpose(1, 2)


def adapter_of(family: str, folder: Path, **text: Any) -> Any:
    return load(str(checkpoints.write(family, folder / "model", **text)), device="cpu")


def kept_keys(adapter: Any) -> list[Tensor]:
    past = Keys()
    with torch.no_grad():
        adapter.decode_step(adapter.embed(torch.tensor([1, 2, 3])), past, {})
    return past.found


@pytest.mark.parametrize("name", BIASED)
def test_keys_less_their_bias_are_what_the_weights_alone_make(name: str, tmp_path: Path) -> None:
    family, text = BIASED[name]
    adapter = adapter_of(family, tmp_path, **text)
    bias, shape = adapter.key_bias(), adapter.shape
    assert bias is not None
    assert (bias.dtype, bias.device.type) == (torch.float32, "cpu")
    assert bias.shape == (shape.layers, shape.kv_heads * shape.head_dim)
    assert bias.any(dim=1).all(), "a bias of zeros would prove nothing"

    for layer in adapter.decoder.layers:
        layer.self_attn.k_proj.weight.zero_()
    for own, keys in zip(bias, kept_keys(adapter), strict=True):
        assert keys.shape == (shape.kv_heads, 3, shape.head_dim)
        expected = own.view(shape.kv_heads, 1, shape.head_dim).expand_as(keys)
        torch.testing.assert_close(keys, expected)


@pytest.mark.parametrize(
    ("family", "text"),
    [
        ("internvl", {}),  # Qwen3: keys are normed behind their bias
        ("qwen3_vl", {}),
        ("qwen3_vl", {"attention_bias": True}),
        ("smolvlm", {}),  # Llama: no bias
    ],
)
def test_where_nothing_constant_is_in_the_keys_there_is_no_bias(
    family: str, text: dict[str, Any], tmp_path: Path
) -> None:
    adapter = adapter_of(family, tmp_path, **text)
    assert adapter.key_bias() is None

    for layer in adapter.decoder.layers:
        layer.self_attn.k_proj.weight.zero_()
        if (bias := layer.self_attn.k_proj.bias) is not None:
            bias.zero_()
    assert not any(keys.any() for keys in kept_keys(adapter))


def test_the_model_that_ships_tells_its_bias() -> None:
    adapter = load("embedded", device="cpu")
    bias = adapter.key_bias()
    assert bias is not None
    assert bias.shape == (adapter.shape.layers, adapter.shape.kv_heads * adapter.shape.head_dim)


def test_a_bias_in_half_precision_is_told_in_float32(tmp_path: Path) -> None:
    folder = checkpoints.write("qwen2_vl", tmp_path / "model")
    bias = load(str(folder), device="cpu", dtype="bfloat16").key_bias()
    whole = load(str(folder), device="cpu").key_bias()
    assert bias is not None
    assert whole is not None
    assert bias.dtype == torch.float32
    assert bias.equal(whole.bfloat16().float())


class Packed(nn.Module):
    """Where a quantised projection keeps what: weights as bytes, the bias in floats."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(7, 1, dtype=torch.uint8), requires_grad=False)
        self.bias = nn.Parameter(linear.bias.half(), requires_grad=False)


def test_quantised_projections_keep_their_bias(tmp_path: Path) -> None:
    adapter = adapter_of("qwen2_5_vl", tmp_path)
    plain = adapter.key_bias()
    for layer in adapter.decoder.layers:
        layer.self_attn.k_proj = Packed(layer.self_attn.k_proj)
    assert adapter.key_bias().equal(plain.half().float())
