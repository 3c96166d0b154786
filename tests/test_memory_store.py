"""The store returns what it was given, across RAM, disk and restart, within its budgets."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from longtake.memory.chunk import Chunk, ChunkInfo, summarize
from longtake.memory.config import MemoryConfig
from longtake.memory.files import MemoryFull
from longtake.memory.known import ChunkMissing
from longtake.memory.segments import read_head
from longtake.memory.store import Store
from tests.chunks import (
    DTYPES,
    MODEL,
    Clock,
    assert_same,
    make_chunk,
    put,
    same_bits,
    segment_files,
    vectors_of,
)

NO_CACHE = MemoryConfig(ram_bytes=0, queue_bytes=0)


# ------------------------------------------------------------------ what was put comes back


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("tokens", [1, 7, 64])
@pytest.mark.parametrize("weights", [False, True])
def test_a_chunk_comes_back_bit_for_bit_from_ram_disk_and_a_restart(
    tmp_path: Path, dtype: torch.dtype, tokens: int, weights: bool
) -> None:
    shape = {"dtype": dtype, "tokens": tokens, "weights": weights, "axes": 3, "camera": "küche"}
    with Store.open(tmp_path, **MODEL) as store:
        chunks = put(store, 0, 1, 2, wall_s=1.7e9 + 1 / 3, **shape)
        for chunk in chunks:
            assert_same(store.read(chunk.info.number), chunk)
        assert store.stats().misses == 0
    with Store.open(tmp_path, **MODEL, config=NO_CACHE) as store:
        for chunk in chunks:
            number = chunk.info.number
            assert_same(store.read(number), chunk)
            assert same_bits(store.vectors(number), vectors_of(chunk))
            positions, found = store.positions(number)
            assert same_bits(positions, chunk.positions)
            assert (found is None) == (chunk.weights is None)
            for layer in range(chunk.layers):
                keys, values = store.layer(number, layer)
                assert same_bits(keys, chunk.keys[layer])
                assert same_bits(values, chunk.values[layer])
        assert store.stats().hits == 0
        assert store.infos() == [chunk.info for chunk in chunks]


def test_large_layers_come_back_too(tmp_path: Path) -> None:
    """Layers of 64 KiB and more are laid on pages; small and large records mix in a segment."""
    with Store.open(tmp_path, **MODEL, config=NO_CACHE) as store:
        chunks = [
            make_chunk(number, heads=2, dim=64, tokens=tokens)
            for number, tokens in enumerate((3, 64, 5, 129, 63))
        ]
        for chunk in chunks:
            store.put(chunk, vectors_of(chunk))
        for chunk in chunks:
            assert_same(store.read(chunk.info.number), chunk)
            assert same_bits(store.layer(chunk.info.number, 1)[1], chunk.values[1])


def test_strides_of_what_is_put_make_no_difference(tmp_path: Path) -> None:
    plain = make_chunk(0, tokens=7)
    apart = Chunk(
        plain.info,
        plain.keys.permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0),
        torch.stack((plain.values, plain.values), -1)[..., 0],
        torch.stack((plain.positions, plain.positions), -1)[..., 0],
    )
    with Store.open(tmp_path, **MODEL) as store:
        store.put(apart, vectors_of(plain).t().contiguous().t())
        assert_same(store.read(0), plain)
    with Store.open(tmp_path, **MODEL) as store:
        assert_same(store.read(0), plain)
        assert same_bits(store.vectors(0), vectors_of(plain))


def test_what_happens_to_the_callers_tensors_later_does_not_matter(tmp_path: Path) -> None:
    window = torch.randn(2, 2, 2, 5, 4)
    positions = torch.arange(5, dtype=torch.int32)[None]
    chunk = Chunk(ChunkInfo(0, 0.0, 1.0, tokens=5), window[0], window[1], positions)
    before = window.clone()
    with Store.open(tmp_path, **MODEL) as store:
        store.put(chunk, summarize(chunk.keys))
        window.zero_()
        positions += 7
        assert same_bits(store.read(0).keys, before[0])
        assert same_bits(store.read(0).values, before[1])
        assert store.read(0).positions.tolist() == [[0, 1, 2, 3, 4]]


@settings(max_examples=25, deadline=None)
@given(
    layers=st.integers(1, 4),
    heads=st.integers(1, 3),
    tokens=st.lists(st.integers(1, 9), min_size=1, max_size=6),
    dim=st.integers(1, 5),
    segment_bytes=st.integers(1, 4000),
    ram_bytes=st.integers(0, 4000),
)
def test_any_stream_of_chunks_comes_back(
    tmp_path_factory: pytest.TempPathFactory,
    layers: int,
    heads: int,
    tokens: list[int],
    dim: int,
    segment_bytes: int,
    ram_bytes: int,
) -> None:
    folder = tmp_path_factory.mktemp("any")
    config = MemoryConfig(segment_bytes=segment_bytes, ram_bytes=ram_bytes)
    shape = {"layers": layers, "heads": heads, "dim": dim}
    with Store.open(folder, **MODEL, config=config) as store:
        chunks = [put(store, n, tokens=count, **shape)[0] for n, count in enumerate(tokens)]
        for chunk in chunks:
            assert_same(store.read(chunk.info.number), chunk)
            assert store.stats().ram_bytes <= ram_bytes
    with Store.open(folder, **MODEL, config=config) as store:
        for chunk in chunks:
            assert_same(store.read(chunk.info.number), chunk)


def test_a_memory_goes_on_where_it_stopped(tmp_path: Path) -> None:
    small = MemoryConfig(segment_bytes=2000, ram_bytes=0)
    chunks = []
    for start in (0, 4, 8):
        with Store.open(tmp_path, **MODEL, config=small) as store:
            assert len(store) == start
            chunks += put(store, *range(start, start + 4))
    assert len(segment_files(tmp_path)) > 2
    with Store.open(tmp_path, **MODEL, config=NO_CACHE) as store:
        for chunk in chunks:
            assert_same(store.read(chunk.info.number), chunk)


def test_without_a_folder_it_lives_as_long_as_the_store() -> None:
    with Store.open(None, **MODEL, config=NO_CACHE) as store:
        (chunk,) = put(store, 0)
        assert_same(store.read(0), chunk)
        folder = store.folder
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert not folder.exists()


# ------------------------------------------------------------------ finding


def test_search_vectors_of_all_chunks_come_back_in_order(tmp_path: Path) -> None:
    with Store.open(tmp_path, **MODEL) as store:
        empty = store.all_vectors()
        assert empty[0].tolist() == []
        chunks = put(store, 0, 1, 2, 5)
        numbers, vectors = store.all_vectors()
        assert numbers.tolist() == [0, 1, 2, 5]
        assert same_bits(vectors, torch.stack([vectors_of(chunk) for chunk in chunks], 1))
        numbers, vectors = store.all_vectors(1, 5)
        assert numbers.tolist() == [1, 2]
        assert vectors.shape == (2, 2, 8)


def test_chunks_are_found_by_number_and_time(tmp_path: Path) -> None:
    def check(store: Store) -> None:
        assert [info.number for info in store.infos()] == [0, 1, 2, 5]
        assert [info.number for info in store.infos(1, 5)] == [1, 2]
        assert [info.number for info in store.infos(3)] == [5]
        assert store.span(1.6, 2.0) == (1, 2)  # chunk n lies from n + 0.1 to n + 0.6 s
        assert store.span(0.65, 5.1) == (1, 6)
        assert store.span(2.7, 5.0) == (0, 0)
        assert 5 in store
        assert 3 not in store
        assert len(store) == 4

    with Store.open(tmp_path, **MODEL) as store:
        put(store, 0, 1)
        assert len(store.infos()) == 2
        store.sync()
        put(store, 2, 5)  # half of them durable
        check(store)
    with Store.open(tmp_path, **MODEL) as store:
        check(store)


def test_what_is_not_there_says_so(tmp_path: Path) -> None:
    with Store.open(tmp_path, **MODEL) as store:
        put(store, 0)
        for read in (store.read, store.info, store.vectors, store.positions):
            with pytest.raises(ChunkMissing, match="no chunk 7"):
                read(7)
        for index in (-1, 2):
            with pytest.raises(IndexError, match="chunk 0 has 2"):
                store.layer(0, index)
    with Store.open(tmp_path, **MODEL) as store, pytest.raises(IndexError, match="chunk 0 has 2"):
        store.layer(0, 2)


# ------------------------------------------------------------------ putting


def test_putting_a_chunk_again_changes_nothing(tmp_path: Path) -> None:
    with Store.open(tmp_path, **MODEL) as store:
        chunks = put(store, 0, 1)
        before = store.stats().disk_bytes
        put(store, 0, 1)
        assert store.stats().disk_bytes == before
        assert_same(store.read(0), chunks[0])
    with Store.open(tmp_path, **MODEL) as store:
        put(store, 0)
        assert len(store) == 2


def test_a_number_never_changes_its_chunk_and_none_is_inserted(tmp_path: Path) -> None:
    with Store.open(tmp_path, **MODEL) as store:
        put(store, 0, 2)
        other = make_chunk(2)
        other = Chunk(replace(other.info, end_s=9.0), other.keys, other.values, other.positions)
        with pytest.raises(ValueError, match="that number is"):
            store.put(other, vectors_of(other))
        with pytest.raises(ValueError, match="the newest is 2"):
            put(store, 1)
        assert len(store) == 2


def test_a_chunk_of_another_geometry_is_refused_also_after_a_restart(tmp_path: Path) -> None:
    with Store.open(tmp_path, **MODEL) as store:
        put(store, 0)
        with pytest.raises(ValueError, match=r"\(2, 2, 4\)"):
            put(store, 1, layers=3)
    with Store.open(tmp_path, **MODEL) as store:
        with pytest.raises(ValueError, match=r"\(2, 2, 4\)"):
            put(store, 1, dim=8)
        chunk = make_chunk(1)
        with pytest.raises(ValueError, match=r"search vectors \[2, 3\], expected \[2, 8\]"):
            store.put(chunk, torch.zeros(2, 3))
        put(store, 1, tokens=9, dtype=torch.float16)
        assert len(store) == 2


def test_any_camera_name_can_be_kept(tmp_path: Path) -> None:
    names = ["", "wrist", "küche 👀", "x" * 5000]
    with Store.open(tmp_path, **MODEL, config=NO_CACHE) as store:
        for number, name in enumerate(names):
            put(store, number, camera=name)
        assert [store.read(number).info.camera for number in range(4)] == names
        assert [info.camera for info in store.infos()] == names


# ------------------------------------------------------------------ budgets


def test_ram_stays_within_its_bound_and_every_chunk_is_readable(tmp_path: Path) -> None:
    one = make_chunk(0).nbytes
    with Store.open(tmp_path, **MODEL, config=MemoryConfig(ram_bytes=3 * one + 1)) as store:
        chunks = []
        for number in range(10):
            chunks += put(store, number)
            assert store.stats().ram_bytes <= 3 * one
        store.sync()  # until then they are read from the queue
        for chunk in chunks * 2:
            assert_same(store.read(chunk.info.number), chunk)
            assert store.stats().ram_bytes <= 3 * one
        hits = store.stats().hits
        store.read(9)
        store.read(8)
        store.read(9)
        assert store.stats().hits == hits + 3  # the ones used last are kept
        assert store.stats().misses > 0


def test_disk_bytes_stops_the_put_and_names_the_way_out(tmp_path: Path) -> None:
    limit = 400_000
    config = MemoryConfig(disk_bytes=limit, ladder="none", queue_bytes=0)
    with Store.open(tmp_path, **MODEL, config=config) as store:
        chunks = []
        with pytest.raises(MemoryFull, match=r"disk_bytes=400000.*--disk-bytes"):
            for number in range(1000):
                chunks += put(store, number, tokens=64)
        assert 10 < len(chunks) == len(store)
        assert sum(path.stat().st_size for path in segment_files(tmp_path)) <= limit
    with Store.open(tmp_path, **MODEL, config=NO_CACHE) as store:
        for chunk in chunks:
            assert_same(store.read(chunk.info.number), chunk)
        put(store, len(chunks))  # a larger budget, and it goes on


def test_a_small_chunk_is_not_blown_up_on_disk(tmp_path: Path) -> None:
    with Store.open(tmp_path, **MODEL) as store:
        chunks = put(store, *range(100), layers=4, heads=2, tokens=26, dim=32)
    payload = sum(chunk.nbytes for chunk in chunks)
    assert payload > 100 * 53_000
    segments = sum(path.stat().st_size for path in segment_files(tmp_path))
    folder = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    assert segments <= 1.1 * payload
    assert folder <= 1.1 * payload


def test_a_tiny_chunk_costs_its_bytes_and_a_stated_header(tmp_path: Path) -> None:
    """Beyond tensors and search vectors: 192 bytes, 24 a layer, and up to 63 to the next record;
    a segment's head comes once."""
    with Store.open(tmp_path, **MODEL) as store:
        (chunk,) = put(store, 0, layers=3, heads=1, tokens=1, dim=2)
    vectors_nbytes = 3 * 2 * 4
    (segment,) = segment_files(tmp_path)
    head = read_head(segment)
    assert head is not None
    allowed = chunk.nbytes + vectors_nbytes + 192 + 3 * 24 + 63
    assert segment.stat().st_size - head.nbytes <= allowed


# ------------------------------------------------------------------ durability and notes


def test_chunks_become_durable_in_groups_by_the_clock(tmp_path: Path) -> None:
    clock = Clock()
    config = MemoryConfig(commit_s=1.0)
    with Store.open(tmp_path, **MODEL, config=config, clock=clock) as store:
        put(store, 0, 1)
        assert (store.stats().chunks, store.stats().durable) == (2, 0)
        clock.now_s += 1.0
        put(store, 2)
        assert (store.stats().chunks, store.stats().durable) == (3, 3)
        clock.now_s += 0.5
        put(store, 3)
        assert store.stats().durable == 3
        store.sync()
        assert store.stats().durable == 4


def test_every_chunk_is_durable_at_once_where_that_is_wished(tmp_path: Path) -> None:
    with Store.open(tmp_path, **MODEL, config=MemoryConfig(commit_s=0), clock=Clock()) as store:
        for number in range(3):
            put(store, number)
            assert store.stats().durable == number + 1


def test_notes_come_back_and_go_with_the_chunks(tmp_path: Path) -> None:
    value = {"sources": ["a", 1, 2.5, None, True], "π": 3.14159}
    with Store.open(tmp_path, **MODEL, clock=Clock()) as store:
        assert store.noted("state") is None
        assert store.noted("state", 7) == 7
        put(store, 0)
        store.note("state", value)
        value["sources"] = "changed later"
        assert store.noted("state")["sources"] == ["a", 1, 2.5, None, True]
        with Store.open(tmp_path, **MODEL, read_only=True) as reader:
            assert (len(reader), reader.noted("state")) == (0, None)
            store.sync()
            assert (len(reader), reader.noted("state")["π"]) == (1, 3.14159)
        store.note("state", [1])
        store.note("state", [2])
        with pytest.raises(TypeError):
            store.note("state", object())
    with Store.open(tmp_path, **MODEL) as store:
        assert store.noted("state") == [2]


def test_pictures_become_durable_with_the_chunks(tmp_path: Path) -> None:
    image = torch.zeros(8, 8, 3, dtype=torch.uint8).numpy()
    with Store.open(tmp_path, **MODEL, clock=Clock()) as store:
        put(store, 0)
        store.album.put(0, image)
        store.sync()
        with Store.open(tmp_path, **MODEL, read_only=True) as reader:
            assert reader.album.jpeg(0) == store.album.jpeg(0) is not None
    with Store.open(tmp_path, **MODEL) as store:
        assert store.album.jpeg(0) is not None
