"""Chunks on their way to the disk: bounded, in order, and nothing lost where the disk fails."""

from __future__ import annotations

import errno
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from longtake.memory import files, staging
from longtake.memory.ageing import Ager
from longtake.memory.album import Album
from longtake.memory.catalog import Catalog
from longtake.memory.chunk import Chunk
from longtake.memory.config import MemoryConfig
from longtake.memory.encoding import Encoder
from longtake.memory.files import MemoryFull
from longtake.memory.store import Store
from tests.chunks import (
    MODEL,
    assert_same,
    make_chunk,
    put,
    same_bits,
    segment_files,
    vectors_of,
)

CHUNK = make_chunk(0).nbytes
SOON_S = 20.0  # a wait that never ends in a test that passes


class Disk:
    """A disk that stands still while it is held."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._may_write, self._is_waiting = threading.Event(), threading.Event()
        self._may_write.set()
        write_all = files.write_all

        def wait_and_write(fd: int, data: bytes, offset: int) -> None:
            self._is_waiting.set()
            assert self._may_write.wait(SOON_S)
            write_all(fd, data, offset)

        monkeypatch.setattr(files, "write_all", wait_and_write)

    def hold(self) -> None:
        self._is_waiting.clear()
        self._may_write.clear()

    def wait_until_held(self) -> None:
        assert self._is_waiting.wait(SOON_S)

    def let_go(self) -> None:
        self._may_write.set()


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


def give(store: Store, number: int, **shape: Any) -> tuple[Chunk, bool]:
    """Put without waiting until it is written."""
    chunk = make_chunk(number, **shape)
    return chunk, store.put(chunk, vectors_of(chunk))


def reopened(folder: Path) -> Store:
    return Store.open(folder, **MODEL, config=MemoryConfig(ram_bytes=0))


# ------------------------------------------------------------------ a disk that stalls


def test_a_stalled_disk_stalls_nobody_while_the_queue_has_room(tmp_path: Path, disk: Disk) -> None:
    with Store.open(tmp_path, **MODEL, config=MemoryConfig(queue_bytes=10 * CHUNK)) as store:
        put(store, 0)
        disk.hold()
        chunks = [give(store, number)[0] for number in range(1, 10)]  # none of these waits
        disk.wait_until_held()
        for chunk in chunks:  # readable on their way, and nothing of it needs the disk
            assert_same(store.read(chunk.info.number), chunk)
            assert same_bits(store.layer(chunk.info.number, 1)[0], chunk.keys[1])
        assert [info.number for info in store.infos()] == list(range(10))
        store.note("state", 7)
        assert store.noted("state") == 7
        stats = store.stats()
        assert (stats.chunks, stats.durable, stats.queued) == (10, 0, 10)
        assert stats.queued_bytes >= 9 * CHUNK
        disk.let_go()
    with reopened(tmp_path) as store:
        for chunk in chunks:
            assert_same(store.read(chunk.info.number), chunk)
        assert store.noted("state") == 7


def test_block_waits_for_room_and_no_longer(tmp_path: Path, disk: Disk) -> None:
    with Store.open(tmp_path, **MODEL, config=MemoryConfig(queue_bytes=3 * CHUNK)) as store:
        put(store, 0)
        disk.hold()
        for number in (1, 2, 3):
            give(store, number)
        is_in = threading.Event()
        waiting = threading.Thread(target=lambda: (give(store, 4), is_in.set()))
        waiting.start()
        assert not is_in.wait(0.2)
        assert store.stats().queued_bytes <= 5 * CHUNK
        disk.let_go()
        assert is_in.wait(SOON_S)
        waiting.join()
    with reopened(tmp_path) as store:
        assert len(store) == 5


def test_drop_says_so_and_leaves_a_gap(tmp_path: Path, disk: Disk) -> None:
    config = MemoryConfig(queue_bytes=3 * CHUNK, back_pressure="drop")
    with Store.open(tmp_path, **MODEL, config=config) as store:
        put(store, 0)
        disk.hold()
        taken = [give(store, number)[1] for number in range(1, 7)]
        assert taken == [True] * 3 + [False] * 3
        disk.let_go()
        store.sync()
        assert store.stats().refused == 3
        assert give(store, 7)[1]
        store.sync()
        (gap,) = store.gaps()
        assert (gap.start_s, gap.end_s) == (pytest.approx(4.1), pytest.approx(6.6))
        assert (gap.chunks, gap.reason) == (3, "dropped")
    with reopened(tmp_path) as store:
        assert [info.number for info in store.infos()] == [0, 1, 2, 3, 7]
        assert store.gaps() == [gap]
        assert store.next_number == 8


def test_a_dropped_chunk_keeps_its_number_also_when_it_was_the_last(
    tmp_path: Path, disk: Disk
) -> None:
    config = MemoryConfig(queue_bytes=CHUNK, back_pressure="drop")
    with Store.open(tmp_path, **MODEL, config=config) as store:
        put(store, 0)
        disk.hold()
        assert [give(store, number)[1] for number in (1, 2)] == [True, False]
        disk.let_go()
    with reopened(tmp_path) as store:
        assert store.next_number == 3


def test_degrade_keeps_every_chunk_in_fewer_bits(tmp_path: Path, disk: Disk) -> None:
    shape = {"heads": 2, "tokens": 64, "dim": 64}
    nbytes = make_chunk(0, **shape).nbytes
    config = MemoryConfig(queue_bytes=4 * nbytes, back_pressure="degrade")
    smooth: dict[int, Chunk] = {}

    def give_smooth(store: Store, number: int) -> bool:
        plain = make_chunk(number, **shape)
        torch.manual_seed(number)
        keys, values = torch.randn(2, *plain.keys.shape)
        chunk = smooth[number] = Chunk(plain.info, keys, values, plain.positions)
        return store.put(chunk, vectors_of(chunk))

    with Store.open(tmp_path, **MODEL, config=config) as store:
        give_smooth(store, 0)
        store.drain()
        disk.hold()
        assert all(give_smooth(store, number) for number in range(1, 9))
        assert store.stats().degraded > 0
        assert store.stats().queued_bytes <= 6 * nbytes
        for number, chunk in smooth.items():  # on their way
            assert (store.read(number).keys - chunk.keys).abs().max() < 1.5
        disk.let_go()
        store.sync()
        rungs = store.rungs()
        assert rungs["raw"] >= 2 and sum(rungs.values()) == 9 and len(rungs) > 1
    with reopened(tmp_path) as store:
        assert store.rungs() == rungs
        for number, chunk in smooth.items():
            assert (store.read(number).keys - chunk.keys).abs().max() < 1.5


# ------------------------------------------------------------------ a disk that fails


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EFBIG])
def test_a_chunk_that_the_disk_refuses_waits_and_is_written_when_it_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def fail(fd: int, data: bytes, offset: int) -> None:
        raise OSError(number, os.strerror(number))

    with Store.open(tmp_path, **MODEL, config=MemoryConfig(ram_bytes=0)) as store:
        chunks = put(store, 0, 1)
        with monkeypatch.context() as broken:
            broken.setattr(files, "write_all", fail)
            chunks.append(give(store, 2)[0])  # accepted: it waits in RAM
            with pytest.raises(OSError):
                store.drain()
            for _ in range(3):
                with pytest.raises(OSError) as refused:
                    give(store, 3)
                assert refused.value.errno == number
                assert isinstance(refused.value, MemoryFull) == (number != errno.EIO)
                with pytest.raises(OSError):
                    store.sync()
            assert 3 not in store
            for chunk in chunks:
                assert_same(store.read(chunk.info.number), chunk)
        chunks.append(give(store, 3)[0])
        store.sync()
        assert store.stats().durable == 4
    with reopened(tmp_path) as store:
        for chunk in chunks:
            assert_same(store.read(chunk.info.number), chunk)


def test_what_was_never_written_is_told_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(fd: int, data: bytes, offset: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    store = Store.open(tmp_path, **MODEL)
    put(store, 0, 1)
    with monkeypatch.context() as broken:
        broken.setattr(files, "write_all", fail)
        give(store, 2)
        with pytest.raises(MemoryFull, match="the newest 1 chunks could not be kept, the first 2"):
            store.close()
    with reopened(tmp_path) as store:
        assert len(store) == 2
        put(store, 2)


def test_a_failed_sync_costs_nothing_and_the_file_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was not durable is written again, to another segment, by the next sync or the end."""
    synced: list[Path] = []
    sync_data, is_broken = files.sync_data, [False]

    def sync(fd: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{fd}"))
        synced.append(path)
        if is_broken[0]:
            raise OSError(errno.EIO, "Input/output error")
        sync_data(fd)

    monkeypatch.setattr(files, "sync_data", sync)
    config = MemoryConfig(ram_bytes=0, commit_s=1000)
    with Store.open(tmp_path, **MODEL, config=config) as store:
        chunks = put(store, 0)
        store.sync()
        chunks += put(store, 1, 2)
        is_broken[0] = True
        with pytest.raises(OSError):
            store.sync()
        bad = synced[-1]
        synced.clear()
        is_broken[0] = False
        chunks += put(store, 3)
        assert bad not in synced
    assert bad not in synced
    assert len(segment_files(tmp_path)) == 2
    with reopened(tmp_path) as store:
        for chunk in chunks:
            assert_same(store.read(chunk.info.number), chunk)


# ------------------------------------------------------------------ time


def test_a_quiet_stream_becomes_durable_by_itself(tmp_path: Path) -> None:
    with Store.open(tmp_path, **MODEL, config=MemoryConfig(commit_s=0.05)) as store:
        put(store, 0)
        begun = time.monotonic()
        # Its row is there a moment before it leaves the queue.
        while store.stats().durable < 1 or store.stats().queued > 0:
            assert time.monotonic() - begun < SOON_S
            time.sleep(0.01)


def test_a_clock_that_goes_backwards_commits(tmp_path: Path) -> None:
    now_s = [1000.0]
    config = MemoryConfig(commit_s=500.0)
    with Store.open(tmp_path, **MODEL, config=config, clock=lambda: now_s[0]) as store:
        put(store, 0)
        assert store.stats().durable == 0
        now_s[0] = 10.0
        put(store, 1)
        assert store.stats().durable == 2


def test_session_time_only_goes_forward(tmp_path: Path) -> None:
    with Store.open(tmp_path, **MODEL) as store:
        put(store, 0, 5)
        earlier = make_chunk(3)
        moved = Chunk(
            type(earlier.info)(6, 2.0, 2.5, tokens=5),
            earlier.keys,
            earlier.values,
            earlier.positions,
        )
        with pytest.raises(ValueError, match="session time only goes forward"):
            store.put(moved, vectors_of(moved))


# ------------------------------------------------------------------ staging


def test_where_pages_cannot_be_pinned_it_is_told_once_and_copies_are_whole(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A tensor that says it lies on CUDA stands in for one."""

    def refuse(nbytes: int) -> torch.Tensor:
        raise RuntimeError("CUDA error: out of memory\nmore about it")

    chunk = make_chunk(0)
    keys, values = _OnCuda(chunk.keys), _OnCuda(chunk.values)
    pretended = Chunk(chunk.info, keys, values, chunk.positions)
    made = staging.Staging(pin=refuse)
    for _ in range(2):
        staged = made.copy(pretended, vectors_of(chunk))
        assert_same(staged.chunk, chunk)
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 1
    assert "cannot be pinned (CUDA error: out of memory)" in told[0]


class _OnCuda(torch.Tensor):
    """A tensor in RAM whose `device` is a GPU's; what is copied of it is plain."""

    @staticmethod
    def __new__(cls: type[_OnCuda], plain: torch.Tensor) -> _OnCuda:
        return plain.as_subclass(cls)

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return torch.device("cuda", 0)


def test_many_threads_never_hold_more_than_one_writer(tmp_path: Path) -> None:
    before = threading.active_count()
    stores = [Store.open(tmp_path / str(i), **MODEL) for i in range(3)]
    assert threading.active_count() == before  # none begins before there is something to write
    for store in stores:
        put(store, *range(5))
    assert threading.active_count() == before + 3
    for store in stores:
        store.close()
    assert threading.active_count() == before


# ------------------------------------------------------------------ whatever else goes wrong


def test_a_chunk_that_no_codec_takes_is_refused_at_once(tmp_path: Path) -> None:
    plain = make_chunk(0)
    eight_bits = Chunk(
        plain.info,
        torch.zeros(2, 2, 5, 4, dtype=torch.float8_e4m3fn),
        torch.zeros(2, 2, 5, 4, dtype=torch.float8_e4m3fn),
        plain.positions,
    )
    with Store.open(tmp_path, **MODEL, key_bias=torch.zeros(2, 8)) as store:
        with pytest.raises(ValueError, match="chunks are kept as"):
            store.put(eight_bits, vectors_of(plain))
        with pytest.raises(ValueError, match="more than 65535 bytes"):
            give(store, 0, camera="x" * 70_000)
        with pytest.raises(ValueError, match=r"keys' bias is \[2, 8\], not \[3, 8\]"):
            give(store, 0, layers=3)
        put(store, 0)


def test_an_entry_that_cannot_be_written_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    encode = Encoder.encode

    def fail_once(self: Encoder, chunk: Chunk, *rest: Any) -> bytearray:
        if chunk.info.number == 1:
            raise RuntimeError("a mistake of ours")
        return encode(self, chunk, *rest)

    monkeypatch.setattr(Encoder, "encode", fail_once)
    with Store.open(tmp_path, **MODEL) as store:
        put(store, 0, 1, 2)
        assert [info.number for info in store.infos()] == [0, 2]
        store.sync()
        (gap,) = store.gaps()
        assert (gap.start_s, gap.chunks) == (pytest.approx(1.1), 1)
    assert "cannot be kept: a mistake of ours" in caplog.text


def test_after_closing_nothing_is_taken_in(tmp_path: Path, disk: Disk) -> None:
    store = Store.open(tmp_path, **MODEL, config=MemoryConfig(queue_bytes=CHUNK))
    put(store, 0)
    disk.hold()
    give(store, 1)
    refused: list[BaseException] = []

    def wait_for_room() -> None:
        try:
            give(store, 2)
        except ValueError as error:
            refused.append(error)

    waiting = threading.Thread(target=wait_for_room)
    waiting.start()
    time.sleep(0.1)
    closing = threading.Thread(target=store.close)
    closing.start()
    time.sleep(0.1)
    disk.let_go()
    closing.join(SOON_S)
    waiting.join(SOON_S)
    assert not closing.is_alive() and not waiting.is_alive()
    with pytest.raises(ValueError, match="closed"):
        give(store, 3)
    with reopened(tmp_path) as again:
        assert len(again) == (2 if refused else 3)  # whoever was told that it is in finds it


def test_a_gap_is_counted_once_also_after_a_failed_sync(
    tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    config = MemoryConfig(queue_bytes=CHUNK, back_pressure="drop", commit_s=1000)
    with Store.open(tmp_path, **MODEL, config=config) as store:
        put(store, 0)
        disk.hold()
        assert [give(store, number)[1] for number in (1, 2)] == [True, False]
        assert store.next_number == 3
        disk.let_go()
        store.drain()
        with monkeypatch.context() as broken:
            broken.setattr(files, "sync_data", fail)
            with pytest.raises(OSError):
                store.sync()
        store.sync()
        assert [gap.chunks for gap in store.gaps()] == [1]


def test_a_note_that_fails_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Catalog) -> None:
        raise MemoryFull("no room for the row")

    config = MemoryConfig(queue_bytes=0, commit_s=0)
    with Store.open(tmp_path, **MODEL, config=config) as store:
        store.note("state", 1)
        with monkeypatch.context() as broken:
            broken.setattr(Catalog, "commit", fail)
            with pytest.raises(MemoryFull):
                store.note("state", 2)
        assert store.noted("state") == 1
    with Store.open(tmp_path, **MODEL) as store:
        assert store.noted("state") == 1


def test_pictures_that_find_no_room_keep_no_chunk_from_being_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(self: Album, before: int | None = None) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with Store.open(tmp_path, **MODEL) as store:
        with monkeypatch.context() as broken:
            broken.setattr(Album, "commit", fail)
            for number in range(3):
                put(store, number)
                store.album.put_jpeg(number, b"picture")
                store.sync()
            assert store.stats().durable == 3
            assert caplog.text.count("the newest pictures wait") == 1
        store.note("more", 1)
    with Store.open(tmp_path, **MODEL) as store:
        assert store.album.jpeg(2) == b"picture"


def test_writing_does_not_wait_for_old_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ageing that never ends, and ageing that fails in ways that nobody thought of."""
    stepped = threading.Event()

    def endless(self: Ager, now_s: float) -> bool:
        stepped.set()
        time.sleep(0.01)
        return True

    with Store.open(tmp_path / "endless", **MODEL) as store:
        monkeypatch.setattr(Ager, "step", endless)
        put(store, 0)
        assert stepped.wait(SOON_S)
        put(store, 1, 2)
        store.sync()
        assert store.forget(1.0, 2.0).chunks == 1
        assert store.keep(2.0, 3.0) == 1

    def broken(self: Ager, now_s: float) -> bool:
        raise RuntimeError("no memory for a tensor")

    with Store.open(tmp_path / "broken", **MODEL) as store:
        monkeypatch.setattr(Ager, "step", broken)
        put(store, 0, 1)
        store.sync()
        put(store, 2)
        store.sync()
        assert store.stats().durable == 3
