"""What a store has called durable survives `kill -9`, and a power loss that tears pages."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from longtake.memory import files
from longtake.memory.config import MemoryConfig
from longtake.memory.folder import MemoryFolder
from longtake.memory.record import ChunkCorrupt
from longtake.memory.store import Store
from tests.chunks import MODEL, assert_same, make_chunk, put, segment_files

ROOT = Path(__file__).resolve().parents[1]
NO_CACHE = MemoryConfig(ram_bytes=0, ladder="none")
PAGE = 4096

WRITER = """
import itertools, random, runpy, sys
from pathlib import Path

sys.path.insert(0, sys.argv[1])
runpy.run_path(sys.argv[1] + "/tests/conftest.py")  # maps `longtake` like the test run's own

from longtake.memory.config import MemoryConfig
from longtake.memory.store import Store
from tests.chunks import MODEL, make_chunk, vectors_of

rng = random.Random(sys.argv[3])
config = MemoryConfig(segment_bytes=20_000, commit_s=0.002, ladder=sys.argv[4])
with Store.open(Path(sys.argv[2]), **MODEL, config=config) as store:
    for number in itertools.count(store.next_number):
        chunk = make_chunk(number, tokens=number % 9 + 1)
        store.put(chunk, vectors_of(chunk))
        if rng.random() < 0.02 and number > 20:  # one of those before, for good
            begin = rng.randrange(number - 20)
            store.forget(begin + 0.2, begin + 0.3)
            print("forgot", begin, flush=True)
        if rng.random() < 0.05:
            store.drain()
        durable = store.infos()[: store.stats().durable]
        print(number, durable[-1].number if durable else -1, flush=True)
"""


def write_and_kill(folder: Path, seed: int, puts: int, ladder: str) -> tuple[int, set[int]]:
    """Start a writer, kill it after some puts; the newest durable chunk, and those forgotten."""
    command = [sys.executable, "-c", WRITER, str(ROOT), str(folder), str(seed), ladder]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        lines = [writer.stdout.readline() for _ in range(puts)]
        writer.kill()
        lines += writer.stdout.readlines()
    assert writer.returncode == -9, lines[-3:]
    words = [line.split() for line in lines if line.endswith("\n")]
    forgotten = {int(word) for first, word in words if first == "forgot"}
    durable = [int(last) for first, last in words if first != "forgot"]
    return durable[-1], forgotten


def check(folder: Path, durable: int, forgotten: set[int]) -> None:
    """Every durable chunk is whole, in all layers; what was forgotten is not there."""
    with Store.open(folder, **MODEL, config=NO_CACHE) as store:
        assert store.stats().dropped == 0
        held = [info.number for info in store.infos()]
        assert set(range(durable + 1)) - forgotten <= set(held)
        assert not forgotten & set(held)
        for number in held:
            chunk = make_chunk(number, tokens=number % 9 + 1)
            assert store.info(number) == chunk.info
            assert_same(store.read(number), chunk)  # NaNs among them: lossy codecs keep those too
            for layer in range(chunk.layers):
                store.layer(number, layer)
        assert store.stats().corrupt == 0
        assert len(store.all_vectors()[0]) == len(held)


def kill_again_and_again(folder: Path, seed: int, rounds: int, most_puts: int) -> None:
    forgotten: set[int] = set()
    rng = random.Random(seed)
    for turn in range(rounds):
        puts = rng.randrange(30, most_puts)
        durable, gone = write_and_kill(folder, seed * 1000 + turn, puts, "none")
        forgotten |= gone
        check(folder, durable, forgotten)


def test_a_killed_writer_loses_nothing_that_was_durable(tmp_path: Path) -> None:
    kill_again_and_again(tmp_path, seed=1, rounds=3, most_puts=200)


@pytest.mark.long
def test_a_hundred_kills_lose_nothing_that_was_durable(tmp_path: Path) -> None:
    for seed in range(10):
        kill_again_and_again(tmp_path / str(seed), seed=seed, rounds=10, most_puts=300)


def ages_and_is_killed(folder: Path, seed: int) -> None:
    """Kills while segments are written anew: every chunk is whole in its new codec or its old."""
    ladder = "int8@10s,kivi4@30s,kivi2@60s"
    durable, forgotten = write_and_kill(folder, seed, 60 + seed * 37 % 150, ladder)
    with Store.open(folder, **MODEL, config=NO_CACHE) as store:
        held = [info.number for info in store.infos()]
        assert set(range(durable + 1)) - forgotten <= set(held)
        assert not forgotten & set(held)
        for number in held:
            found, chunk = store.read(number), make_chunk(number, tokens=number % 9 + 1)
            assert found.info == chunk.info
            assert found.keys.shape == chunk.keys.shape
        assert store.stats().corrupt == 0
        named = {row.place.segment for row in store._catalog.rows() if row.place}
        there = {int(path.stem) for path in segment_files(folder)}
        assert there == named | ({store._folder.segments.current} - {None})


@pytest.mark.parametrize("seed", [1, 2])
def test_a_kill_while_chunks_age_costs_nothing(tmp_path: Path, seed: int) -> None:
    ages_and_is_killed(tmp_path, seed)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(3, 23))
def test_twenty_kills_while_chunks_age_cost_nothing(tmp_path: Path, seed: int) -> None:
    ages_and_is_killed(tmp_path, seed)


# ------------------------------------------------------------------ power loss


def lose_power(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, rounds: int
) -> tuple[int, int]:
    """Write; now and then take a copy in which random pages written since the last sync of their
    file are zeros; how many durable chunks there were in all copies, and how many damaged."""
    live, rng = tmp_path / "live", random.Random(seed)
    reached: dict[str, int] = {}  # segment -> bytes on the device
    sync_data = files.sync_data

    def sync_and_remember(fd: int) -> None:
        sync_data(fd)
        reached[Path(os.readlink(f"/proc/self/fd/{fd}")).name] = os.fstat(fd).st_size

    monkeypatch.setattr(files, "sync_data", sync_and_remember)
    config = MemoryConfig(segment_bytes=60_000, commit_s=1000, ram_bytes=0)
    durable = damaged = number = 0
    with Store.open(live, **MODEL, config=config) as store:
        for turn in range(rounds):
            for _ in range(rng.randrange(1, 9)):
                put(store, number, tokens=100)
                number += 1
            if rng.random() < 0.7:
                store.sync()
            for _ in range(rng.randrange(4)):
                put(store, number, tokens=100)
                number += 1
            copy = tmp_path / f"after{turn}"
            shutil.copytree(live, copy)
            for segment in segment_files(copy):
                _tear(segment, reached.get(segment.name, 0), rng)
            with Store.open(copy, **MODEL, config=NO_CACHE) as survivor:
                for info in survivor.infos():
                    durable += 1
                    try:
                        assert_same(survivor.read(info.number), make_chunk(info.number, tokens=100))
                    except ChunkCorrupt:
                        damaged += 1
            shutil.rmtree(copy)
    return durable, damaged


def _tear(segment: Path, reached: int, rng: random.Random) -> None:
    data = bytearray(segment.read_bytes())
    for begin in range(reached - reached % PAGE, len(data), PAGE):
        first = max(begin, reached)
        if rng.random() < 0.5:
            data[first : begin + PAGE] = bytes(len(data[first : begin + PAGE]))
    segment.write_bytes(data)


def test_torn_pages_cost_nothing_that_was_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    durable, damaged = lose_power(tmp_path, monkeypatch, seed=1, rounds=12)
    assert durable > 150
    assert damaged == 0


def test_rows_before_bytes_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistake put in: rows are committed before the sync.  Wrong bytes are still never given."""
    monkeypatch.setattr(MemoryFolder, "sync_payload", lambda self: None)
    durable, damaged = lose_power(tmp_path, monkeypatch, seed=1, rounds=12)
    assert durable > 150
    assert damaged > 10


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2, 10))
def test_many_power_losses_cost_nothing_that_was_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    assert lose_power(tmp_path, monkeypatch, seed, rounds=40)[1] == 0
