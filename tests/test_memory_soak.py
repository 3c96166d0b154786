"""Thousands of chunks with a disk that fails now and then: nothing is lost, nothing is left over.

Reading `/proc`, these tests run on Linux.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import random
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from longtake.memory import files
from longtake.memory.chunk import ChunkInfo
from longtake.memory.config import MemoryConfig
from longtake.memory.store import Store
from tests.chunks import MODEL, assert_same, make_chunk, vectors_of

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")

SEAMS = (
    *("write_all", "read_into", "sync_data", "sync_folder", "open_to_append", "open_to_read"),
    *("truncate", "unlink", "erase"),
)
SHAPE = {"tokens": 40, "heads": 2, "dim": 16}


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def own_mb() -> float:
    """RAM of this process's own pages."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) / 1024


@contextlib.contextmanager
def faults(
    monkeypatch: pytest.MonkeyPatch, rng: random.Random, share: float
) -> Iterator[list[str]]:
    """Every call to the system fails with this probability; names of those that did."""
    failed: list[str] = []
    with monkeypatch.context() as broken:
        for name in SEAMS:
            real = getattr(files, name)

            def call(*args: Any, real: Callable[..., Any] = real, name: str = name) -> Any:
                if rng.random() < share:
                    failed.append(name)
                    number = rng.choice([errno.EIO, errno.ENOSPC])
                    raise OSError(number, os.strerror(number))
                return real(*args)

            broken.setattr(files, name, call)
        yield failed


def live_through(store: Store, rng: random.Random, count: int, begin: int) -> None:
    """Put, read, fetch; errors are met as a caller meets them: the same again, later."""
    for number in range(begin, begin + count):
        chunk = make_chunk(number, **SHAPE)
        while True:
            try:
                assert store.put(chunk, vectors_of(chunk))
                break
            except OSError:
                continue
        if rng.random() < 0.2:
            wanted = sorted({rng.randrange(number + 1) for _ in range(6)})
            with store.fetch([wanted, wanted]) as fetch:
                for layer in (0, 1):
                    for n, segment in zip(wanted, fetch.layer(layer), strict=True):
                        if segment is not None:  # a read may fail, never lie
                            put = make_chunk(n, **SHAPE).keys[layer]
                            assert segment.keys.numpy().tobytes() == put.numpy().tobytes()


def soak(folder: Path, monkeypatch: pytest.MonkeyPatch, count: int, most_mb: float) -> None:
    rng = random.Random(1)
    threads_before, open_before = threading.active_count(), descriptors()
    config = MemoryConfig(
        segment_bytes=400_000, ram_bytes=200_000, queue_bytes=300_000, commit_s=0.02
    )
    failed = 0
    with Store.open(folder, **MODEL, config=config) as store:
        live_through(store, rng, count // 10, 0)
        gc.collect()
        before_mb = own_mb()
        for turn in range(1, 10):
            share = 0.02 if turn < 9 else 0.0
            with faults(monkeypatch, rng, share) as names:
                live_through(store, rng, count // 10, turn * (count // 10))
            failed += len(names)
        store.sync()
        stats = store.stats()
        assert (stats.chunks, stats.durable, stats.queued) == (count, count, 0)
        assert stats.queued_bytes == 0 and stats.ram_bytes <= 200_000
        gc.collect()
        assert own_mb() - before_mb < most_mb
    assert failed > count // 50
    assert threading.active_count() == threads_before
    assert descriptors() == open_before
    with Store.open(folder, **MODEL, config=MemoryConfig(ram_bytes=0)) as store:
        for number in rng.sample(range(count), min(count, 500)):
            assert_same(store.read(number), make_chunk(number, **SHAPE))
        assert len(store.all_vectors()[0]) == count
        assert store.stats().corrupt == 0


def test_a_thousand_chunks_and_a_disk_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soak(tmp_path, monkeypatch, 1000, most_mb=30.0)


@pytest.mark.long
def test_ten_thousand_chunks_and_a_disk_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soak(tmp_path, monkeypatch, 10_000, most_mb=40.0)


@pytest.mark.long
def test_a_million_rows_open_at_once(tmp_path: Path) -> None:
    """What opening costs does not come from the number of chunks: no record is read, and no row
    but the last."""
    with Store.open(tmp_path, **MODEL) as store:
        chunk = make_chunk(0)
        store.put(chunk, vectors_of(chunk))
        store.sync()
        row = store._catalog.row(0)
    assert row is not None and row.place is not None
    database = sqlite3.connect(tmp_path / "catalog.sqlite")
    info = ChunkInfo(0, 0.0, 0.5, tokens=5)
    with database:
        database.executemany(
            "INSERT INTO chunks (number, start_s, end_s, camera, wall_s, tokens, layers, heads, "
            "dim, segment, offset, nbytes, codec) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)",
            (
                (
                    *(n, float(n), n + 0.5, info.camera, None, 5, 2, 2, 4),
                    *(0, row.place.offset, row.place.nbytes, "raw"),
                )
                for n in range(1, 1_000_000)
            ),
        )
    database.close()
    begun = time.process_time()
    with Store.open(tmp_path, **MODEL) as store:
        assert len(store) == 1_000_000
        assert store.next_number == 1_000_000
    assert time.process_time() - begun < 2.0
