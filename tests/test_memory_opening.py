"""Who may open a memory, to write or to read, what they see of one another, and who may not."""

from __future__ import annotations

import errno
import fcntl
import io
import os
import sqlite3
import stat
import threading
from pathlib import Path

import pytest

from longtake import cli
from longtake.memory.config import MemoryConfig
from longtake.memory.exporting import export
from longtake.memory.files import MemoryInUse, MemoryMissing, MemoryUnlockable
from longtake.memory.segments import read_head
from longtake.memory.signature import WrongModel
from longtake.memory.store import Store
from tests.chunks import MODEL, Clock, assert_same, make_chunk, put, same_bits, segment_files
from tests.memories import contents, written

NO_CACHE = MemoryConfig(ram_bytes=0, queue_bytes=0)


def test_another_models_memory_is_refused_with_the_way_out(tmp_path: Path) -> None:
    with Store.open(tmp_path, model="embedded", fingerprint="1") as store:
        put(store, 0)
    for read_only in (False, True):
        with pytest.raises(WrongModel) as refused:
            Store.open(tmp_path, model="qwen", fingerprint="2", read_only=read_only)
        for word in (str(tmp_path), "'embedded'", "'qwen'", "--model embedded", "folder"):
            assert word in str(refused.value)
        with pytest.raises(WrongModel, match="other weights or settings"):
            Store.open(tmp_path, model="embedded", fingerprint="2", read_only=read_only)
    with Store.open(tmp_path, model="embedded", fingerprint="1") as store:
        assert len(store) == 1


def test_the_same_weights_may_go_by_another_name(tmp_path: Path) -> None:
    with Store.open(tmp_path, model="./checkpoint", fingerprint="1") as store:
        put(store, 0)
    with Store.open(tmp_path, model="/home/me/checkpoint", fingerprint="1") as store:
        assert_same(store.read(0), make_chunk(0))


def test_a_second_writer_is_refused_until_the_first_has_closed(tmp_path: Path) -> None:
    with Store.open(tmp_path, **MODEL) as store:
        with pytest.raises(MemoryInUse, match=r"another writer \(process \d+\)") as refused:
            Store.open(tmp_path, **MODEL)
        assert refused.value.filename == str(tmp_path)
        put(store, 0)
    with Store.open(tmp_path, **MODEL) as store:
        assert len(store) == 1


def test_a_reader_sees_what_is_durable_while_the_writer_goes_on(tmp_path: Path) -> None:
    small = MemoryConfig(segment_bytes=1500)
    with Store.open(tmp_path, **MODEL, config=small, clock=Clock()) as writer:
        chunks = put(writer, 0, 1, 2)
        writer.sync()
        with Store.open(tmp_path, **MODEL, read_only=True) as reader:
            assert len(reader) == 3
            chunks += put(writer, 3, 4)
            writer.sync()
            put(writer, 5)
            assert [info.number for info in reader.infos(3)][:2] == [3, 4]
            for chunk in chunks:
                assert_same(reader.read(chunk.info.number), chunk)
            assert reader.stats().durable == reader.stats().chunks == len(reader)


def test_a_reader_changes_nothing(tmp_path: Path) -> None:
    with Store.open(tmp_path, **MODEL) as store:
        (chunk,) = put(store, 0)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.suffix in {".kvseg", ".sqlite"}}
    with Store.open(tmp_path, **MODEL, read_only=True) as reader:
        assert_same(reader.read(0), chunk)
        for write in (lambda: put(reader, 1), lambda: reader.note("a", 1), reader.sync):
            with pytest.raises(io.UnsupportedOperation, match="read-only"):
                write()
    assert before == {path: path.read_bytes() for path in before}


def test_a_memory_on_a_read_only_disk_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store.open(tmp_path, **MODEL) as store:
        (chunk,) = put(store, 0)
    before = sorted(path.name for path in tmp_path.iterdir())
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with Store.open(tmp_path, **MODEL, read_only=True) as reader:
        assert_same(reader.read(0), chunk)
        assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_nothing_to_read_says_so(tmp_path: Path) -> None:
    with pytest.raises(MemoryMissing, match="no memory here"):
        Store.open(tmp_path / "nowhere", **MODEL, read_only=True)
    assert not (tmp_path / "nowhere").exists()
    with pytest.raises(ValueError, match="needs a folder"):
        Store.open(None, **MODEL, read_only=True)


def test_a_closed_memory_says_so_and_closes_twice(tmp_path: Path) -> None:
    store = Store.open(tmp_path, **MODEL)
    put(store, 0)
    store.close()
    store.close()
    with pytest.raises(ValueError, match="closed"):
        store.read(0)


def test_only_its_owner_may_look_inside(tmp_path: Path) -> None:
    with Store.open(tmp_path / "a" / "b", **MODEL) as store:
        put(store, 0)
        for path in (tmp_path / "a" / "b").rglob("*"):
            mode = stat.S_IMODE(path.stat().st_mode)
            assert mode == (0o700 if path.is_dir() else 0o600), path


def test_a_file_system_without_locks_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(fd: int, kind: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    before = len(os.listdir("/proc/self/fd"))
    with monkeypatch.context() as without:
        without.setattr(fcntl, "flock", refuse)
        with pytest.raises(MemoryUnlockable, match=r"has no locks .*choose a folder"):
            Store.open(tmp_path, **MODEL)
    assert len(os.listdir("/proc/self/fd")) == before
    with Store.open(tmp_path, **MODEL) as store:
        put(store, 0)


def test_a_folder_of_another_user_is_refused_to_a_writer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store.open(tmp_path, **MODEL) as store:
        put(store, 0)
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    with pytest.raises(PermissionError, match="belongs to another user") as refused:
        Store.open(tmp_path, **MODEL)
    assert refused.value.filename == str(tmp_path)
    with Store.open(tmp_path, **MODEL, read_only=True) as reader:
        assert_same(reader.read(0), make_chunk(0))


def test_a_memory_of_the_first_format_goes_on(tmp_path: Path) -> None:
    """Without codecs in its rows, heads in its segments, kept spans and gaps."""
    with Store.open(tmp_path, **MODEL) as store:
        put(store, 0, 1)
    (segment,) = segment_files(tmp_path)
    data = segment.read_bytes()
    head = read_head(segment)
    assert head is not None
    segment.write_bytes(data[head.nbytes :])
    database = sqlite3.connect(tmp_path / "catalog.sqlite")
    with database:
        for table in ("kept", "gaps"):
            database.execute(f"DROP TABLE {table}")
        database.execute("DROP INDEX chunks_by_segment")
        database.execute("ALTER TABLE chunks DROP COLUMN codec")
        database.execute("UPDATE chunks SET offset = offset - ?", (head.nbytes,))
        database.execute("UPDATE take SET format = 1")
    database.close()
    with Store.open(tmp_path, **MODEL, config=NO_CACHE, read_only=True) as reader:
        assert_same(reader.read(1), make_chunk(1))
        assert (reader.gaps(), reader.kept(), reader.rungs()) == ([], [], {"raw": 2})
    with Store.open(tmp_path, **MODEL, config=NO_CACHE) as store:
        assert store.rungs() == {"raw": 2}
        put(store, 2)
        store.keep(0.0, 1.0)
    with Store.open(tmp_path, **MODEL, config=NO_CACHE) as store:
        for number in range(3):
            assert_same(store.read(number), make_chunk(number))


def test_threads_may_read_while_one_writes(tmp_path: Path) -> None:
    config = MemoryConfig(ram_bytes=2000, segment_bytes=5000, commit_s=0.01)
    wrong: list[str] = []
    with Store.open(tmp_path, **MODEL, config=config) as store:
        put(store, 0)
        is_done = threading.Event()

        def read() -> None:
            while not is_done.is_set():
                for info in store.infos():
                    if not same_bits(store.read(info.number).keys, make_chunk(info.number).keys):
                        wrong.append(f"chunk {info.number}")
                        return

        readers = [threading.Thread(target=read) for _ in range(3)]
        for reader in readers:
            reader.start()
        put(store, *range(1, 60))
        is_done.set()
        for reader in readers:
            reader.join()
        assert store.stats().corrupt == 0
    assert wrong == []


# ------------------------------------------------------------------ who may not


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("out", ["m", "m/out", "m/segments", "m/segments/deep/a", "link", "link/a"])
def test_nothing_is_exported_into_the_memory_itself(tmp_path: Path, out: str, force: bool) -> None:
    """It would be taken for its own, or replace what it is made of."""
    folder = written(tmp_path / "m")
    (tmp_path / "link").symlink_to(folder)
    before = contents(folder)
    with Store.open(folder, **MODEL, read_only=True) as store:
        with pytest.raises(FileExistsError, match=r"memory.*name (another folder|a folder else)"):
            export(store, tmp_path / out, force=force)
        assert [path.name for path in folder.rglob("*") if path.is_dir()] == ["segments"]
        now = contents(folder)  # and what readers share
        assert {name: now[name] for name in now if not name.endswith(("-shm", "-wal"))} == before
        assert export(store, tmp_path / "beside").chunks == 4


def test_a_memory_that_lost_its_catalog_is_named_as_such_without_a_video(
    tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is there, and can be made whole: "no memory yet" would be a lie."""
    folder = written(tmp_path / "m")
    (folder / "catalog.sqlite").unlink()
    segments = {name: data for name, data in contents(folder).items() if "kvseg" in name}
    words = ["ask", "what was there?", "--model", str(tiny_model), "--memory", str(folder)]
    assert cli.main(words) == cli.CONFIGURATION
    out, err = capsys.readouterr()
    assert out == "" and len(err.splitlines()) == 1
    for said in (str(folder), "segments but no catalog.sqlite", "verify --rebuild"):
        assert said in err
    assert segments.items() <= contents(folder).items()
    assert not (folder / "catalog.sqlite").exists()
