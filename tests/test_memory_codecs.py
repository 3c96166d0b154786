"""What every codec must do; each one in the registry is held to it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from longtake.memory.codecs import CODECS, Codec, LayerShape, make_codec, with_bias
from tests.chunks import DTYPES, make_chunk, same_bits
from tests.layers import farthest, make_bias, make_layer, outputs, round_trip

TOKENS = [1, 7, 63, 64, 196, 256, 257]
DIMS = [4, 64, 80, 128]
LOSSLESS = ["raw"]
LOSSY = [name for name in CODECS if name not in LOSSLESS]
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def codec_of(name: str, heads: int = 2, dim: int = 4) -> Codec:
    return make_codec(name, make_bias(heads, dim))


@pytest.fixture(params=CODECS)
def codec(request: pytest.FixtureRequest) -> Codec:
    """For keys of 2 heads of 4."""
    return codec_of(request.param)


def layers(tokens: int, dtype: torch.dtype) -> list[tuple[LayerShape, Tensor, Tensor]]:
    """Of every width, with and without a great bias in the keys."""
    made = []
    for dim in DIMS:
        shape = LayerShape(2, tokens, dim, dtype)
        for bias in (None, make_bias(2, dim)):
            made.append((shape, *make_layer(shape, bias=bias, seed=tokens + dim)))
    return made


# ------------------------------------------------------------------ what comes back


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("tokens", TOKENS)
@pytest.mark.parametrize("name", CODECS)
def test_what_comes_back_is_within_the_bound(name: str, tokens: int, dtype: torch.dtype) -> None:
    for shape, keys, values in layers(tokens, dtype):
        codec = codec_of(name, dim=shape.dim)
        found = round_trip(codec, keys, values)
        for half, given, bound in zip(
            found, (keys, values), codec.error_bound(keys, values), strict=True
        ):
            assert bound.dtype == torch.float32
            assert farthest(half, given, bound) <= 1, shape


@pytest.mark.parametrize("name", LOSSY)
def test_the_bound_is_not_a_wide_one(name: str) -> None:
    shape = LayerShape(2, 64, 64, torch.float32)
    keys, values = make_layer(shape)
    codec = codec_of(name, dim=64)
    found, bounds = round_trip(codec, keys, values), codec.error_bound(keys, values)
    for half, given, bound in zip(found, (keys, values), bounds, strict=True):
        assert farthest(half, given, bound) > 0.9
        assert bound.max() < (given.max() - given.min()) / 5


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("tokens", [1, 7, 64])
@pytest.mark.parametrize("name", CODECS)
def test_lossless_gives_back_every_bit_and_the_others_those_of_any_odd_layer(
    name: str, tokens: int, dtype: torch.dtype
) -> None:
    chunk = make_chunk(1, tokens=tokens, dtype=dtype)  # any bits, NaNs among them
    keys, values = chunk.keys[0], chunk.values[0]
    keys[0, 0, 0], values[0, 0, 0] = torch.nan, torch.inf
    codec = codec_of(name)
    found = round_trip(codec, keys, values)
    assert same_bits(found[0], keys)
    assert same_bits(found[1], values)
    assert not any(bound.any() for bound in codec.error_bound(keys, values))


@pytest.mark.parametrize("odd", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("place", [0, -1])
@pytest.mark.parametrize("name", LOSSY)
def test_one_odd_number_leaves_the_other_half_small(name: str, place: int, odd: float) -> None:
    shape = LayerShape(2, 64, 64, torch.bfloat16)
    codec = codec_of(name, dim=64)
    keys, values = make_layer(shape)
    small = len(codec.encode(keys, values))
    broken = values.clone()
    broken[place, place, place] = odd
    found = round_trip(codec, keys, broken)
    assert same_bits(found[1], broken)
    assert not same_bits(found[0], keys)
    assert small < len(codec.encode(keys, broken)) < shape.nbytes


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("number", [0.0, -0.0, 1.0, -900.3, 65504.0, -65504.0, 1e-7, 6e-8])
@pytest.mark.parametrize("name", CODECS)
def test_a_constant_comes_back_as_it_was(name: str, number: float, dtype: torch.dtype) -> None:
    keys = torch.full((2, 49, 4), number, dtype=dtype)
    codec = make_codec(name, torch.zeros(2, 4))
    found, bounds = round_trip(codec, keys, -keys), codec.error_bound(keys, -keys)
    for half, given, bound in zip(found, (keys, -keys), bounds, strict=True):
        assert farthest(half, given, bound) <= 1
        # float16 holds numbers of half precision; of others the bound tells how far off they are
        assert dtype is not torch.float16 or half.equal(given)
        torch.testing.assert_close(half, given, rtol=2**-12, atol=1e-12)


@pytest.mark.parametrize("scale", [1e-45, 1e-38, 1e-20, 1e-6, 1e4, 6e4, 1e5, 1e30, 3.3e38])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", CODECS)
def test_any_size_of_numbers_is_kept_within_the_bound(
    name: str, dtype: torch.dtype, scale: float
) -> None:
    shape = LayerShape(2, 63, 64, dtype)
    keys, values = make_layer(shape)
    keys, values = (
        (half.double() / half.double().abs().max() * scale).to(dtype) for half in (keys, values)
    )
    keys[1] = 0  # beside huge ones
    codec = make_codec(name, make_bias(2, 64, norm=min(scale, 900)))
    for half, given, bound in zip(
        round_trip(codec, keys, values),
        (keys, values),
        codec.error_bound(keys, values),
        strict=True,
    ):
        assert half.isfinite().all()
        assert farthest(half, given, bound) <= 1
        assert bound.max() <= given.abs().max() * 0.4 + 1e-30


@pytest.mark.parametrize("bias", [0.0, 40000.0])
@pytest.mark.parametrize("name", LOSSY)
def test_the_greatest_half_is_not_rounded_to_infinity(name: str, bias: float) -> None:
    random = torch.Generator().manual_seed(0)
    keys = (65504 - torch.rand(2, 63, 64, generator=random) * 50000).half()
    keys[:, 7], keys[:, 9] = 65504, keys[:, 9] - 900  # a range of its own in each channel
    codec = make_codec(name, torch.full((2, 64), bias))
    for half in round_trip(codec, keys, keys.flip(2)):
        assert half.isfinite().all()


@pytest.mark.parametrize("name", LOSSY)
def test_the_smallest_numbers_do_not_spill_into_their_neighbours(name: str) -> None:
    keys = torch.full((1, 10, 6), 1e6)
    keys[:, :, 0] = torch.arange(9, -1, -1).clamp(max=7) * 2.0**-149  # float32's least steps
    keys[:, :5, 1:] = -1e6
    codec = make_codec(name, torch.zeros(1, 6))
    found, bounds = round_trip(codec, keys, keys.flip(2)), codec.error_bound(keys, keys.flip(2))
    for half, given, bound in zip(found, (keys, keys.flip(2)), bounds, strict=True):
        assert farthest(half, given, bound) <= 1


def test_a_chunk_that_went_down_the_ladder_is_within_the_sum_of_the_bounds() -> None:
    for biased in (False, True):
        shape = LayerShape(2, 49, 80, torch.bfloat16)
        bias = make_bias(2, 80)
        given = make_layer(shape, bias=bias)
        now, sums = given, [torch.zeros(shape.size, dtype=torch.float64) for _ in given]
        for name in ("raw", "int8", "kivi4", "kivi2"):
            codec = make_codec(with_bias(name) if biased else name, bias)
            bounds = codec.error_bound(*now)
            sums = [total + bound for total, bound in zip(sums, bounds, strict=True)]
            now = round_trip(codec, *now)
        for half, first, total in zip(now, given, sums, strict=True):
            assert 0.1 < farthest(half, first, total) <= 1


# ------------------------------------------------------------------ bytes


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("tokens", TOKENS)
@pytest.mark.parametrize("name", CODECS)
def test_lengths_are_bounded_and_the_same_tensors_give_the_same_bytes(
    name: str, tokens: int, dtype: torch.dtype
) -> None:
    for shape, keys, values in layers(tokens, dtype):
        codec, again = (codec_of(name, dim=shape.dim) for _ in range(2))
        data = codec.encode(keys, values)
        assert len(data) <= codec.max_nbytes(shape)
        assert data == again.encode(keys.clone(), values.clone())
        if name in LOSSY and tokens > 7:
            assert len(data) < shape.nbytes


@pytest.mark.parametrize("name", CODECS)
def test_no_layer_is_longer_than_the_bound(name: str) -> None:
    for tokens in (1, 2, 3, 5, 33):
        for dim in (1, 2, 4, 33):
            for dtype in DTYPES:
                shape = LayerShape(1, tokens, dim, dtype)
                keys, values = make_layer(shape)
                codec = codec_of(name, heads=1, dim=dim)
                data = codec.encode(keys, values)
                assert len(data) <= codec.max_nbytes(shape)
                keys[0, 0, 0] = torch.nan
                assert len(codec.encode(keys, keys)) <= codec.max_nbytes(shape)
                round_trip(codec, keys, values)


def test_bits_are_those_that_are_told() -> None:
    shape = LayerShape(4, 128, 128, torch.bfloat16)
    keys, values = make_layer(shape)
    numbers = keys.numel() + values.numel()
    for name, bits in (("raw", 16.0), ("int8", 8.25), ("kivi4", 5.0), ("kivi2", 3.0)):
        nbytes = len(make_codec(name).encode(keys, values))
        assert nbytes * 8 / numbers == pytest.approx(bits, abs=0.001), name


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_strides_and_devices_make_no_difference(
    codec: Codec, dtype: torch.dtype, device: str
) -> None:
    shape = LayerShape(2, 49, 4, dtype)
    keys, values = make_layer(shape)
    apart = keys.to(device).transpose(0, 2).contiguous().transpose(0, 2)
    wide = torch.stack((values, values * 3), -1).to(device)[..., 0]
    assert not apart.is_contiguous()
    assert not wide.is_contiguous()
    data = codec.encode(keys, values)
    assert data == codec.encode(apart, wide)

    plain = outputs(shape)
    codec.decode(data, shape, *plain)
    strided = (
        torch.zeros(49, 2, 4, dtype=dtype, device=device).transpose(0, 1),
        torch.zeros(2, 49, 8, dtype=dtype, device=device)[..., ::2],
    )
    codec.decode(memoryview(bytearray(data)), shape, *strided)
    for one, other in zip(plain, strided, strict=True):
        assert same_bits(one, other.cpu())


def test_decoding_twice_is_the_same_and_neither_side_is_touched(codec: Codec) -> None:
    shape = LayerShape(2, 63, 4, torch.float32)
    keys, values = make_layer(shape)
    before = keys.clone(), values.clone()
    data = codec.encode(keys, values)
    codec.error_bound(keys, values)
    assert same_bits(keys, before[0])
    assert same_bits(values, before[1])
    kept, first, second = bytes(data), outputs(shape), outputs(shape)
    codec.decode(data, shape, *first)
    codec.decode(data, shape, *second)
    assert data == kept
    for one, other in zip(first, second, strict=True):
        assert same_bits(one, other)
        assert one.isfinite().all()


def test_bytes_of_every_wrong_length_are_refused_and_nothing_is_written(codec: Codec) -> None:
    shape = LayerShape(2, 7, 4, torch.float32)
    keys, values = make_layer(shape)
    broken = values.clone()
    broken[0] = torch.nan
    for data in (codec.encode(keys, values), codec.encode(broken, values)):
        out = outputs(shape)
        for wrong in (*(data[:n] for n in range(len(data))), data + b"\0", data + data):
            with pytest.raises(ValueError, match=rf"{codec.name} codec: .*bytes"):
                codec.decode(wrong, shape, *out)
        assert all(half.isnan().all() for half in out)


@pytest.mark.parametrize("name", LOSSY)
def test_bytes_of_a_form_that_is_not_known_are_refused(name: str) -> None:
    shape = LayerShape(2, 64, 64, torch.float32)
    codec = codec_of(name, dim=64)
    data = bytearray(codec.encode(*make_layer(shape)))
    data[0] = 77
    with pytest.raises(ValueError, match="format 77"):
        codec.decode(data, shape, *outputs(shape))


def test_outputs_of_the_wrong_shape_or_dtype_are_refused(codec: Codec) -> None:
    shape = LayerShape(2, 5, 4, torch.float32)
    keys, values = make_layer(shape)
    data, right = codec.encode(keys, values), torch.zeros(2, 5, 4)
    for wrong in (torch.zeros(2, 4, 5), torch.zeros(2, 5, 4, dtype=torch.float16)):
        for out in ((right, wrong), (wrong, right)):
            with pytest.raises(ValueError, match="does not fit"):
                codec.decode(data, shape, *out)


def test_a_dtype_that_is_not_stored_is_refused_with_those_that_are(codec: Codec) -> None:
    wide = torch.zeros(2, 1, 4, dtype=torch.float64)
    with pytest.raises(ValueError, match=rf"{codec.name} codec: .*float32, float16, bfloat16"):
        codec.encode(wide, wide)
    with pytest.raises(ValueError, match="float32, float16, bfloat16"):
        codec.decode(b"", LayerShape(2, 1, 4, torch.float64), wide, wide)


# ------------------------------------------------------------------ names


def test_every_codec_goes_by_the_name_that_it_is_made_by() -> None:
    for name in CODECS:
        codec = codec_of(name)
        assert (codec.name, codec.version) == (name, 1)
        assert codec.lossless == (name in LOSSLESS)


def test_lossy_codecs_have_a_twin_for_keys_with_a_bias() -> None:
    found = [with_bias(name) for name in ("raw", "int8", "kivi4", "kivi2")]
    assert found == ["raw", "unbiased-int8", "unbiased-kivi4", "unbiased-kivi2"]
    assert set(found) < set(CODECS)
    assert with_bias("unbiased-int8") == "unbiased-int8"


def test_a_codec_without_use_for_a_bias_may_be_given_one() -> None:
    shape = LayerShape(2, 7, 4, torch.float32)
    given = make_layer(shape)
    for name in ("raw", "int8", "kivi4", "kivi2"):
        plain, offered = make_codec(name), make_codec(name, make_bias(2, 4))
        assert plain.encode(*given) == offered.encode(*given)


def test_an_unknown_codec_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="'zip' is not known; there is raw, int8, kivi4, kivi2"):
        make_codec("zip")


def test_a_layer_without_tokens_has_no_shape() -> None:
    with pytest.raises(ValueError, match="must be positive"):
        LayerShape(2, 0, 4, torch.float32)
