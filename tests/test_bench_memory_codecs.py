"""The codecs' part of `longtake bench memory`: known figures, and errors in their order."""

from __future__ import annotations

import pytest
import torch

from longtake.bench import memory_codecs
from longtake.bench.frame import Row
from longtake.bench.logit_error import Layer, logit_error, seen_by, spread, synthetic
from longtake.memory.codecs import LayerShape, make_codec
from longtake.models.loader import load

LOSSY = ("int8", "kivi4", "kivi2")


@pytest.fixture(scope="module")
def found() -> list[Row]:
    return memory_codecs.rows(1, lambda said: None)


def value(rows: list[Row], name: str, unit: str) -> float:
    (row,) = [row for row in rows if (row.name, row.unit) == (name, unit)]
    return row.value


def test_raw_bytes_are_those_that_rekv_states(found: list[Row]) -> None:
    per_hour = value(found, "LLaVA-OneVision-7B, raw: KV of an hour", "GiB/h")
    assert per_hour == pytest.approx(18.8, abs=0.05)
    assert value(found, "LLaVA-OneVision-7B, raw: KV of a token", "B/token") == 57_344
    assert value(found, "Qwen2.5-VL-7B at 2 fps makes", "MB/s") == pytest.approx(14.68, abs=0.005)


def test_every_result_has_a_name_of_its_own(found: list[Row]) -> None:
    names = [(row.name, row.unit) for row in found]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    "keys", ["synthetic keys, bias 0", "synthetic keys, bias 900", "embedded model's keys"]
)
def test_fewer_bits_are_more_error_and_fewer_bytes(found: list[Row], keys: str) -> None:
    names = ("raw", *LOSSY)
    errors = [value(found, f"{keys}, {name}: rms error", "logit") for name in names]
    sizes = [value(found, f"LLaVA-OneVision-7B, {name}: KV of an hour", "GiB/h") for name in names]
    assert errors[0] == 0
    assert errors == sorted(errors)
    assert sizes == sorted(sizes, reverse=True)


def test_a_great_bias_shows_where_steps_are_shared(found: list[Row]) -> None:
    shared = [
        value(found, f"synthetic keys, bias {norm}, {memory_codecs.SHARED}: rms error", "logit")
        for norm in (0, 900)
    ]
    assert shared[1] > 20 * shared[0]


@pytest.fixture(scope="module")
def film() -> list[Layer]:
    return seen_by(load("embedded", device="cpu"), 8)


def test_a_models_chunks_are_its_steps(film: list[Layer]) -> None:
    assert len(film) == 4
    for layer in film:
        assert len(layer.chunks) == 4  # two frames a second apart are one step
        assert {keys.shape for keys, _ in layer.chunks} == {(2, 26, 32)}
        assert layer.bias is not None
        assert layer.bias.shape == (2, 32)
        assert layer.keys().shape == (2, 104, 32)


def test_the_mean_over_keys_is_taken_away(film: list[Layer]) -> None:
    layer = film[0]
    logits = layer.logits(layer.keys())
    torch.testing.assert_close(logits.mean(-1), torch.zeros(logits.shape[:-1]))
    assert spread(film) > 0.1


def test_an_error_is_that_of_the_logits_of_what_comes_back() -> None:
    layer = synthetic(LayerShape(1, 8, 4, torch.float32), 0.0, chunks=1, queries=2)
    codec = make_codec("kivi2")
    (keys, values) = layer.chunks[0]
    back = torch.empty_like(keys), torch.empty_like(values)
    codec.decode(codec.encode(keys, values), LayerShape(1, 8, 4, torch.float32), *back)

    differences = []
    for query in layer.queries[0]:
        turned, turned_back = layer.turn(keys)[0], layer.turn(back[0])[0]
        plain = [float(query @ key) / 2 for key in turned]
        coded = [float(query @ key) / 2 for key in turned_back]
        each = [b - a for a, b in zip(plain, coded, strict=True)]
        differences += [one - sum(each) / len(each) for one in each]
    error = logit_error([layer], lambda bias: codec)
    rms = (sum(d * d for d in differences) / len(differences)) ** 0.5
    assert error.rms == pytest.approx(rms, rel=1e-4)
    assert error.greatest == pytest.approx(max(map(abs, differences)), rel=1e-4)
