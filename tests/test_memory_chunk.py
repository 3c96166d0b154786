"""A chunk checks itself, and its search vectors are the mean of its keys."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from longtake import memory
from longtake.memory.chunk import Chunk, ChunkInfo, summarize
from longtake.memory.config import MemoryConfig
from tests.chunks import make_chunk


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"number": -1}, "count up from 0"),
        ({"end_s": 0.5}, "before its start"),
        ({"start_s": math.nan}, "not finite"),
        ({"wall_s": math.inf}, "is not a time"),
        ({"tokens": 0}, "at least 1"),
    ],
)
def test_an_impossible_info_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(ChunkInfo(0, 1.0, 2.0, tokens=3), **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"keys": torch.zeros(2, 5, 4)}, r"expected \[L, H, T, D\]"),
        ({"keys": torch.zeros(2, 2, 5, 4, dtype=torch.int32)}, "of floats"),
        ({"values": torch.zeros(2, 2, 5, 8)}, "but values"),
        ({"values": torch.zeros(2, 2, 5, 4, dtype=torch.float16)}, "but values"),
        ({"info": ChunkInfo(0, 1.0, 2.0, tokens=4)}, "5 tokens in keys, 4 in its info"),
        ({"positions": torch.zeros(1, 5, dtype=torch.int64)}, "int32"),
        ({"positions": torch.zeros(2, 5, dtype=torch.int32)}, r"expected \[1, 5\] or \[3, 5\]"),
        ({"positions": torch.ones(1, 5, dtype=torch.int32)}, "start at"),
        ({"weights": torch.ones(4)}, r"expected \[5\] float32"),
        ({"weights": torch.ones(5, dtype=torch.float16)}, r"expected \[5\] float32"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(change: dict[str, Any], message: str) -> None:
    chunk = make_chunk(0)
    fields: dict[str, Any] = {
        name: getattr(chunk, name) for name in ("info", "keys", "values", "positions", "weights")
    }
    with pytest.raises(ValueError, match=message):
        Chunk(**(fields | change))


def test_a_chunk_prints_shapes_and_counts_all_its_bytes() -> None:
    chunk = make_chunk(3, dtype=torch.float16, axes=3, weights=True)
    assert repr(chunk) == (
        "Chunk(3: 3.1..3.6 s, keys=values=[2, 2, 5, 4] float16 on cpu, "
        "positions=[3, 5] int32, weights=[5] float32)"
    )
    assert chunk.nbytes == 2 * (2 * 2 * 5 * 4 * 2) + 3 * 5 * 4 + 5 * 4


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_the_summary_is_the_mean_key_of_each_head(dtype: torch.dtype) -> None:
    keys = torch.randn(3, 2, 7, 4).to(dtype)
    summary = summarize(keys)
    assert summary.dtype == torch.float32
    for layer in range(3):
        for head in range(2):
            mean = sum(keys[layer, head, token].double() for token in range(7)) / 7
            found = summary[layer, 4 * head : 4 * head + 4].double()
            torch.testing.assert_close(found, mean, rtol=0, atol=1e-6)


def test_nothing_cannot_be_summarized() -> None:
    with pytest.raises(ValueError, match="at least one token"):
        summarize(torch.zeros(2, 2, 0, 4))


@pytest.mark.parametrize(
    "wrong",
    [
        {"ram_bytes": -1},
        {"disk_bytes": 0},
        {"index": "annoy"},
        {"segment_bytes": 0},
        {"thumbnail_px": 0},
        {"commit_s": math.nan},
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused_by_name(wrong: dict[str, Any]) -> None:
    (name,) = wrong
    with pytest.raises(ValueError, match=f"{name}="):
        MemoryConfig(**wrong)


def test_every_public_name_of_the_room_is_there() -> None:
    assert memory.__all__ == sorted(memory.__all__)
    for name in memory.__all__:
        assert getattr(memory, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = memory.nothing
