"""Memories for tests of the commands: made, looked into, damaged."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import torch

from longtake.memory.chunk import Chunk
from longtake.memory.config import MemoryConfig
from longtake.memory.store import Store
from tests.chunks import MODEL, make_chunk, put


def written(
    path: Path,
    *numbers: int,
    segment_bytes: int = 1 << 20,
    fingerprint: str = MODEL["fingerprint"],
    **shape: Any,
) -> Path:
    """A memory of these chunks, closed."""
    config = MemoryConfig(segment_bytes=segment_bytes)
    with Store.open(path, model="tiny", fingerprint=fingerprint, config=config) as store:
        put(store, *(numbers or range(4)), **shape)
    return path


def contents(path: Path) -> dict[str, bytes]:
    """Every file, by its name."""
    return {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file()}


def places(folder: Path, segment: int | None = None) -> list[tuple[int, int, int]]:
    """Number, offset and length of each record, as the catalog has them; of one segment or all."""
    with closing(sqlite3.connect(folder / "catalog.sqlite")) as catalog:
        found = catalog.execute(
            "SELECT number, offset, nbytes FROM chunks WHERE segment IS NOT NULL "
            "AND (? IS NULL OR segment = ?) ORDER BY segment, offset",
            (segment, segment),
        ).fetchall()
    return [(int(number), int(offset), int(nbytes)) for number, offset, nbytes in found]


def patch(path: Path, offset: int, data: bytes) -> None:
    """Overwrite bytes of a file."""
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def smooth(number: int, **shape: Any) -> Chunk:
    """A chunk that a lossy codec keeps nearly."""
    random = torch.Generator().manual_seed(number)
    chunk = make_chunk(number, **shape)
    chunk.keys.copy_(torch.randn(chunk.keys.shape, generator=random))
    chunk.values.copy_(torch.randn(chunk.values.shape, generator=random))
    return chunk


@contextmanager
def flip(path: Path, offset: int) -> Iterator[None]:
    """One bit of a file is another within the block."""
    with path.open("rb") as file:
        file.seek(offset)
        was = file.read(1)
    patch(path, offset, bytes([was[0] ^ 0x10]))
    try:
        yield
    finally:
        patch(path, offset, was)
