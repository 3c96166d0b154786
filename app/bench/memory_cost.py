"""What keeping the past costs a stream: processor time with the store and without, and how long
a memory of many chunks takes to open.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from longtake.bench.clip import draw, pour
from longtake.bench.frame import Row, Say, compared, interleave, median, timed
from longtake.bench.model import Model
from longtake.engine import Engine
from longtake.memory.catalog import Row as CatalogRow
from longtake.memory.catalog import fields_of
from longtake.memory.chunk import Chunk, ChunkInfo, summarize
from longtake.memory.store import Store

MINUTES = 2.0


def rows(model: Model, repeats: int, chunks: int, say: Say) -> list[Row]:
    """Processor time of a drawn stream, and the opening of a memory.

    Args:
        chunks: in the memory that is opened.
    """
    return [*_ingest(model, repeats, say), *_opening(chunks, repeats, say)]


def _ingest(model: Model, repeats: int, say: Say) -> list[Row]:
    """The same stream with a memory on disk, and with one that forgets at once."""
    with TemporaryDirectory(prefix="longtake-bench-") as home, model.engine() as engine:
        clip = Path(home) / "clip.mp4"
        frames = round(MINUTES * 60 * engine.adapter.recipe.fps)
        draw(clip, MINUTES, engine.adapter.recipe.fps, say)
        count = [0]

        def see(keeps: bool) -> float:
            count[0] += 1
            return _processor_s(engine, Path(home) / f"memory{count[0]}", clip, frames, keeps)

        jobs: dict[str, Callable[[], float]] = {
            "kept": lambda: see(True),
            "not kept": lambda: see(False),
        }
        found = interleave(jobs, repeats, say)
    each = {name: median(times) / frames * 1e3 for name, times in found.items()}
    without = Row("a frame without a store, processor time", each["not kept"], "ms")
    return [
        compared("a frame with the store, processor time", each["kept"], "ms", without),
        without,
    ]


def _processor_s(engine: Engine, memory: Path, clip: Path, frames: int, keeps: bool) -> float:
    """Of all threads, until everything is on disk."""
    begun = time.process_time()
    with engine.open(memory) as take:
        if not keeps:
            take._store.put = _forget  # type: ignore[method-assign]
        pour(take, clip, frames, lambda text: None)
    return time.process_time() - begun


def _forget(chunk: Chunk, vectors: Tensor) -> bool:
    """A store that keeps nothing."""
    return True


def _opening(chunks: int, repeats: int, say: Say) -> list[Row]:
    with TemporaryDirectory(prefix="longtake-bench-") as home:
        few, many = Path(home) / "few", Path(home) / "many"
        _make(few, 1)
        _make(many, chunks)
        jobs = {
            "few": lambda: timed(lambda: _open(few)),
            "many": lambda: timed(lambda: _open(many)),
        }
        found = interleave(jobs, repeats, say)
    one = Row("opening a memory of 1 chunk", median(found["few"]) * 1e3, "ms")
    name = f"opening a memory of {chunks:,} chunks"
    return [compared(name, median(found["many"]) * 1e3, "ms", one), one]


def _open(folder: Path) -> None:
    Store.open(folder, model="bench", fingerprint="bench").close()


def _make(folder: Path, chunks: int) -> None:
    """A memory whose rows name one and the same record: opening reads none."""
    keys, values = torch.zeros(2, 1, 1, 4, 8)
    info = ChunkInfo(0, 0.0, 0.5, tokens=4)
    chunk = Chunk(info, keys, values, torch.arange(4, dtype=torch.int32)[None])
    with Store.open(folder, model="bench", fingerprint="bench") as store:
        store.put(chunk, summarize(chunk.keys))
    with closing(sqlite3.connect(folder / "catalog.sqlite")) as database, database:
        where = "SELECT segment, offset, nbytes FROM chunks WHERE number = 0"
        place = database.execute(where).fetchone()
        first = fields_of(CatalogRow(info, (1, 1, 8), None))
        database.executemany(
            f"INSERT INTO chunks VALUES ({','.join('?' * len(first))})",
            ((n, float(n), n + 0.5, *first[3:9], *place, "raw") for n in range(1, chunks)),
        )
