"""Chunks come back layer by layer, ahead of the decoder, bit for bit or not at all."""

from __future__ import annotations

import errno
import gc
import logging
import os
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from longtake.memory import fetching, files
from longtake.memory.chunk import Chunk
from longtake.memory.codecs import LayerShape
from longtake.memory.config import MemoryConfig
from longtake.memory.fetching import AHEAD, Fetch
from longtake.memory.layout import Segment
from longtake.memory.reading import Blocks, ReadPool
from longtake.memory.store import Store
from tests.chunks import DTYPES, MODEL, make_chunk, put, same_bits
from tests.shelf import Shelf

WAIT_S = 20.0  # a deadline for what should happen at once; never slept
LAYERS = 5
SMALL = {"layers": LAYERS}
LARGE = {"layers": LAYERS, "tokens": 128, "heads": 4, "dim": 64}  # 256 KiB a layer


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    shelf = Shelf(tmp_path / "segments")
    yield shelf
    shelf.close()


@pytest.fixture
def pool() -> Iterator[ReadPool]:
    pool = ReadPool()
    yield pool
    pool.close()
    assert pool.blocks.lent_nbytes == pool.blocks.spare_nbytes == 0


def assert_layer(found: Segment | None, chunk: Chunk, layer: int) -> None:
    """Bit for bit."""
    assert found is not None
    assert same_bits(found.keys, chunk.keys[layer])
    assert same_bits(found.values, chunk.values[layer])
    assert same_bits(found.positions, chunk.positions)


def take_all(fetch: Fetch, chunks: list[Chunk], layers: int = LAYERS) -> None:
    """Every layer of a fetch that wants all these chunks in each."""
    for layer in range(layers):
        for found, chunk in zip(fetch.layer(layer), chunks, strict=True):
            assert_layer(found, chunk, layer)


# -------------------------------------------------------------------- what comes


@pytest.mark.parametrize("shape", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_layer_is_what_was_put(
    shelf: Shelf, pool: ReadPool, shape: dict[str, int], dtype: torch.dtype
) -> None:
    chunks = shelf.put(*range(6), dtype=dtype, axes=3, weights=True, **shape)
    with Fetch(shelf, pool, [range(6)] * LAYERS) as fetch:
        take_all(fetch, chunks)
    with Fetch(shelf, pool) as fetch:
        for layer in (0, 3):
            (found,) = fetch.layer(layer, [4])
            assert_layer(found, chunks[4], layer)


@pytest.mark.parametrize("codec", ["int8", "kivi4", "kivi2"])
def test_lossy_chunks_come_as_the_archive_decodes_them(
    shelf: Shelf, pool: ReadPool, codec: str
) -> None:
    shape = {"layers": 2, "heads": 2, "tokens": 40, "dim": 32}
    random = torch.Generator().manual_seed(0)
    finite = [make_chunk(number, **shape) for number in range(4)]
    for chunk in finite:
        chunk.keys.normal_(generator=random)
        chunk.values.normal_(generator=random)
    shelf.write(finite, codec)
    with Fetch(shelf, pool, [range(4)] * 2) as fetch:
        for layer in range(2):
            for number, found in enumerate(fetch.layer(layer)):
                keys, values = shelf.archive.open(shelf.rows[number]).layer(layer)
                assert found is not None
                assert same_bits(found.keys, keys) and same_bits(found.values, values)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_any_choice_of_chunks_comes_in_its_order(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Some in RAM, some on disk, of several sizes, in several segments; asked by many at once."""
    shelf = Shelf(tmp_path_factory.mktemp("shelf"), segment_bytes=8 << 10)
    pool = ReadPool(threads=data.draw(st.integers(1, 8)))
    chunks = [
        shelf.put(n, layers=3, tokens=data.draw(st.integers(1, 40)), dim=8)[0] for n in range(9)
    ]
    shelf.ram = {n: chunks[n] for n in data.draw(st.sets(st.integers(0, 8)))}
    rows = st.lists(st.integers(0, 8), max_size=9, unique=True)
    plans = data.draw(st.lists(st.lists(rows, min_size=3, max_size=3), min_size=1, max_size=3))
    ahead = data.draw(st.booleans())
    wrong: list[BaseException] = []

    def ask(plan: list[list[int]]) -> None:
        try:
            with Fetch(shelf, pool, plan if ahead else None) as fetch:
                for layer, numbers in enumerate(plan):
                    found = fetch.layer(layer, numbers)
                    for number, one in zip(numbers, found, strict=True):
                        assert_layer(one, chunks[number], layer)
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=ask, args=(plan,)) for plan in plans]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    pool.close()
    shelf.close()
    assert not wrong, wrong[0]
    assert pool.blocks.lent_nbytes == 0


def test_what_ram_has_needs_no_thread_and_is_not_copied(shelf: Shelf, pool: ReadPool) -> None:
    chunks = shelf.put(*range(3), **SMALL)
    shelf.ram = dict(enumerate(chunks))
    before = threading.active_count()
    with Fetch(shelf, pool, [range(3)] * LAYERS) as fetch:
        for layer in range(LAYERS):
            for found, chunk in zip(fetch.layer(layer), chunks, strict=True):
                assert found is not None
                assert found.keys.data_ptr() == chunk.keys[layer].data_ptr()
    assert threading.active_count() == before
    assert not shelf.opened


def test_a_header_is_read_once_for_all_layers(shelf: Shelf) -> None:
    shelf.put(*range(4), **LARGE)
    pool = ReadPool(threads=1)
    with Fetch(shelf, pool, [range(4)] * LAYERS) as fetch:
        for layer in range(LAYERS):
            fetch.layer(layer)
    pool.close()
    assert sorted(shelf.opened) == [0, 1, 2, 3]
    assert len(shelf.reads) == 4 * LAYERS


def test_a_store_gives_the_same_by_fetch_and_by_layer_while_it_is_written(tmp_path: Path) -> None:
    """Chunks in RAM, on their way, and on disk; several readers beside the writer."""
    config = MemoryConfig(ram_bytes=40_000, segment_bytes=64 << 10, commit_s=0.0)
    base = threading.active_count(), len(os.listdir("/proc/self/fd"))
    wrong: list[BaseException] = []
    with Store.open(tmp_path / "take", **MODEL, config=config) as store:
        chunks = put(store, *range(12), tokens=40, **SMALL)

        def read(seed: int) -> None:
            rng = random.Random(seed)
            try:
                for _ in range(12):
                    count = len(chunks)
                    numbers = sorted(rng.sample(range(count), 6))
                    with store.fetch([numbers] * LAYERS) as fetch:
                        for layer in range(LAYERS):
                            for number, found in zip(numbers, fetch.layer(layer), strict=True):
                                assert_layer(found, chunks[number], layer)
                                keys, values = store.layer(number, layer)
                                assert same_bits(keys, chunks[number].keys[layer])
                                assert same_bits(values, chunks[number].values[layer])
            except BaseException as error:
                wrong.append(error)

        threads = [threading.Thread(target=read, args=(seed,)) for seed in range(3)]
        for thread in threads:
            thread.start()
        for number in range(12, 60):
            chunks += put(store, number, tokens=40, **SMALL)
        for thread in threads:
            thread.join(WAIT_S)
    assert not wrong, wrong[0]
    assert (threading.active_count(), len(os.listdir("/proc/self/fd"))) == base


def test_a_closed_store_reads_no_more(tmp_path: Path) -> None:
    with Store.open(tmp_path / "take", **MODEL, config=MemoryConfig(ram_bytes=0)) as store:
        put(store, 0, **SMALL)
        fetch = store.fetch([[0]] * LAYERS)
        fetch.layer(0)
    with pytest.raises(ValueError, match="closed"):
        fetch.layer(1)
    fetch.close()


# -------------------------------------------------------------------- ahead of the decoder


class Gate:
    """A fault that holds reads of some layers back until it is opened."""

    def __init__(self, *layers: int) -> None:
        self._layers = layers
        self.open = threading.Event()
        self.came = threading.Semaphore(0)

    def __call__(self, number: int, layer: int) -> None:
        if layer in self._layers:
            self.came.release()
            assert self.open.wait(WAIT_S)


def until(claim: object) -> None:
    """Wait for what other threads are about to do."""
    assert callable(claim)
    ready = threading.Event()
    for _ in range(int(WAIT_S * 1000)):
        if claim():
            return
        ready.wait(0.001)
    raise AssertionError("it never came")


def test_the_next_two_layers_are_read_while_the_decoder_works(shelf: Shelf, pool: ReadPool) -> None:
    chunks = shelf.put(*range(3), **SMALL)
    with Fetch(shelf, pool, [range(3)] * LAYERS) as fetch:
        for layer in range(LAYERS):
            fetch.layer(layer)
            reach = min(layer + AHEAD, LAYERS - 1)
            until(lambda reach=reach: len(shelf.reads) == 3 * (reach + 1))
            assert max(read for read, _ in shelf.reads) == reach
    del chunks


def test_a_layer_is_not_kept_waiting_by_those_behind_it(shelf: Shelf, pool: ReadPool) -> None:
    chunks = shelf.put(*range(3), **SMALL)
    shelf.fault = gate = Gate(1, 2)
    with Fetch(shelf, pool, [range(3)] * 3) as fetch:
        for found, chunk in zip(fetch.layer(0), chunks, strict=True):
            assert_layer(found, chunk, 0)
        assert gate.came.acquire(timeout=WAIT_S)  # the next layer is on its way
        gate.open.set()
        for found, chunk in zip(fetch.layer(1), chunks, strict=True):
            assert_layer(found, chunk, 1)


def test_layers_are_read_in_the_order_of_the_decoder(shelf: Shelf) -> None:
    shelf.put(*range(4), **SMALL)
    pool = ReadPool(threads=1)
    with Fetch(shelf, pool, [range(4)] * LAYERS) as fetch:
        for layer in range(LAYERS):
            fetch.layer(layer)
    pool.close()
    assert shelf.reads == [(layer, n) for layer in range(LAYERS) for n in range(4)]


def test_dependent_reads_of_a_layer_go_together(shelf: Shelf, pool: ReadPool) -> None:
    """All of them are under way before the first has come."""
    chunks = shelf.put(*range(4), **SMALL)
    together = threading.Barrier(4)
    shelf.fault = lambda number, layer: together.wait(WAIT_S) and None
    with Fetch(shelf, pool) as fetch:
        for found, chunk in zip(fetch.layer(0, range(4)), chunks, strict=True):
            assert_layer(found, chunk, 0)
    assert len(shelf.threads) == 4


def test_bytes_ahead_are_bounded(
    shelf: Shelf, pool: ReadPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With room for none the decoder's own layer is read, and one read a thread beyond."""
    chunks = shelf.put(*range(12), **SMALL)
    monkeypatch.setattr(fetching, "AHEAD_BYTES", 0)
    with Fetch(shelf, pool, [range(12)] * LAYERS) as fetch:
        for layer in range(LAYERS):
            for found, chunk in zip(fetch.layer(layer), chunks, strict=True):
                assert_layer(found, chunk, layer)
            assert max(read for read, _ in shelf.reads) == layer


# -------------------------------------------------------------------- what does not come


def test_an_error_loses_one_chunk_of_one_layer(
    shelf: Shelf, pool: ReadPool, caplog: pytest.LogCaptureFixture
) -> None:
    chunks = shelf.put(*range(4), **SMALL)

    def fault(number: int, layer: int) -> None:
        if (number, layer) == (2, 1):
            raise OSError(errno.EIO, "Input/output error")

    shelf.fault = fault
    with caplog.at_level(logging.WARNING), Fetch(shelf, pool, [range(4)] * LAYERS) as fetch:
        for layer in range(LAYERS):
            for number, found in enumerate(fetch.layer(layer)):
                if (number, layer) == (2, 1):
                    assert found is None
                else:
                    assert_layer(found, chunks[number], layer)
        assert (fetch.refused, fetch.late) == (1, 0)
    assert "1 reads failed, the first because [Errno 5] Input/output error" in caplog.text


@pytest.mark.parametrize("shape", [SMALL, LARGE], ids=["small", "large"])
def test_changed_bytes_are_never_handed_out(
    shelf: Shelf, pool: ReadPool, shape: dict[str, int]
) -> None:
    chunks = shelf.put(*range(3), **shape)
    record = shelf.archive.open(shelf.rows[1])
    place, part = shelf.rows[1].place, record.header.payloads[2]
    assert place is not None
    with shelf.log.path(place.segment).open("r+b") as file:
        file.seek(place.offset + part.offset + part.nbytes // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))
    with Fetch(shelf, pool, [range(3)] * LAYERS) as fetch:
        for layer in range(LAYERS):
            for number, found in enumerate(fetch.layer(layer)):
                if (number, layer) == (1, 2):
                    assert found is None
                else:
                    assert_layer(found, chunks[number], layer)
    assert len(shelf.refusals) == 1 and "layer 2" in str(shelf.refusals[0])


def test_a_chunk_removed_meanwhile_is_left_out(shelf: Shelf, pool: ReadPool) -> None:
    chunks = shelf.put(*range(3), **LARGE)
    with Fetch(shelf, pool) as fetch:
        assert all(found is not None for found in fetch.layer(0, range(3)))
        place = shelf.rows.pop(1).place
        assert place is not None
        shelf.log.erase(place)
        first, gone, last = fetch.layer(1, range(3))
        assert gone is None
        assert_layer(first, chunks[0], 1)
        assert_layer(last, chunks[2], 1)
    with Fetch(shelf, pool, [range(3)] * LAYERS) as fetch:
        assert [found is None for found in fetch.layer(0)] == [False, True, False]


def test_a_chunk_written_anew_elsewhere_is_found_there(shelf: Shelf, pool: ReadPool) -> None:
    chunks = shelf.put(*range(3), **LARGE)
    with Fetch(shelf, pool) as fetch:
        fetch.layer(0, range(3))
        places = {shelf.rows[n].place for n in range(3)}
        shelf.log.roll()
        shelf.put(0, 1, **LARGE)
        for place in places - {shelf.rows[2].place}:
            assert place is not None
            shelf.log.erase(place)
        shelf.ram[1] = chunks[1]
        for layer in range(1, LAYERS):
            for found, chunk in zip(fetch.layer(layer, range(3)), chunks, strict=True):
                assert_layer(found, chunk, layer)
        assert fetch.refused == 0
    assert not shelf.refusals


def test_our_own_mistakes_are_not_taken_for_lost_chunks(shelf: Shelf, pool: ReadPool) -> None:
    shelf.put(*range(3), **SMALL)

    def fault(number: int, layer: int) -> None:
        raise ZeroDivisionError("a mistake")

    shelf.fault = fault
    with Fetch(shelf, pool, [range(3)] * LAYERS) as fetch, pytest.raises(ZeroDivisionError):
        fetch.layer(0)


# -------------------------------------------------------------------- patience


class Clock:
    """Seconds that rise by so much each time somebody looks."""

    def __init__(self, step_s: float) -> None:
        self._now_s, self._step_s = 0.0, step_s

    def __call__(self) -> float:
        self._now_s += self._step_s
        return self._now_s


def test_late_chunks_are_left_out_and_the_next_fetch_is_whole(shelf: Shelf, pool: ReadPool) -> None:
    chunks = shelf.put(*range(4), **SMALL)
    shelf.ram = {0: chunks[0]}
    shelf.fault = gate = Gate(*range(LAYERS))
    with Fetch(shelf, pool, [range(4)] * LAYERS, patience_s=0.5, clock=Clock(1.0)) as fetch:
        for layer in range(LAYERS):  # the first wait uses all patience up
            first, *rest = fetch.layer(layer)
            assert_layer(first, chunks[0], layer)
            assert rest == [None] * 3
        assert fetch.late == 3 * LAYERS
    gate.open.set()
    until(lambda: pool.blocks.lent_nbytes == 0)  # reads that nobody waits for end by themselves
    with Fetch(shelf, pool, [range(4)] * LAYERS) as fetch:
        take_all(fetch, chunks)


def test_what_came_in_time_is_used_when_other_chunks_are_late(shelf: Shelf, pool: ReadPool) -> None:
    chunks = shelf.put(*range(4), **SMALL)
    slow = threading.Event()
    shelf.fault = lambda number, layer: number == 3 and slow.wait(WAIT_S) and None
    with Fetch(shelf, pool, [range(4)] * 2, patience_s=0.3) as fetch:
        *rest, late = fetch.layer(0)
        assert late is None
        for found, chunk in zip(rest, chunks, strict=False):
            assert_layer(found, chunk, 0)
        slow.set()


def test_a_question_that_is_over_waits_for_nothing(shelf: Shelf, pool: ReadPool) -> None:
    shelf.put(*range(4), **SMALL)
    shelf.fault = gate = Gate(0, 1)
    over = iter([False, False, True])
    with Fetch(shelf, pool, [range(4)] * LAYERS, is_over=lambda: next(over, True)) as fetch:
        assert fetch.layer(0) == [None] * 4
    gate.open.set()


# -------------------------------------------------------------------- nothing stays behind


def test_nothing_grows_with_the_number_of_fetches(shelf: Shelf) -> None:
    """Threads, descriptors and buffers, with errors of every kind on the way."""
    shelf.put(*range(8), **LARGE)
    gc.collect()
    base = threading.active_count(), len(os.listdir("/proc/self/fd"))
    pool = ReadPool()
    kinds = [OSError(errno.EIO, "EIO"), LookupError("gone"), ZeroDivisionError("a mistake")]
    spare = 0
    for turn in range(60):

        def fault(number: int, layer: int, turn: int = turn) -> None:
            if (number + layer + turn) % 7 == 0:
                raise kinds[turn % 3]

        shelf.fault = fault
        with Fetch(shelf, pool, [range(8)] * LAYERS) as fetch:
            try:
                for layer in range(1 + turn % LAYERS):  # many end before their last layer
                    fetch.layer(layer)
            except ZeroDivisionError:
                pass
        assert threading.active_count() <= base[0] + pool.threads
        until(lambda: pool.blocks.lent_nbytes == 0)
        assert pool.blocks.spare_nbytes <= (AHEAD + 1) * 8 * (256 << 10) + 8 * (256 << 10)
        spare = max(spare, pool.blocks.spare_nbytes)
    assert spare > 0
    pool.close()
    shelf.log._descriptors.close()
    assert (threading.active_count(), len(os.listdir("/proc/self/fd"))) == base


def test_closing_the_pool_ends_a_fetch_that_waits(shelf: Shelf) -> None:
    shelf.put(*range(4), **SMALL)
    shelf.fault = gate = Gate(0)
    pool, base = ReadPool(), threading.active_count()
    told: list[str] = []

    def ask() -> None:
        try:
            with Fetch(shelf, pool, [range(4)] * LAYERS) as fetch:
                fetch.layer(0)
        except ValueError as error:
            told.append(str(error))

    asking = threading.Thread(target=ask)
    asking.start()
    assert gate.came.acquire(timeout=WAIT_S)
    closing = threading.Thread(target=pool.close)
    closing.start()
    asking.join(WAIT_S)
    assert len(told) == 1 and "is closed" in told[0]
    gate.open.set()
    closing.join(WAIT_S)
    assert threading.active_count() == base
    with pytest.raises(ValueError, match="closed"):
        Fetch(shelf, pool)


def test_short_reads_are_completed(
    shelf: Shelf, pool: ReadPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunks = shelf.put(*range(3), **LARGE)
    read = os.preadv
    monkeypatch.setattr(files.os, "preadv", lambda fd, views, at: read(fd, [views[0][:9999]], at))
    with Fetch(shelf, pool, [range(3)] * LAYERS) as fetch:
        take_all(fetch, chunks)


def test_spare_blocks_are_used_again_and_bounded() -> None:
    small, large = LayerShape(1, 1, 4, torch.float32), LayerShape(1, 8, 4, torch.float32)
    blocks = Blocks(spare_bytes=600)
    first = blocks.take(small)
    blocks.give_back(first)
    assert blocks.take(small) is first
    held = [first, *(blocks.take(large) for _ in range(3))]
    assert blocks.lent_nbytes == 32 + 3 * 256 and blocks.spare_nbytes == 0
    for block in held:
        blocks.give_back(block)
    assert blocks.lent_nbytes == 0 and blocks.spare_nbytes == 512  # the small one was oldest
    blocks.clear()
    assert blocks.spare_nbytes == 0
