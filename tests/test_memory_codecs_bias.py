"""The key projection's bias and the codecs: what attention sees of the error, not its squares.

Errors are those of logits, ``q.k / sqrt(D)`` at rotated positions, less their mean over the keys,
which softmax does not see.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from longtake.memory.codecs import Codec, LayerShape, make_codec
from longtake.memory.codecs.affine import CHANNELS, Affine
from longtake.memory.codecs.halves import Halves
from longtake.memory.codecs.unbiased import unbiased
from longtake.models.positions import Rotary
from tests.chunks import same_bits
from tests.layers import make_bias, make_layer, round_trip

SHAPE = LayerShape(2, 128, 64, torch.float32)
LOSSY = ["int8", "kivi4", "kivi2"]


def logit_error(codec: Codec, keys: Tensor, values: Tensor) -> float:
    """Root mean square over queries, heads and keys."""
    heads, tokens, dim = keys.shape
    rotary = Rotary(1e6 ** -(torch.arange(0, dim, 2) / dim), torch.zeros(dim // 2))
    random = torch.Generator().manual_seed(3)
    query = torch.randn(heads, 16, dim, generator=random)
    query = rotary.rotate(query, rotary.table(torch.full((1, 16), tokens)))
    difference = round_trip(codec, keys, values)[0].float() - keys.float()
    moved = rotary.rotate(difference, rotary.table(torch.arange(tokens)[None]))
    error = query @ moved.mT / dim**0.5
    return float((error - error.mean(-1, keepdim=True)).square().mean().sqrt())


def shared_by_channels(bits: int) -> Halves:
    """Not in the registry: a step that channels share, as most cache quantisers have it."""
    return Halves("shared", 1, Affine(bits, CHANNELS, 32), Affine(bits, CHANNELS, 32))


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_steps_shared_by_channels_break_on_a_great_bias_and_the_wrapper_mends_them(
    bits: int,
) -> None:
    bias = make_bias(2, 64)
    keys, values = make_layer(SHAPE, bias=bias)
    codec = shared_by_channels(bits)
    calm = logit_error(codec, *make_layer(SHAPE))
    broken = logit_error(codec, keys, values)
    mended = logit_error(unbiased(codec, bias), keys, values)
    assert broken > 10 * mended
    assert mended == pytest.approx(calm, rel=0.05)


@pytest.mark.parametrize("name", LOSSY)
def test_steps_of_a_channel_of_its_own_bear_a_great_bias_with_and_without_the_wrapper(
    name: str,
) -> None:
    bias = make_bias(2, 64)
    calm = logit_error(make_codec(name), *make_layer(SHAPE))
    keys, values = make_layer(SHAPE, bias=bias)
    plain = logit_error(make_codec(name), keys, values)
    mended = logit_error(make_codec(f"unbiased-{name}", bias), keys, values)
    assert plain < calm * 1.15
    assert mended < calm * 1.02
    assert mended < plain * 1.02


@pytest.mark.parametrize("name", LOSSY)
def test_where_tokens_differ_little_beside_the_bias_the_wrapper_wins(name: str) -> None:
    bias = make_bias(2, 64).sign() * 112.3  # norm 900, where float16 goes by sixteenths
    small, values = make_layer(SHAPE)
    keys = small * 0.003 + bias[:, None]
    plain = logit_error(make_codec(name), keys, values)
    mended = logit_error(make_codec(f"unbiased-{name}", bias), keys, values)
    assert mended < plain / 1.5


@pytest.mark.parametrize("name", LOSSY)
def test_values_are_never_touched(name: str) -> None:
    keys, values = make_layer(SHAPE, bias=make_bias(2, 64))
    _, plain = round_trip(make_codec(name), keys, values)
    _, found = round_trip(make_codec(f"unbiased-{name}", make_bias(2, 64)), keys, values)
    assert same_bits(found, plain)


@pytest.mark.parametrize("name", LOSSY)
def test_keys_that_are_the_bias_come_back_as_it(name: str) -> None:
    bias = make_bias(2, 64)
    keys = bias[:, None].expand(SHAPE.size).contiguous()
    found, _ = round_trip(make_codec(f"unbiased-{name}", bias), keys, keys * 0)
    assert found.equal(keys)


@pytest.mark.parametrize("name", LOSSY)
def test_without_a_bias_it_cannot_be_made(name: str) -> None:
    with pytest.raises(ValueError, match=f"unbiased-{name} needs the layer's key_bias"):
        make_codec(f"unbiased-{name}")


@pytest.mark.parametrize(
    ("bias", "said"),
    [
        (torch.zeros(128), r"\[128\] torch.float32: expected \[heads, dim\] float32"),
        (torch.zeros(2, 64, dtype=torch.float16), "expected .* float32"),
        (torch.full((2, 64), torch.inf), "NaN or infinity"),
    ],
)
def test_a_bias_that_is_none_is_refused(bias: Tensor, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make_codec("unbiased-kivi4", bias)


def test_keys_of_another_model_are_refused() -> None:
    codec = make_codec("unbiased-kivi4", make_bias(4, 64))
    keys, values = make_layer(SHAPE)
    with pytest.raises(ValueError, match="key_bias is of 4 heads of 64, the keys are"):
        codec.encode(keys, values)
    data = make_codec("kivi4").encode(keys, values)
    with pytest.raises(ValueError, match="key_bias is of 4 heads"):
        codec.decode(data, SHAPE, keys, values)
