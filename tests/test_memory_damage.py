"""Whatever happens to the files: never wrong bytes, and what is whole stays readable."""

from __future__ import annotations

import errno
import os
import random
import resource
import shutil
import sqlite3
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import xxhash

from longtake.memory import files
from longtake.memory.chunk import Chunk
from longtake.memory.config import MemoryConfig
from longtake.memory.files import MemoryDamaged, MemoryFull
from longtake.memory.known import ChunkMissing
from longtake.memory.record import ChunkCorrupt, Header, MemoryFromFuture, parse_header
from longtake.memory.segments import read_head
from longtake.memory.store import Store
from tests.chunks import MODEL, assert_same, make_chunk, put, same_bits, segment_files, vectors_of

NO_CACHE = MemoryConfig(ram_bytes=0, queue_bytes=0)


def written(folder: Path, count: int = 4, **shape: Any) -> list[Chunk]:
    """A memory of `count` chunks, closed."""
    with Store.open(folder, **MODEL) as store:
        return put(store, *range(count), **shape)


def places(folder: Path) -> list[tuple[int, int]]:
    """Offset and length of each record, as the catalog has them."""
    catalog = sqlite3.connect(folder / "catalog.sqlite")
    found = catalog.execute("SELECT offset, nbytes FROM chunks ORDER BY number").fetchall()
    catalog.close()
    return [(int(offset), int(nbytes)) for offset, nbytes in found]


def headers(folder: Path) -> list[tuple[int, Header]]:
    """Offset and header of each record in the first segment."""
    data = segment_files(folder)[0].read_bytes()
    return [(offset, parse_header(data[offset:])) for offset, _ in places(folder)]


def patch(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def rewrite_header(folder: Path, change: Callable[[bytearray], None]) -> None:
    """Change the first record's header and make its checksum right again."""
    (segment,) = segment_files(folder)
    (at, _), *_ = places(folder)
    data = segment.read_bytes()[at:]
    (nbytes,) = struct.unpack_from("<I", data, 12)
    body = bytearray(data[: nbytes - 8])
    change(body)
    patch(segment, at, bytes(body) + struct.pack("<Q", xxhash.xxh3_64_intdigest(bytes(body))))


# ------------------------------------------------------------------ changed bytes


def test_a_changed_byte_anywhere_in_a_header_is_refused(tmp_path: Path) -> None:
    written(tmp_path, weights=True, camera="door")
    (segment,) = segment_files(tmp_path)
    offset, header = headers(tmp_path)[1]
    data = segment.read_bytes()
    with Store.open(tmp_path, **MODEL, config=NO_CACHE) as store:
        for at in range(offset, offset + header.positions.offset):
            patch(segment, at, bytes([data[at] ^ 0x40]))
            for read in (store.read, store.vectors, store.positions):
                with pytest.raises(ChunkCorrupt, match=r"chunk 1 .* is damaged"):
                    read(1)
            with pytest.raises(ChunkCorrupt, match="Other chunks are not touched"):
                store.layer(1, 0)
            patch(segment, at, data[at : at + 1])
        assert store.read(1).info.camera == "door"


def test_a_changed_byte_in_a_part_is_refused_and_the_other_parts_are_not(tmp_path: Path) -> None:
    chunk = written(tmp_path, weights=True)[1]
    (segment,) = segment_files(tmp_path)
    offset, header = headers(tmp_path)[1]
    data = segment.read_bytes()
    assert header.weights is not None
    small = [("positions", header.positions), ("weights", header.weights)]
    parts = [*small, ("vectors", header.vectors), *(("layer", p) for p in header.payloads)]
    with Store.open(tmp_path, **MODEL, config=NO_CACHE) as store:
        for index, (kind, part) in enumerate(parts):
            for at in range(part.offset, part.offset + part.nbytes):
                patch(segment, offset + at, bytes([data[offset + at] ^ 1]))
                if kind == "vectors":
                    assert_same(store.read(1), chunk)
                    with pytest.raises(ChunkCorrupt, match="vectors"):
                        store.vectors(1)
                else:
                    with pytest.raises(ChunkCorrupt, match=kind):
                        store.read(1)
                    assert same_bits(store.vectors(1), vectors_of(chunk))
                for layer in range(2):
                    if index == len(parts) - 2 + layer:
                        with pytest.raises(ChunkCorrupt, match=f"layer {layer}"):
                            store.layer(1, layer)
                    else:
                        assert same_bits(store.layer(1, layer)[0], chunk.keys[layer])
                patch(segment, offset + at, data[offset + at : offset + at + 1])
        assert_same(store.read(1), chunk)


def test_damage_is_counted_and_left_out_of_the_index(tmp_path: Path) -> None:
    chunks = written(tmp_path)
    offset, header = headers(tmp_path)[2]
    patch(segment_files(tmp_path)[0], offset + header.vectors.offset, b"\xff\xff\xff\xff")
    with Store.open(tmp_path, **MODEL) as store:
        numbers, vectors = store.all_vectors()
        assert numbers.tolist() == [0, 1, 3]
        assert vectors.shape == (2, 3, 8)
        assert same_bits(vectors[:, 2], vectors_of(chunks[3]))
        assert store.stats().corrupt == 1


def test_whole_records_in_the_wrong_place_are_refused(tmp_path: Path) -> None:
    written(tmp_path)
    (segment,) = segment_files(tmp_path)
    (first, nbytes), (second, also_nbytes) = places(tmp_path)[:2]
    assert nbytes == also_nbytes
    data = segment.read_bytes()
    patch(segment, first, data[second : second + nbytes])
    patch(segment, second, data[first : first + nbytes])
    with Store.open(tmp_path, **MODEL) as store:
        for number in (0, 1):
            with pytest.raises(ChunkCorrupt, match="the record found there is"):
                store.read(number)
        store.read(2)


def test_a_segment_of_another_models_memory_is_refused(tmp_path: Path) -> None:
    written(tmp_path / "a")
    with Store.open(tmp_path / "b", model="tiny", fingerprint="other") as store:
        put(store, 0, 1, 2, 3)
    shutil.copy(segment_files(tmp_path / "b")[0], segment_files(tmp_path / "a")[0])
    with Store.open(tmp_path / "a", **MODEL) as store:
        for number in range(4):
            with pytest.raises(ChunkCorrupt, match="another model"):
                store.read(number)


def test_a_header_alone_says_what_the_catalog_says(tmp_path: Path) -> None:
    """So the catalog can be rebuilt from the segments."""
    chunks = written(tmp_path, camera="door", wall_s=1.5, dtype=torch.bfloat16, axes=3)
    (segment,) = segment_files(tmp_path)
    data, head = segment.read_bytes(), read_head(segment)
    assert head is not None
    assert (head.model, head.fingerprint, head.key_bias) == ("tiny", "abc", None)
    offset = head.nbytes
    for chunk, place in zip(chunks, places(tmp_path), strict=True):
        header = parse_header(data[offset:])
        assert place == (offset, header.record_nbytes)
        assert header.info == chunk.info
        assert (header.layers, header.heads, header.dim, header.axes) == (2, 2, 4, 3)
        assert (header.dtype, header.codec, header.codec_version) == (torch.bfloat16, "raw", 1)
        offset += header.record_nbytes
    assert offset == len(data)


def test_records_are_packed_tightly_and_large_layers_lie_on_pages(tmp_path: Path) -> None:
    with Store.open(tmp_path, **MODEL) as store:
        for number, tokens in enumerate((3, 128, 5, 4, 129)):
            put(store, number, heads=2, dim=64, tokens=tokens)
    found = headers(tmp_path)
    for offset, header in found:
        large = header.payloads[0].nbytes >= 64 << 10
        assert offset % (4096 if large else 64) == 0
        if large:
            assert all((offset + part.offset) % 4096 == 0 for part in header.payloads)
    (third, after), (fourth, _) = found[2], found[3]
    assert fourth == third + after.record_nbytes


# ------------------------------------------------------------------ newer formats


def newer_format(body: bytearray) -> None:
    struct.pack_into("<I", body, 8, 2)


def newer_codec(body: bytearray) -> None:
    at = body.index(b"raw")
    body[at : at + 3] = b"new"


@pytest.mark.parametrize("change", [newer_format, newer_codec])
def test_a_record_of_a_newer_longtake_is_refused_as_such(
    tmp_path: Path, change: Callable[[bytearray], None]
) -> None:
    written(tmp_path)
    rewrite_header(tmp_path, change)
    with Store.open(tmp_path, **MODEL) as store:
        with pytest.raises(MemoryFromFuture, match=r"[Uu]pgrade longtake"):
            store.read(0)
        store.read(1)


def test_a_memory_of_a_newer_longtake_is_refused_and_left_alone(tmp_path: Path) -> None:
    written(tmp_path)
    catalog = sqlite3.connect(tmp_path / "catalog.sqlite")
    with catalog:
        catalog.execute("UPDATE take SET format = 3")
    catalog.close()
    for read_only in (False, True):
        with pytest.raises(MemoryFromFuture, match="format 3, this longtake reads up to 2"):
            Store.open(tmp_path, **MODEL, read_only=read_only)


# ------------------------------------------------------------------ torn and missing files


def test_a_tail_torn_anywhere_costs_only_what_it_held(tmp_path: Path) -> None:
    origin = tmp_path / "origin"
    chunks = written(origin, 5)
    ends = [offset + nbytes for offset, nbytes in places(origin)]
    rng = random.Random(1)
    edges = [end + shift for end in ends for shift in (-1, 0)]
    for cut in [0, 1, *edges, *rng.sample(range(ends[-1]), 8)]:
        folder = tmp_path / f"cut{cut}"
        if folder.exists():
            continue
        shutil.copytree(origin, folder)
        os.truncate(segment_files(folder)[0], cut)
        whole = sum(end <= cut for end in ends)
        with Store.open(folder, **MODEL, config=NO_CACHE) as store:
            assert len(store) == whole
            assert store.stats().dropped == 5 - whole
            put(store, *range(whole, 6))
        with Store.open(folder, **MODEL, config=NO_CACHE) as store:
            assert store.stats().dropped == 0
            for chunk in [*chunks, make_chunk(5)]:
                assert_same(store.read(chunk.info.number), chunk)
    assert len(list(tmp_path.glob("cut*"))) >= 15


def test_what_lies_behind_the_last_row_is_cut(tmp_path: Path) -> None:
    chunks = written(tmp_path)
    (segment,) = segment_files(tmp_path)
    size = segment.stat().st_size
    with segment.open("ab") as file:
        file.write(os.urandom(10_000))
    (tmp_path / "segments" / "000001.kvseg").write_bytes(os.urandom(500))
    with Store.open(tmp_path, **MODEL, config=NO_CACHE) as store:
        assert [path.stat().st_size for path in segment_files(tmp_path)] == [size]
        assert store.stats().dropped == 0
        chunks += put(store, 4)
        for chunk in chunks:
            assert_same(store.read(chunk.info.number), chunk)


def test_a_memory_killed_before_its_first_row_opens_empty(tmp_path: Path) -> None:
    written(tmp_path, 0)
    segment = tmp_path / "segments" / "000000.kvseg"
    segment.write_bytes(os.urandom(5000))
    with Store.open(tmp_path, **MODEL) as store:
        assert len(store) == 0
        assert not segment.exists()
        put(store, 0)
    with Store.open(tmp_path, **MODEL) as store:
        assert_same(store.read(0), make_chunk(0))


def test_a_memory_killed_while_it_was_made_opens_empty(tmp_path: Path) -> None:
    (tmp_path / "catalog.sqlite").touch()
    with Store.open(tmp_path, **MODEL) as store:
        assert len(store) == 0


@pytest.mark.parametrize("missing", [0, 1, -1])
def test_a_missing_segment_costs_only_its_own_chunks(tmp_path: Path, missing: int) -> None:
    small = MemoryConfig(segment_bytes=2200, ram_bytes=0)
    with Store.open(tmp_path, **MODEL, config=small) as store:
        chunks = put(store, *range(6))
    segments = segment_files(tmp_path)
    assert len(segments) == 3
    gone = segments[missing]
    kept = gone.rename(tmp_path / "kept")
    with Store.open(tmp_path, **MODEL, config=small) as store:
        lost = []
        for chunk in chunks:
            try:
                assert_same(store.read(chunk.info.number), chunk)
            except ChunkCorrupt as error:
                assert "is missing" in str(error)
                lost.append(chunk.info.number)
        assert len(lost) == 2
        chunks += put(store, 6, 7, 8)
    kept.rename(gone)
    with Store.open(tmp_path, **MODEL, config=small) as store:
        for chunk in chunks:
            assert_same(store.read(chunk.info.number), chunk)


def test_segments_without_their_catalog_are_not_touched(tmp_path: Path) -> None:
    written(tmp_path)
    (tmp_path / "catalog.sqlite").unlink()
    (segment,) = segment_files(tmp_path)
    before = segment.read_bytes()
    with pytest.raises(MemoryDamaged, match=r"no catalog\.sqlite"):
        Store.open(tmp_path, **MODEL)
    assert segment.read_bytes() == before


def test_an_old_copy_of_the_catalog_does_not_cost_the_newer_segments(tmp_path: Path) -> None:
    small = MemoryConfig(segment_bytes=900)
    with Store.open(tmp_path, **MODEL, config=small) as store:
        put(store, 0)
    old = (tmp_path / "catalog.sqlite").read_bytes()
    with Store.open(tmp_path, **MODEL, config=small) as store:
        put(store, 1, 2, 3)
    (tmp_path / "catalog.sqlite").write_bytes(old)
    before = {path: path.read_bytes() for path in segment_files(tmp_path)}
    with pytest.raises(MemoryDamaged, match="not in the catalog"):
        Store.open(tmp_path, **MODEL, config=small)
    assert before == {path: path.read_bytes() for path in segment_files(tmp_path)}


def test_a_catalog_that_is_no_database_is_refused(tmp_path: Path) -> None:
    written(tmp_path)
    patch(tmp_path / "catalog.sqlite", 0, b"this is not a database at all" * 40)
    for read_only in (False, True):
        with pytest.raises(MemoryDamaged, match=r"catalog\.sqlite.*segments"):
            Store.open(tmp_path, **MODEL, read_only=read_only)


# ------------------------------------------------------------------ a disk that fails


def test_a_full_disk_fails_that_put_only(tmp_path: Path) -> None:
    """A file size limit stands in for a full disk."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Store.open(tmp_path, **MODEL, config=NO_CACHE) as store:
        chunks = put(store, 0, 1, 2, tokens=2000)
        store.sync()
        end = segment_files(tmp_path)[0].stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (end + 70_000, hard))
        try:
            for _ in range(2):
                with pytest.raises(MemoryFull, match="earlier chunks are kept") as full:
                    put(store, 3, tokens=2000)
                assert full.value.errno == errno.EFBIG
                assert segment_files(tmp_path)[0].stat().st_size == end
                with pytest.raises(ChunkMissing):
                    store.read(3)
            chunks += put(store, 3, tokens=5)  # one that fits
            for chunk in chunks:
                assert_same(store.read(chunk.info.number), chunk)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        chunks += put(store, 4, tokens=2000)
    with Store.open(tmp_path, **MODEL, config=NO_CACHE) as store:
        assert len(store) == 5
        for chunk in chunks:
            assert_same(store.read(chunk.info.number), chunk)


def test_a_failed_write_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail_half_way(fd: int, data: bytes, offset: int) -> None:
        os.pwrite(fd, data[: len(data) // 2], offset)
        raise OSError(errno.EIO, "Input/output error")

    with Store.open(tmp_path, **MODEL, config=NO_CACHE) as store:
        put(store, 0)
        end = segment_files(tmp_path)[0].stat().st_size
        with monkeypatch.context() as broken:
            broken.setattr(files, "write_all", fail_half_way)
            with pytest.raises(OSError, match="Input/output error"):
                put(store, 1)
        assert segment_files(tmp_path)[0].stat().st_size == end
        put(store, 1)
        assert_same(store.read(1), make_chunk(1))


def test_no_row_is_committed_before_its_bytes_are_on_disk_and_no_failed_sync_is_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    def seen_by_others() -> list[int]:
        with Store.open(tmp_path, **MODEL, read_only=True) as reader:
            return [info.number for info in reader.infos()]

    config = MemoryConfig(commit_s=1000, ram_bytes=0)
    synced: list[int] = []
    sync_data = files.sync_data
    with Store.open(tmp_path, **MODEL, config=config) as store:
        chunks = put(store, 0)
        store.sync()
        chunks += put(store, 1)
        with monkeypatch.context() as broken:
            broken.setattr(files, "sync_data", fail)
            for _ in range(2):
                with pytest.raises(OSError, match="Input/output error"):
                    store.sync()
                assert seen_by_others() == [0]
            for chunk in chunks:
                assert_same(store.read(chunk.info.number), chunk)
        failed = segment_files(tmp_path)
        monkeypatch.setattr(
            files, "sync_data", lambda fd: (synced.append(_inode(fd)), sync_data(fd))
        )
        chunks += put(store, 2)
        store.sync()
        assert seen_by_others() == [0, 1, 2]
    assert not set(synced) & {path.stat().st_ino for path in failed if path.exists()}
    with Store.open(tmp_path, **MODEL, config=NO_CACHE) as store:
        for chunk in chunks:
            assert_same(store.read(chunk.info.number), chunk)


def _inode(fd: int) -> int:
    return os.fstat(fd).st_ino


def test_a_power_loss_costs_nothing_that_was_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worst it may do: every byte and every file name since the last sync is gone."""
    reached: dict[str, int] = {}  # segment -> bytes on the device
    named: set[str] = set()  # segments whose names are on the device
    sync_data, sync_folder = files.sync_data, files.sync_folder

    def sync_and_remember(fd: int) -> None:
        sync_data(fd)
        for segment in segment_files(tmp_path / "live"):
            if os.path.samestat(os.fstat(fd), segment.stat()):
                reached[segment.name] = os.fstat(fd).st_size

    def sync_names_and_remember(path: Path) -> None:
        sync_folder(path)
        named.update(segment.name for segment in path.glob("*.kvseg"))

    monkeypatch.setattr(files, "sync_data", sync_and_remember)
    monkeypatch.setattr(files, "sync_folder", sync_names_and_remember)
    config = MemoryConfig(segment_bytes=2200, commit_s=1000, ram_bytes=0)
    with Store.open(tmp_path / "live", **MODEL, config=config) as store:
        for number in range(12):  # a segment holds 2, a commit comes with each new one
            put(store, number)
            if number == 6:
                store.sync()
            after = tmp_path / f"after{number}"
            shutil.copytree(tmp_path / "live", after)
            for segment in segment_files(after):
                if segment.name in named:
                    os.truncate(segment, reached.get(segment.name, 0))
                else:
                    segment.unlink()
            durable = store.stats().durable
            with Store.open(after, **MODEL, config=config) as survivor:
                assert survivor.stats().dropped == 0
                assert len(survivor) == durable >= number - 1
                for kept in range(durable):
                    assert_same(survivor.read(kept), make_chunk(kept))


def test_a_put_whose_commit_fails_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = MemoryConfig(commit_s=0, ram_bytes=0, queue_bytes=0)
    with Store.open(tmp_path, **MODEL, config=config) as store:
        chunks = put(store, 0)
        end = segment_files(tmp_path)[0].stat().st_size

        def fail() -> None:
            raise MemoryFull("no room for the row")

        with monkeypatch.context() as broken:
            broken.setattr(store._catalog, "commit", fail)
            with pytest.raises(MemoryFull):
                put(store, 1)
        assert 1 not in store
        assert segment_files(tmp_path)[0].stat().st_size == end
        chunks += put(store, 1)
    with Store.open(tmp_path, **MODEL, config=NO_CACHE) as store:
        for chunk in chunks:
            assert_same(store.read(chunk.info.number), chunk)


def test_short_writes_and_reads_are_completed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, read = os.pwrite, os.preadv
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: write(fd, data[:100], at))
    monkeypatch.setattr(os, "preadv", lambda fd, views, at: read(fd, [views[0][:70]], at))
    with Store.open(tmp_path, **MODEL, config=NO_CACHE) as store:
        for chunk in put(store, 0, 1):
            assert_same(store.read(chunk.info.number), chunk)
            assert same_bits(store.layer(chunk.info.number, 1)[0], chunk.keys[1])
