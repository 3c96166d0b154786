"""KIVI's arithmetic (arXiv 2402.02750) written once more, number by number, and held to the bit."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from longtake.memory.codecs import LayerShape, make_codec
from longtake.memory.codecs.affine import CHANNELS, TOKENS, Affine
from longtake.memory.codecs.packing import pack, unpack
from tests.chunks import DTYPES, same_bits
from tests.layers import make_bias, make_layer, outputs, round_trip

F16, F32 = np.float16, np.float32


def cut(length: int, group: int) -> list[range]:
    """As few groups of up to `group` as hold `length`, all but the last of one size."""
    count = math.ceil(length / group)
    side = math.ceil(length / count)
    return [range(first, min(first + side, length)) for first in range(0, length, side)]


def scales(numbers: list[Any], greatest: int) -> tuple[Any, Any]:
    """A group's zero, rounded down, and step, rounded up, in float16."""
    least, most = min(numbers), max(numbers)
    zero = F16(least)
    while F32(zero) > least:
        zero = np.nextafter(zero, F16(-np.inf))
    wanted = (most - F32(zero)) / F32(greatest)
    step = F16(wanted)
    while F32(step) < wanted:
        step = np.nextafter(step, F16(np.inf))
    return zero, step


def naive(x: Tensor, bits: int, group: int, *, per_channel: bool) -> tuple[bytes, np.ndarray]:
    """What one half of a layer is stored as, and what is read from it, in float32."""
    numbers = x.float().numpy()
    heads, tokens, dim = numbers.shape
    greatest = 2**bits - 1
    zeros, steps = [], []
    codes, back = np.zeros(numbers.shape, int), np.zeros(numbers.shape, F32)
    for head in range(heads):
        if per_channel:
            places = [[(head, t, c) for t in ts] for ts in cut(tokens, group) for c in range(dim)]
        else:
            places = [[(head, t, c) for c in cs] for t in range(tokens) for cs in cut(dim, group)]
        for place in places:
            zero, step = scales([numbers[i] for i in place], greatest)
            zeros.append(zero)
            steps.append(step)
            for i in place:
                code = round(float((numbers[i] - F32(zero)) / F32(step))) if step else 0
                codes[i], back[i] = code, F32(code) * F32(step) + F32(zero)
    flat = [int(code) for code in codes.ravel()]
    planes = 8 // bits
    length = math.ceil(len(flat) / planes)
    packed = bytearray(length)
    for i, code in enumerate(flat):
        packed[i % length] |= code << (i // length * bits)
    stored = b"\x01" + np.array(zeros, F16).tobytes() + np.array(steps, F16).tobytes() + packed
    return stored, back


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("tokens", "dim"), [(64, 32), (49, 36), (33, 5)])
@pytest.mark.parametrize("bits", [4, 2])
def test_every_byte_and_number_is_that_of_a_plain_loop(
    bits: int, tokens: int, dim: int, dtype: torch.dtype
) -> None:
    keys, values = make_layer(LayerShape(2, tokens, dim, dtype))
    codec = make_codec(f"kivi{bits}")
    by_channel, keys_back = naive(keys, bits, 32, per_channel=True)
    by_token, values_back = naive(values, bits, 32, per_channel=False)
    assert codec.encode(keys, values) == by_channel + by_token
    found = round_trip(codec, keys, values)
    for half, back in zip(found, (keys_back, values_back), strict=True):
        assert same_bits(half, torch.from_numpy(back).to(dtype))


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_bias_changes_the_keys_alone(dtype: torch.dtype) -> None:
    shape, bias = LayerShape(2, 64, 32, dtype), make_bias(2, 32)
    keys, values = make_layer(shape, bias=bias)
    less = keys.float() - bias[:, None]
    by_channel, back = naive(less, 4, 32, per_channel=True)
    by_token, _ = naive(values, 4, 32, per_channel=False)
    codec = make_codec("unbiased-kivi4", bias)
    assert codec.encode(keys, values) == by_channel + by_token
    found, _ = round_trip(codec, keys, values)
    assert same_bits(found, (torch.from_numpy(back) + bias[:, None]).to(dtype))


@pytest.mark.parametrize(
    ("length", "sizes"),
    [
        (1, [1]),
        (31, [31]),
        (32, [32]),
        (33, [17, 16]),
        (49, [25, 24]),
        (63, [32, 31]),
        (196, [28] * 7),
        (257, [29] * 8 + [25]),
    ],
)
@pytest.mark.parametrize("axis", [TOKENS, CHANNELS])
def test_groups_that_do_not_divide_a_chunk_are_nearly_equal(
    length: int, sizes: list[int], axis: int
) -> None:
    group = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    # Each group has two numbers of its own: with 2 bits they come back as they are.
    x = group.float() * 10
    first = torch.cat((torch.tensor([True]), group.diff() > 0))
    x[~first] += 3
    x = x.view(1, -1, 1).expand(2, -1, 3) if axis == TOKENS else x.expand(2, 3, -1)
    x = x.contiguous()
    coder = Affine(2, axis, 32)
    data = coder.encode(x)
    assert data is not None
    assert len(data) == coder.nbytes(data[0], (x.shape[0], x.shape[1], x.shape[2]))
    assert len(data) == 1 + len(sizes) * 6 * 4 + math.ceil(length * 6 / 4)
    assert coder.decode(data, (x.shape[0], x.shape[1], x.shape[2])).equal(x)


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 63, 64, 65, 1001])
def test_packed_codes_come_back(bits: int, count: int) -> None:
    codes = np.random.default_rng(count).integers(0, 2**bits, count, dtype=np.uint8)
    packed = pack(codes, bits)
    assert len(packed) == math.ceil(count * bits / 8)
    assert np.array_equal(unpack(np.frombuffer(packed, np.uint8), bits, count), codes)


def test_zeros_and_steps_are_float32_where_float16_is_too_narrow() -> None:
    coder = Affine(4, TOKENS, 32)
    x, _ = make_layer(LayerShape(2, 64, 8, torch.float32))
    for scale, form in ((1.0, 1), (1e-6, 2), (1e5, 2), (1e30, 2)):
        data = coder.encode(x * scale)
        assert data is not None
        assert data[0] == form
    assert coder.encode(x * 1e38) is None
    assert coder.encode(torch.zeros(2, 64, 8)) is not None


def test_a_single_token_is_kept_as_it_is_where_that_is_shorter() -> None:
    shape = LayerShape(2, 1, 64, torch.bfloat16)
    keys, values = make_layer(shape)
    found = round_trip(make_codec("kivi2"), keys, values)
    assert same_bits(found[0], keys)
    assert not same_bits(found[1], values)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"bits": 3, "axis": TOKENS}, "bits=3: must be 2, 4 or 8"),
        ({"bits": 4, "axis": 0}, "axis=0: must be"),
        ({"bits": 4, "axis": TOKENS, "group": 0}, "group=0: must be at least 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Affine(**given)


def test_halves_of_the_other_form_are_told_apart() -> None:
    shape = LayerShape(1, 64, 32, torch.float32)
    keys, values = make_layer(shape)
    codec = make_codec("kivi4")
    for layer in ((keys * 1e6, values), (keys, values * 1e6), (keys * torch.nan, values * 1e6)):
        found, bounds = round_trip(codec, *layer), codec.error_bound(*layer)
        for half, given, bound in zip(found, layer, bounds, strict=True):
            assert ((half - given).abs() <= bound).all() or given.isnan().all()
    out = outputs(shape)
    with pytest.raises(ValueError, match="bytes"):
        codec.decode(codec.encode(keys * 1e6, values)[:-1], shape, *out)
