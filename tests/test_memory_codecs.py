"""What every codec must do; each one in the registry is held to it."""

from __future__ import annotations

import pytest
import torch

from longtake.memory.codecs import CODECS, Codec, LayerShape, make_codec
from tests.chunks import DTYPES, make_chunk, same_bits

TOKENS = [1, 7, 64]


@pytest.fixture(params=sorted(CODECS))
def codec(request: pytest.FixtureRequest) -> Codec:
    return make_codec(str(request.param))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("tokens", TOKENS)
def test_a_lossless_codec_gives_back_every_bit(
    codec: Codec, tokens: int, dtype: torch.dtype
) -> None:
    if not codec.lossless:
        pytest.skip("states an error bound instead")
    layer = make_chunk(1, tokens=tokens, dtype=dtype)
    keys, values = layer.keys[0], layer.values[0]
    data = codec.encode(keys, values)
    found = torch.zeros_like(keys), torch.zeros_like(values)
    codec.decode(data, LayerShape(2, tokens, 4, dtype), *found)
    assert same_bits(found[0], keys)
    assert same_bits(found[1], values)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("tokens", TOKENS)
def test_the_bound_holds_and_the_same_tensors_give_the_same_bytes(
    codec: Codec, tokens: int, dtype: torch.dtype
) -> None:
    layer = make_chunk(1, tokens=tokens, dtype=dtype)
    data = codec.encode(layer.keys[0], layer.values[0])
    assert len(data) <= codec.max_nbytes(LayerShape(2, tokens, 4, dtype))
    assert data == codec.encode(layer.keys[0].clone(), layer.values[0].clone())


def test_strides_make_no_difference(codec: Codec) -> None:
    chunk = make_chunk(1, tokens=7)
    shape = LayerShape(2, 7, 4, torch.float32)
    apart = chunk.keys[0].transpose(0, 2).contiguous().transpose(0, 2)
    assert not apart.is_contiguous()
    data = codec.encode(apart, chunk.values[0])
    assert data == codec.encode(chunk.keys[0], chunk.values[0])

    plain = torch.zeros(2, 7, 4), torch.zeros(2, 7, 4)
    strided = torch.zeros(7, 2, 4).transpose(0, 1), torch.zeros(2, 7, 8)[..., ::2]
    codec.decode(data, shape, *plain)
    codec.decode(data, shape, *strided)
    assert same_bits(plain[0], strided[0])
    assert same_bits(plain[1], strided[1])


def test_bytes_of_the_wrong_length_are_refused(codec: Codec) -> None:
    chunk = make_chunk(1)
    data = codec.encode(chunk.keys[0], chunk.values[0])
    out = torch.zeros(2, 5, 4), torch.zeros(2, 5, 4)
    for wrong in (data[:-1], data + b"\0", b""):
        with pytest.raises(ValueError, match="bytes"):
            codec.decode(wrong, LayerShape(2, 5, 4, torch.float32), *out)


def test_outputs_of_the_wrong_shape_or_dtype_are_refused(codec: Codec) -> None:
    chunk = make_chunk(1)
    data = codec.encode(chunk.keys[0], chunk.values[0])
    shape, right = LayerShape(2, 5, 4, torch.float32), torch.zeros(2, 5, 4)
    for wrong in (torch.zeros(2, 4, 5), torch.zeros(2, 5, 4, dtype=torch.float16)):
        with pytest.raises(ValueError, match="does not fit"):
            codec.decode(data, shape, right, wrong)


def test_a_dtype_that_is_not_stored_is_refused_with_those_that_are() -> None:
    wide = torch.zeros(1, 1, 1, dtype=torch.float64)
    with pytest.raises(ValueError, match="float32, float16, bfloat16"):
        make_codec("raw").encode(wide, wide)


def test_an_unknown_codec_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="'zip' is not known; there is raw"):
        make_codec("zip")


def test_a_layer_without_tokens_has_no_shape() -> None:
    with pytest.raises(ValueError, match="must be positive"):
        LayerShape(2, 0, 4, torch.float32)
