"""Chunks for tests of the memory: small, random, the same for the same number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from longtake.memory.chunk import Chunk, ChunkInfo, summarize
from longtake.memory.store import Store

MODEL = {"model": "tiny", "fingerprint": "abc"}
DTYPES = [torch.float32, torch.float16, torch.bfloat16]


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def make_chunk(
    number: int,
    *,
    layers: int = 2,
    heads: int = 2,
    tokens: int = 5,
    dim: int = 4,
    dtype: torch.dtype = torch.float32,
    axes: int = 1,
    weights: bool = False,
    camera: str = "",
    wall_s: float | None = None,
) -> Chunk:
    """Any bits, NaNs among them: a memory keeps what it is given."""
    random = torch.Generator().manual_seed(number)
    words = torch.int32 if dtype is torch.float32 else torch.int16
    bounds = torch.iinfo(words)
    size = (2, layers, heads, tokens, dim)
    bits = torch.randint(bounds.min, bounds.max, size, generator=random, dtype=words)
    return Chunk(
        ChunkInfo(number, number + 0.1, number + 0.6, camera, wall_s, tokens=tokens),
        bits[0].view(dtype),
        bits[1].view(dtype),
        torch.arange(tokens, dtype=torch.int32).repeat(axes, 1),
        torch.rand(tokens, generator=random) if weights else None,
    )


def vectors_of(chunk: Chunk) -> Tensor:
    """Search vectors ``[L, W]`` without NaNs."""
    return summarize(torch.nan_to_num(chunk.keys.float(), 1.0, 2.0, -2.0).clamp(-9, 9))


def put(store: Store, *numbers: int, **shape: Any) -> list[Chunk]:
    """Make chunks of these numbers, put them one by one until they are written, return them."""
    chunks = [make_chunk(number, **shape) for number in numbers]
    for chunk in chunks:
        store.put(chunk, vectors_of(chunk))
        store.drain()
    return chunks


def same_bits(a: Tensor, b: Tensor) -> bool:
    """True if shape, dtype and every bit agree; NaNs too."""
    if (a.shape, a.dtype) != (b.shape, b.dtype):
        return False
    return a.contiguous().view(torch.uint8).equal(b.contiguous().view(torch.uint8))


def assert_same(found: Chunk, put: Chunk) -> None:
    """Every field, bit for bit."""
    assert found.info == put.info
    for name in ("keys", "values", "positions"):
        assert same_bits(getattr(found, name), getattr(put, name)), name
    if put.weights is None:
        assert found.weights is None
    else:
        assert found.weights is not None
        assert same_bits(found.weights, put.weights)


def segment_files(folder: Path) -> list[Path]:
    """The segments of a memory, oldest first."""
    return sorted((folder / "segments").glob("*.kvseg"))
