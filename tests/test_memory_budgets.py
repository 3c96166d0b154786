"""A memory keeps its promises of room and age where both are tight: a small `disk_bytes`, pictures
that weigh as much as chunks, a stream that stops, a disk that is full.

Chunks are of the embedded model's size: 55 KB raw, with a picture of 8 KB.
"""

from __future__ import annotations

import os
import random
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from longtake import cli
from longtake.memory import files
from longtake.memory.catalog import Catalog
from longtake.memory.chunk import Chunk
from longtake.memory.config import MemoryConfig
from longtake.memory.database import Database
from longtake.memory.files import MemoryFull
from longtake.memory.intake import Intake
from longtake.memory.queued import QueuedGap
from longtake.memory.store import Store
from longtake.memory.survey import survey
from tests.chunks import MODEL, Clock, segment_files, vectors_of
from tests.memories import contents, smooth

SHAPE = {"layers": 4, "heads": 2, "tokens": 26, "dim": 32}
PICTURE = 8_000
ONE_COMMIT = 32_768  # of rows and a picture in the databases' logs, until they are trimmed


def jpeg(number: int) -> bytes:
    """A picture that nothing makes smaller."""
    return random.Random(number).randbytes(PICTURE)


def chunk_of(number: int) -> Chunk:
    return smooth(number, **SHAPE)


def see(store: Store, *numbers: int) -> None:
    """Chunks with their pictures, one a second, until they are written."""
    for number in numbers:
        chunk = chunk_of(number)
        store.album.put_jpeg(number, jpeg(number))
        store.put(chunk, vectors_of(chunk))
        store.drain()


def put_plain(store: Store, *numbers: int) -> None:
    """Small chunks without pictures, one a second, until they are written."""
    for number in numbers:
        chunk = smooth(number)
        store.put(chunk, vectors_of(chunk))
    store.drain()


def age(store: Store) -> None:
    """What the writing thread does while nothing comes, to its end."""
    while store._writer.run(store._desk.tend):
        pass


def on_disk(store: Store) -> int:
    """Bytes of all files, between two steps of the writing thread.

    Without SQLite's ``-shm``: memory that processes share while they have the memory open, gone
    when they close it.
    """

    def look() -> int:
        found = (path for path in store.folder.rglob("*") if not path.name.endswith("-shm"))
        return sum(path.stat().st_size for path in found if path.is_file())

    return store._writer.run(look)


# ------------------------------------------------------------------ a small budget


@pytest.mark.parametrize(("limit", "seen", "kept"), [(300_000, 22, 7), (1_000_000, 40, 30)])
def test_a_small_budget_holds_the_newest_chunks_and_no_more_bytes(
    tmp_path: Path, limit: int, seen: int, kept: int
) -> None:
    """Pictures are not what it is spent on: by default a chunk keeps its keys longer."""
    clock = Clock()
    config = MemoryConfig(disk_bytes=limit)
    with Store.open(tmp_path, **MODEL, config=config, clock=clock) as store:
        for number in range(seen):
            clock.now_s += 1.0
            see(store, number)
            assert on_disk(store) <= limit + ONE_COMMIT
        store.sync()
        assert store.album.nbytes <= 0.55 * limit
        store.tidy()
        assert on_disk(store) <= limit
    assert sum(map(len, contents(tmp_path).values())) <= limit
    with Store.open(tmp_path, **MODEL, read_only=True) as store:
        held = [info.number for info in store.infos() if store.has_keys(info.number)]
        assert held == list(range(held[0], seen)) and len(held) >= kept
        for number in held:
            assert (store.read(number).keys - chunk_of(number).keys).abs().max() < 3.0
            assert store.album.jpeg(number) == jpeg(number)


def test_pictures_that_are_dropped_make_the_file_smaller(tmp_path: Path) -> None:
    """Or a budget would be spent on free pages, and more and more would go for it."""
    with Store.open(tmp_path, **MODEL) as store:
        for number in range(60):
            store.album.put_jpeg(number, jpeg(number))
        store.album.commit()
        store.album.trim()
        before = store.album.nbytes
        store.album.drop(range(50))
        store.album.trim()
        assert store.album.nbytes <= before - 50 * PICTURE
        assert store.album.jpeg(55) == jpeg(55)


def test_a_budget_given_later_reaches_the_segment_that_grows(tmp_path: Path) -> None:
    """Nothing new comes, and all there is lies in one segment."""
    with Store.open(tmp_path / "m", **MODEL) as store:
        see(store, *range(20))
    assert len(segment_files(tmp_path / "m")) == 1
    shutil.copytree(tmp_path / "m", tmp_path / "twin")
    with Store.open(tmp_path / "m", **MODEL, config=MemoryConfig(disk_bytes=600_000)) as store:
        assert store.tidy() >= 20
        assert on_disk(store) <= 600_000
        assert "raw" not in store.rungs() and len(store) == 20
    settings = tmp_path / "longtake.toml"
    settings.write_text('[memory]\ndisk_bytes = "600K"\n')
    assert cli.main(["memory", "gc", str(tmp_path / "twin"), "--config", str(settings)]) == 0
    assert sum(survey(tmp_path / "twin").nbytes.values()) <= 600 << 10


# ------------------------------------------------------------------ pictures and their chunks


def crashed(store: Store, path: Path) -> Path:
    """The folder as a crash would leave it now."""
    store._writer.run(lambda: shutil.copytree(store.folder, path))
    return path


def test_a_picture_is_durable_with_its_chunk_and_not_before(tmp_path: Path) -> None:
    """Otherwise a chunk of that number, made after a crash, would show what it never saw."""
    config = MemoryConfig(commit_s=1000)
    with Store.open(tmp_path / "m", **MODEL, config=config, clock=Clock()) as store:
        for number in range(6):
            store.album.put_jpeg(number, jpeg(number))
        put_plain(store, 0, 1, 2)
        store.sync()
        assert store.album.jpeg(5) == jpeg(5)  # to be shown at once
        folder = crashed(store, tmp_path / "early")
        with Store.open(folder, **MODEL, read_only=True) as after:
            found = [after.album.jpeg(number) is not None for number in range(6)]
            assert found == [True] * 3 + [False] * 3 and len(after) == 3
        put_plain(store, 3, 4, 5)
        store.sync()
        with Store.open(crashed(store, tmp_path / "late"), **MODEL, read_only=True) as after:
            assert after.album.jpeg(5) == jpeg(5)


def test_pictures_wait_for_rows_that_find_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Catalog) -> None:
        raise MemoryFull("no room for the rows")

    config = MemoryConfig(commit_s=1000)
    with Store.open(tmp_path / "m", **MODEL, config=config, clock=Clock()) as store:
        store.album.put_jpeg(0, jpeg(0))
        put_plain(store, 0)
        with monkeypatch.context() as broken:
            broken.setattr(Catalog, "commit", full)
            with pytest.raises(MemoryFull):
                store.sync()
        with Store.open(crashed(store, tmp_path / "copy"), **MODEL) as after:
            assert len(after) == 0 and after.album.jpeg(0) is None


def test_a_chunk_that_was_dropped_leaves_no_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = MemoryConfig(back_pressure="drop", queue_bytes=1)
    with Store.open(tmp_path, **MODEL, config=config) as store:
        monkeypatch.setattr(store._writer, "has_room", lambda *room: False)
        for number in range(3):
            store.album.put_jpeg(number, jpeg(number))
        chunk = smooth(0)
        is_dropped = isinstance(Intake.admit(store._intake, chunk, vectors_of(chunk)), QueuedGap)
        assert is_dropped and not store.put(chunk, vectors_of(chunk))
        assert store.album.jpeg(0) is None and store.album.jpeg(1) == jpeg(1)
        store.sync()
    with Store.open(tmp_path, **MODEL, read_only=True) as after:
        assert after.album.jpeg(0) is None


# ------------------------------------------------------------------ ages


@pytest.mark.parametrize(
    ("ladder", "seen", "segments"),
    [
        ("int8@40s", 40, 4),  # a quarter of the smallest age: 11 chunks each
        ("kivi4@40s,gone@1h", 40, 4),
        ("int8@4s", 16, 3),  # 5 s at least
        ("int8", 40, 1),  # without ages one is as good as many
    ],
)
def test_the_segment_that_grows_is_closed_in_time_for_the_smallest_age(
    tmp_path: Path, ladder: str, seen: int, segments: int
) -> None:
    with Store.open(tmp_path, **MODEL, config=MemoryConfig(ladder=ladder)) as store:
        put_plain(store, *range(seen))
        age(store)
        assert len(segment_files(tmp_path)) == segments


def test_chunks_age_in_time_though_one_segment_would_hold_them_all(tmp_path: Path) -> None:
    with Store.open(tmp_path, **MODEL, config=MemoryConfig(ladder="int8@22s")) as store:
        put_plain(store, *range(60))  # six of them a segment
        age(store)
        assert store.rungs() == {"raw": 24, "int8": 36}


def test_time_in_a_segment_counts_across_a_restart(tmp_path: Path) -> None:
    config = MemoryConfig(ladder="int8@40s")
    for begin in (0, 6):
        with Store.open(tmp_path, **MODEL, config=config) as store:
            put_plain(store, *range(begin, begin + 6))
    assert len(segment_files(tmp_path)) == 2  # the second begins 11 s after the first


# ------------------------------------------------------------------ forgetting on a full disk


def canaries(*numbers: int) -> list[bytes]:
    """Bytes that only these chunks have."""
    return [chunk_of(number).keys[0, 0].numpy().tobytes() for number in numbers]


def are_held(folder: Path, wanted: list[bytes]) -> list[bool]:
    whole = b"".join(contents(folder).values())
    return [each in whole for each in wanted]


@pytest.fixture
def erased(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Bytes of each record that was erased."""
    real, found = files.erase, list[int]()

    def erase(fd: int, offset: int, length: int) -> None:
        real(fd, offset, length)
        found.append(length)

    monkeypatch.setattr(files, "erase", erase)
    return found


def test_where_no_row_can_be_changed_bytes_go_first_and_make_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, erased: list[int]
) -> None:
    real = Catalog.remove

    def remove(self: Catalog, *args: Any) -> None:
        if not erased:
            raise MemoryFull("no room for the rows")
        real(self, *args)

    secret = canaries(2, 3)
    with Store.open(tmp_path, **MODEL) as store:
        see(store, *range(6))
        store.sync()
        assert are_held(tmp_path, secret) == [True, True]
        monkeypatch.setattr(Catalog, "remove", remove)
        assert store.forget(2.0, 3.7).numbers == (2, 3)
        assert are_held(tmp_path, [*secret, jpeg(2), jpeg(3)]) == [False] * 4
        assert [info.number for info in store.infos()] == [0, 1, 4, 5]


def test_what_a_full_disk_did_not_let_finish_the_next_try_finishes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Catalog, *args: Any) -> None:
        raise MemoryFull("no room for the rows")

    secret = canaries(2, 3)
    with Store.open(tmp_path, **MODEL) as store:
        see(store, *range(6))
        store.sync()
        with monkeypatch.context() as broken:
            broken.setattr(Catalog, "remove", full)
            with pytest.raises(MemoryFull):
                store.forget(2.0, 3.7)
        assert are_held(tmp_path, [*secret, *canaries(1, 4)]) == [False, False, True, True]
        assert len(store) == 6 and store.gaps() == []
    with Store.open(tmp_path, **MODEL) as store:
        assert store.forget(2.0, 3.7).numbers == (2, 3)
        assert [info.number for info in store.infos()] == [0, 1, 4, 5]
        assert [(gap.chunks, gap.reason) for gap in store.gaps()] == [(2, "forgotten")]
        assert are_held(tmp_path, [*secret, jpeg(2), jpeg(3)]) == [False] * 4


@pytest.mark.parametrize("is_pending", [False, True])
def test_where_a_disk_takes_nothing_at_all_bytes_go_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, erased: list[int], is_pending: bool
) -> None:
    def unless_full(real: Any) -> Any:
        def call(self: Database, *args: Any, **flags: Any) -> Any:
            if not erased:
                raise MemoryFull("the disk is full")
            return real(self, *args, **flags)

        return call

    config = MemoryConfig(commit_s=1000, ladder="none")
    with Store.open(tmp_path, **MODEL, config=config, clock=Clock()) as store:
        see(store, *range(6))
        store.sync()
        if is_pending:
            see(store, 6)
        with monkeypatch.context() as full:
            for name in ("change", "checkpoint"):
                full.setattr(Database, name, unless_full(getattr(Database, name)))
            with suppress(MemoryFull):  # it may take a second call
                store.forget(2.0, 3.7)
            assert are_held(tmp_path, canaries(2, 3)) == [False, False]
        store.forget(2.0, 3.7)
        assert 2 not in store and 3 not in store


def test_where_nothing_makes_room_bytes_are_gone_nevertheless(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those of a chunk whose row was not durable yet."""

    def full(self: Database, *args: Any, **flags: Any) -> Any:
        raise MemoryFull("the disk is full")

    config = MemoryConfig(commit_s=1000, ladder="none")
    with Store.open(tmp_path, **MODEL, config=config, clock=Clock()) as store:
        see(store, *range(3))
        store.sync()
        see(store, 3)
        with monkeypatch.context() as broken:
            for name in ("change", "checkpoint"):
                broken.setattr(Database, name, full)
            for _ in range(2):
                with pytest.raises(MemoryFull):
                    store.forget(2.0, 3.7)
            assert are_held(tmp_path, canaries(1, 2, 3)) == [True, False, False]
        assert store.forget(2.0, 3.7).numbers == (2, 3)
        assert [info.number for info in store.infos()] == [0, 1]
        assert [(gap.chunks, gap.reason) for gap in store.gaps()] == [(2, "forgotten")]


def test_what_is_a_hole_is_not_written_again(tmp_path: Path) -> None:
    """A full disk has no room for its zeros."""
    path = tmp_path / "segment"
    path.write_bytes(b"x" * 65_536)
    fd = files.open_to_append(path)
    try:
        files.erase(fd, 8_192, 32_768)
        is_punched = files.size_at(path) and path.stat().st_blocks * 512 <= 65_536 - 32_768
        with pytest.MonkeyPatch.context() as full:

            def write_all(fd: int, data: bytes, offset: int) -> None:
                raise MemoryFull("the disk is full")

            full.setattr(files, "write_all", write_all)
            if is_punched:  # else the file system has no holes
                files.erase(fd, 8_192, 32_768)
            with pytest.raises(MemoryFull):
                files.erase(fd, 8_192, 40_960)
    finally:
        os.close(fd)
    assert path.read_bytes() == b"x" * 8_192 + bytes(32_768) + b"x" * 24_576
