"""What a store has called durable survives `kill -9`."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from longtake.memory.config import MemoryConfig
from longtake.memory.store import Store
from tests.chunks import MODEL, assert_same, make_chunk, put

ROOT = Path(__file__).resolve().parents[1]

WRITER = """
import itertools, runpy, sys
from pathlib import Path

sys.path.insert(0, sys.argv[1])
runpy.run_path(sys.argv[1] + "/tests/conftest.py")  # maps `longtake` like the test run's own

from longtake.memory.config import MemoryConfig
from longtake.memory.store import Store
from tests.chunks import MODEL, put

config = MemoryConfig(segment_bytes=20_000, commit_s=0.002)
with Store.open(Path(sys.argv[2]), **MODEL, config=config) as store:
    for number in itertools.count(len(store)):
        put(store, number, tokens=number % 9 + 1)
        print(number, store.stats().durable, flush=True)
"""


def write_and_kill(folder: Path, puts: int) -> tuple[int, int]:
    """Start a writer, kill it after some puts; the last number put, and how many were durable."""
    command = [sys.executable, "-c", WRITER, str(ROOT), str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        lines = [writer.stdout.readline() for _ in range(puts)]
        writer.kill()
        lines += writer.stdout.readlines()
    assert writer.returncode == -9
    whole = [line for line in lines if line.endswith("\n")]
    number, durable = whole[-1].split()
    return int(number), int(durable)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_killed_writer_loses_nothing_that_was_durable(tmp_path: Path, seed: int) -> None:
    puts = 150 + random.Random(seed).randrange(150)
    last, durable = write_and_kill(tmp_path, puts)
    assert last >= puts - 1
    assert durable >= 10
    with Store.open(tmp_path, **MODEL, config=MemoryConfig(ram_bytes=0)) as store:
        assert len(store) >= durable
        assert store.stats().dropped == 0
        for number in range(len(store)):
            assert_same(store.read(number), make_chunk(number, tokens=number % 9 + 1))
        put(store, len(store))
        assert len(store.all_vectors()[0]) == len(store)
        assert store.stats().corrupt == 0
