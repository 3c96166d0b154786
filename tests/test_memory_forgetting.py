"""What was forgotten is in no file, in no tier, and does not come back (law 8)."""

from __future__ import annotations

import math
import shutil
import sqlite3
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from longtake.memory import files
from longtake.memory.archive import OpenRecord
from longtake.memory.chunk import Chunk, ChunkInfo, summarize
from longtake.memory.config import MemoryConfig
from longtake.memory.known import ChunkMissing
from longtake.memory.store import Store
from tests.chunks import MODEL, assert_same, segment_files

CANARY = 1.2345678e-5  # its four bytes are searched for in every file
BYTES = np.float32(CANARY).tobytes()
SHAPE = (2, 2, 16, 8)


def secret(number: int, camera: str = "") -> Chunk:
    """A chunk full of canaries."""
    info = ChunkInfo(number, float(number), number + 0.5, camera, tokens=SHAPE[2])
    full = torch.full(SHAPE, CANARY)
    return Chunk(info, full, full.clone(), torch.arange(SHAPE[2], dtype=torch.int32)[None])


def plain(number: int, camera: str = "") -> Chunk:
    info = ChunkInfo(number, float(number), number + 0.5, camera, tokens=SHAPE[2])
    keys, values = torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(number))
    return Chunk(info, keys, values, torch.arange(SHAPE[2], dtype=torch.int32)[None])


def put(store: Store, *chunks: Chunk) -> None:
    for chunk in chunks:
        store.put(chunk, summarize(chunk.keys))
    store.drain()


def holding(folder: Path, canary: bytes) -> list[str]:
    """Files of a folder with these bytes in them."""
    return [
        path.name for path in folder.rglob("*") if path.is_file() and canary in path.read_bytes()
    ]


def small(**values: Any) -> MemoryConfig:
    return MemoryConfig(segment_bytes=18_000, **values)


@pytest.mark.parametrize("codec", ["raw", "int8", "kivi2"])
def test_no_byte_of_what_was_forgotten_is_in_any_file(tmp_path: Path, codec: str) -> None:
    jpeg = b"\xff\xd8 the canary of the thumbnail \xff\xd9" * 40
    with Store.open(tmp_path, **MODEL, config=small(codec=codec)) as store:
        for number in range(20):
            put(store, secret(number) if 5 <= number < 12 else plain(number))
            store.album.put_jpeg(number, jpeg if 5 <= number < 12 else b"\xff\xd8 other")
        store.album.add_caption(6.0, 7.0, "a whispered password")
        store.album.add_caption(1.0, 2.0, "a cat")
        store.sync()
        if codec == "raw":
            assert any(name.endswith(".kvseg") for name in holding(tmp_path, BYTES))
        assert holding(tmp_path, jpeg[:30]) and holding(tmp_path, b"whispered")
        gone = store.forget(5.0, 11.2)
        assert (gone.chunks, gone.numbers) == (7, tuple(range(5, 12)))
        for canary in (BYTES, jpeg[:30], b"whispered"):
            assert holding(tmp_path, canary) == []
        for number in range(20):
            if 5 <= number < 12:
                assert number not in store and store.album.jpeg(number) is None
                with pytest.raises(ChunkMissing):
                    store.read(number)
            else:
                assert store.read(number).info.number == number
        assert [caption.text for caption in store.album.captions(0.0, 99.0)] == ["a cat"]
        assert store.all_vectors()[0].tolist() == [*range(5), *range(12, 20)]
        (gap,) = store.gaps()
        assert (gap.start_s, gap.end_s, gap.chunks, gap.reason) == (5.0, 11.5, 7, "forgotten")
        assert store.forget(5.0, 11.2).chunks == 0  # again: nothing is left to go
        assert store.forget(4.0, 12.0).numbers == (4, 12)  # an overlapping one
    for canary in (BYTES, jpeg[:30], b"whispered"):
        assert holding(tmp_path, canary) == []
    with Store.open(tmp_path, **MODEL) as store:
        assert len(store) == 11
        assert store.next_number == 20


def test_room_comes_back(tmp_path: Path) -> None:
    with Store.open(tmp_path, **MODEL, config=small()) as store:
        put(store, *(secret(number) for number in range(40)))
        store.sync()
        before, count = store.stats().disk_bytes, len(segment_files(tmp_path))
        gone = store.forget(0.0, 30.0)
        assert gone.nbytes > 30 * secret(0).nbytes
        assert store.stats().disk_bytes <= before - 0.9 * gone.nbytes
        assert len(segment_files(tmp_path)) < count
        assert holding(tmp_path, BYTES)  # those of the other ten


def test_what_waits_in_the_queue_is_forgotten_too(tmp_path: Path) -> None:
    with Store.open(tmp_path, **MODEL, config=small(commit_s=1000)) as store:
        for number in range(6):
            store.put(secret(number), summarize(secret(number).keys))
        assert store.forget(2.0, 99.0).numbers == (2, 3, 4, 5)
        assert [info.number for info in store.infos()] == [0, 1]
        assert store.next_number == 6
        with pytest.raises(ValueError, match="another chunk's, now gone"):
            store.put(secret(5), summarize(secret(5).keys))
        put(store, plain(6))
    with Store.open(tmp_path, **MODEL) as store:
        assert [info.number for info in store.infos()] == [0, 1, 6]


def test_the_last_number_is_not_used_again_after_a_restart(tmp_path: Path) -> None:
    with Store.open(tmp_path, **MODEL) as store:
        put(store, *(secret(number) for number in range(3)))
        store.forget(0.0, 99.0)
        assert len(store) == 0
    with Store.open(tmp_path, **MODEL) as store:
        assert store.next_number == 3
        assert holding(tmp_path, BYTES) == []


def test_one_camera_may_be_forgotten(tmp_path: Path) -> None:
    with Store.open(tmp_path, **MODEL, config=small()) as store:
        for number in range(10):
            door = number % 2 == 0
            put(store, (secret if door else plain)(number, "door" if door else "hall"))
        assert store.forget(0.0, 6.0, camera="door").numbers == (0, 2, 4, 6)
        assert [info.number for info in store.infos()] == [1, 3, 5, 7, 8, 9]
        assert_same(store.read(3), plain(3, "hall"))


def test_chunks_of_the_window_are_forgotten_by_name(tmp_path: Path) -> None:
    with Store.open(tmp_path, **MODEL) as store:
        put(store, *(plain(number) for number in range(4)))
        window = [plain(number).info for number in (4, 5)]
        gone = store.forget(3.0, 99.0, unstored=window)
        assert gone.numbers == (3, 4, 5)
        assert store.next_number == 6
        (gap,) = store.gaps()
        assert (gap.start_s, gap.end_s, gap.chunks) == (3.0, 5.5, 3)


def test_kept_moments_can_be_forgotten(tmp_path: Path) -> None:
    with Store.open(tmp_path, **MODEL) as store:
        put(store, *(secret(number) for number in range(4)))
        store.keep(0.0, 9.0)
        assert store.forget(0.0, 9.0).chunks == 4
        assert holding(tmp_path, BYTES) == []


def test_ageing_leaves_no_copy_behind(tmp_path: Path) -> None:
    """A segment that is being written anew when its chunks are forgotten."""
    with Store.open(tmp_path, **MODEL, config=small(ladder="none")) as store:
        put(store, *(secret(number) for number in range(40)))
    with Store.open(tmp_path, **MODEL, config=small(ladder="int8@1s")) as store:
        for _ in range(3):  # a few records of it
            store._writer.run(store._desk.tend)
        store.forget(0.0, 99.0)
        assert holding(tmp_path, BYTES) == []
        assert len(store) == 0


@pytest.mark.parametrize(("start_s", "end_s"), [(2.0, 1.0), (math.nan, 1.0), (0.0, math.inf)])
def test_times_that_make_no_sense_are_refused(tmp_path: Path, start_s: float, end_s: float) -> None:
    with Store.open(tmp_path, **MODEL) as store:
        put(store, plain(0))
        with pytest.raises(ValueError, match="must"):
            store.forget(start_s, end_s)
        assert 0 in store


def test_a_crash_at_any_step_is_finished_at_the_next_opening(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder is copied before each call to the system that forgetting makes."""
    live = tmp_path / "live"
    with Store.open(live, **MODEL, config=small()) as store:
        for number in range(12):
            put(store, secret(number) if 2 <= number < 9 else plain(number))
            store.album.put_jpeg(number, b"canary of a picture" if 2 <= number < 9 else b"other")
        store.sync()
        copies: list[Path] = []
        for name in ("write_all", "sync_data", "unlink", "erase"):
            real = getattr(files, name)

            def call(*args: Any, real: Any = real) -> Any:
                copies.append(tmp_path / f"copy{len(copies)}")
                shutil.copytree(live, copies[-1])
                return real(*args)

            monkeypatch.setattr(files, name, call)
        store.forget(2.0, 8.0)
        monkeypatch.undo()
    assert len(copies) > 5
    for copy in copies:
        begun = sqlite3.connect(copy / "catalog.sqlite")
        (left,) = begun.execute("SELECT COUNT(*) FROM chunks").fetchone()
        begun.close()
        with Store.open(copy, **MODEL) as store:
            assert len(store) == left == 5
            for number in (0, 1, 9, 10, 11):
                assert_same(store.read(number), plain(number))
            assert holding(copy, BYTES) == []
            assert store.next_number == 12
        assert holding(copy, b"canary of a picture") == []


def test_a_disk_that_fails_says_so_and_forgetting_can_be_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(fd: int, offset: int, length: int) -> None:
        raise OSError(5, "Input/output error")

    with Store.open(tmp_path, **MODEL, config=small()) as store:
        put(store, *(secret(number) for number in range(6)))
        with monkeypatch.context() as broken:
            broken.setattr(files, "erase", fail)
            with pytest.raises(OSError, match="Input/output"):
                store.forget(0.0, 99.0)
            assert len(store) == 0  # nobody finds them any more
        assert holding(tmp_path, BYTES)
        store.forget(0.0, 99.0)
        assert holding(tmp_path, BYTES) == []


def test_forgetting_all_that_a_growing_segment_holds_leaves_no_orphan(tmp_path: Path) -> None:
    for _ in range(3):
        with Store.open(tmp_path, **MODEL, config=small()) as store:
            first = store.next_number
            put(store, *(secret(number) for number in range(first, first + 2)))
            assert store.forget(0.0, 999.0).chunks == 2
            put(store, *(secret(number) for number in range(first + 2, first + 4)))
            store.forget(0.0, 999.0)
    assert segment_files(tmp_path) == []
    with Store.open(tmp_path, **MODEL) as store:
        assert (len(store), store.next_number) == (0, 12)


def test_a_full_memory_can_forget_and_goes_on(tmp_path: Path) -> None:
    config = small(disk_bytes=400_000, ladder="none")
    with Store.open(tmp_path, **MODEL, config=config) as store:
        put(store, *(secret(number) for number in range(10)))
        with pytest.raises(OSError):
            put(store, *(secret(number) for number in range(10, 200)))
        assert store.stats().queued > 50
        assert store.forget(0.0, 5.0).chunks == 6
        assert store.forget(0.0, 999.0).chunks > 100  # those that wait too
        assert len(store) == store.stats().queued == 0
        assert holding(tmp_path, BYTES) == []
        put(store, plain(store.next_number))
        store.sync()


def test_a_read_under_way_does_not_bring_it_back_to_ram(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store.open(tmp_path, **MODEL, config=small(ladder="none")) as store:
        put(store, *(secret(number) for number in range(4)))
    with Store.open(tmp_path, **MODEL) as store:
        real, is_first = OpenRecord.chunk, [True]

        def read_and_forget(self: OpenRecord) -> Chunk:
            found = real(self)
            if is_first[0]:
                is_first[0] = False
                store.forget(1.0, 1.2)
            return found

        monkeypatch.setattr(OpenRecord, "chunk", read_and_forget)
        store.read(1)
        with pytest.raises(ChunkMissing):
            store.read(1)
        assert store.stats().ram_bytes == 0


def test_a_reader_in_the_way_is_told_of_and_holds_nobody_else_up(tmp_path: Path) -> None:
    with Store.open(tmp_path, **MODEL, config=small()) as store:
        put(store, *(secret(number, "canary of a camera") for number in range(4)))
        store.sync()
        reader = sqlite3.connect(f"file:{tmp_path / 'catalog.sqlite'}?mode=ro", uri=True)
        reader.execute("BEGIN")
        reader.execute("SELECT COUNT(*) FROM chunks").fetchall()
        is_told: list[BaseException] = []

        def forget() -> None:
            try:
                store.forget(1.0, 1.2)
            except OSError as error:
                is_told.append(error)

        forgetting = threading.Thread(target=forget)
        forgetting.start()
        for _ in range(20):  # answered while the log is waited for
            store.info(0)
            store.noted("nothing")
        forgetting.join()
        assert "close the reader, then forget again" in str(is_told[0])
        assert 1 not in store
        reader.close()
        store.forget(1.0, 1.2)
