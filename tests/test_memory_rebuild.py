"""`longtake memory verify --rebuild`: the catalog again, from the segments alone."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from longtake import cli
from longtake.memory import files
from longtake.memory.config import MemoryConfig
from longtake.memory.files import MemoryDamaged, MemoryFull, MemoryInUse
from longtake.memory.marks import Span
from longtake.memory.old_catalog import Signature
from longtake.memory.rebuild import rebuild
from longtake.memory.store import Store
from longtake.memory.survey import survey
from longtake.memory.verify import verify
from tests.chunks import MODEL, assert_same, make_chunk, put, same_bits, segment_files, vectors_of
from tests.memories import patch, places, smooth, written

Run = Any
NO_CACHE = MemoryConfig(ram_bytes=0)
SMALL = MemoryConfig(segment_bytes=2000)


class Killed(BaseException):
    """In place of kill -9."""


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run ``longtake memory verify --rebuild``; returns exit code, stdout and stderr."""

    def call(*words: object) -> tuple[int, str, str]:
        code = cli.main(["memory", "verify", "--rebuild", *(str(word) for word in words)])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return call


def lose(folder: Path) -> None:
    for path in folder.glob("catalog.sqlite*"):
        path.unlink()


def garbage(folder: Path) -> None:
    lose(folder)
    (folder / "catalog.sqlite").write_bytes(b"not a database at all" * 400)


def truncate(folder: Path) -> None:
    os.truncate(folder / "catalog.sqlite", 5000)


def nothing(folder: Path) -> None:
    """A catalog that is whole may be made again too."""


def assert_holds(folder: Path, *numbers: int) -> None:
    """These chunks and no others, bit for bit, and the folder can be gone on with."""
    with Store.open(folder, **MODEL, config=NO_CACHE) as store:
        assert [info.number for info in store.infos()] == list(numbers)
        for number in numbers:
            assert_same(store.read(number), make_chunk(number))
            assert same_bits(store.vectors(number), vectors_of(make_chunk(number)))
    assert verify(folder).is_sound


# ------------------------------------------------------------------ what was lost is back


@pytest.mark.parametrize("harm", [lose, garbage, truncate, nothing])
def test_a_catalog_is_made_again(run: Run, tmp_path: Path, harm: Callable[[Path], None]) -> None:
    written(tmp_path, *range(7), segment_bytes=2000)
    harm(tmp_path)
    had_one = (tmp_path / "catalog.sqlite").exists()
    code, out, _ = run(tmp_path, "--json")
    shown = json.loads(out)
    assert (code, shown["chunks"], shown["catalog"], shown["damaged"]) == (0, 7, "rebuilt", [])
    assert shown["rebuilt"]["old_catalog"] == ("catalog.sqlite.damaged-1" if had_one else None)
    assert_holds(tmp_path, *range(7))
    with Store.open(tmp_path, **MODEL, config=SMALL) as store:
        put(store, 7, 8)
    assert_holds(tmp_path, *range(9))


def test_what_only_the_old_catalog_knew_is_taken_over(run: Run, tmp_path: Path) -> None:
    with Store.open(tmp_path, **MODEL) as store:
        put(store, 0, 1, 2, 3, 4)
        store.note("sources", [{"offset_s": 1.5}])
        store.keep(1.0, 2.0)
        store.sync()
    before = survey(tmp_path)
    for count in (1, 2):
        code, out, err = run(tmp_path)
        assert (code, err) == (0, "") and f"catalog.sqlite.damaged-{count}, 1 notes" in out
    after = survey(tmp_path)
    assert (after.notes["sources"], after.kept) == ([{"offset_s": 1.5}], before.kept)
    assert after.kept == (Span(1.0, 2.0),)
    for path in (tmp_path / "catalog.sqlite.damaged-1", tmp_path / "catalog.sqlite.damaged-2"):
        with closing(sqlite3.connect(path)) as old:
            assert old.execute("SELECT COUNT(*) FROM chunks").fetchone() == (5,)


def test_notes_of_pages_that_can_be_read_are_salvaged(run: Run, tmp_path: Path) -> None:
    with Store.open(tmp_path, **MODEL) as store:
        put(store, 0, 1)
        for index in range(200):
            store.note(f"note{index:03}", "x" * 400)
        store.sync()
    path = tmp_path / "catalog.sqlite"
    middle = path.stat().st_size // 2 // 4096 * 4096
    patch(path, middle, b"\xff" * 8192)
    code, out, _ = run(tmp_path, "--json")
    assert code == 0 and 50 < json.loads(out)["rebuilt"]["notes"] < 200
    assert_holds(tmp_path, 0, 1)
    with Store.open(tmp_path, **MODEL) as store:
        found = [store.noted(f"note{index:03}") for index in range(200)]
        assert {text for text in found if text is not None} == {"x" * 400}


def test_without_notes_it_is_said_that_sources_are_forgotten(run: Run, tmp_path: Path) -> None:
    garbage(written(tmp_path))
    assert "seen again" in run(tmp_path)[2]


def test_damaged_records_are_left_out_and_listed(run: Run, tmp_path: Path) -> None:
    written(tmp_path, *range(6))
    (path,) = segment_files(tmp_path)
    for number, offset, nbytes in places(tmp_path):
        if number in (2, 4):
            patch(path, offset + nbytes // 2, b"\x01\x02\x03\x04")
    lose(tmp_path)
    code, out, _ = run(tmp_path, "--json")
    shown = json.loads(out)
    assert (code, shown["chunks"], shown["corrupt"]) == (0, 4, 2)
    assert [one["number"] for one in shown["damaged"]] == [2, 4]
    assert_holds(tmp_path, 0, 1, 3, 5)


def test_of_several_records_of_a_chunk_the_newest_whole_one_counts(tmp_path: Path) -> None:
    """As a crash leaves them while chunks age: the old segment beside the new one."""
    folder = tmp_path / "m"
    with Store.open(folder, **MODEL, config=SMALL) as store:
        for number in range(6):
            store.put(smooth(number), vectors_of(smooth(number)))
    old = {path.name: path.read_bytes() for path in segment_files(folder)}
    with Store.open_as_found(folder, MemoryConfig(segment_bytes=2000, ladder="int8@1s")) as store:
        assert store.tidy() > 2
        aged = store.rungs()
    named = {path.name for path in segment_files(folder)}
    for name in set(old) - named:
        (folder / "segments" / name).write_bytes(old[name])
    lose(folder)
    shutil.copytree(folder, tmp_path / "harmed")
    rebuild(folder)
    assert {path.name for path in segment_files(folder)} == named
    with Store.open(folder, **MODEL, config=NO_CACHE) as store:
        assert store.rungs() == aged and len(store) == 6
        torch.testing.assert_close(store.read(0).keys, smooth(0).keys, atol=0.05, rtol=0.05)
    harmed = tmp_path / "harmed"
    newest = next(path for path in segment_files(harmed) if path.name not in old)
    patch(newest, newest.stat().st_size - 200, b"\x01\x02\x03\x04" * 20)
    made = rebuild(harmed)
    assert made.chunks == 6 and not made.left_out  # the older one is whole
    with Store.open(harmed, **MODEL, config=NO_CACHE) as store:
        assert {info.number for info in store.infos()} == set(range(6))
        for number in range(6):
            torch.testing.assert_close(
                store.read(number).keys, smooth(number).keys, atol=0.05, rtol=0.05
            )


def test_chunks_without_keys_and_numbers_are_kept(tmp_path: Path) -> None:
    with Store.open(tmp_path, **MODEL, config=SMALL) as store:
        for number in range(6):
            store.put(smooth(number), vectors_of(smooth(number)))
            store.album.put(number, np.full((8, 8, 3), number, np.uint8))
    ladder = MemoryConfig(segment_bytes=2000, ladder="picture@1s")
    with Store.open_as_found(tmp_path, ladder) as store:
        store.tidy()
        rungs, next_number = store.rungs(), store.next_number
        assert rungs["picture"] > 2
    made = rebuild(tmp_path)
    assert (made.chunks, made.pictures) == (6, rungs["picture"])
    with Store.open(tmp_path, **MODEL) as store:
        assert (store.rungs(), store.next_number) == (rungs, next_number)
        assert not store.has_keys(0) and store.album.jpeg(0) is not None


def test_what_was_forgotten_does_not_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where a crash came before its bytes were gone."""
    written(tmp_path, *range(6))

    def die(fd: int, offset: int, length: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    store = Store.open(tmp_path, **MODEL)
    with monkeypatch.context() as patched:
        patched.setattr(files, "erase", die)
        with pytest.raises(OSError):
            store.forget(2.0, 3.9)
        crashed = tmp_path.parent / f"{tmp_path.name}-crashed"
        shutil.copytree(tmp_path, crashed)
    canary = make_chunk(2).keys[0].numpy().tobytes()
    assert canary in segment_files(crashed)[0].read_bytes()
    made = rebuild(crashed)
    assert made.chunks == 4 and not made.left_out
    assert_holds(crashed, 0, 1, 4, 5)
    assert canary not in segment_files(crashed)[0].read_bytes()
    assert survey(crashed).gaps[0].reason == "forgotten"
    store.close()


# ------------------------------------------------------------------ whose it is


def headless(folder: Path) -> Path:
    """As the first longtake wrote it: a segment begins with its first record, no catalog."""
    written(folder, 0, 1, 2)
    (path,) = segment_files(folder)
    first = places(folder)[0][1]
    path.write_bytes(path.read_bytes()[first:])
    lose(folder)
    return folder


def test_segments_that_name_no_model_need_it_named(run: Run, tmp_path: Path) -> None:
    headless(tmp_path)
    code, out, err = run(tmp_path)
    assert (code, out) == (cli.CONFIGURATION, "") and "--model" in err
    code, out, err = run(tmp_path, "--model", "embedded")
    assert code == cli.MODEL and "not made by embedded" in err
    rebuild(tmp_path, signature=Signature("tiny", "abc"))
    assert_holds(tmp_path, 0, 1, 2)


def test_segments_of_another_model_are_set_aside(tmp_path: Path) -> None:
    written(tmp_path / "a", *range(6), segment_bytes=2000)
    written(tmp_path / "b", *range(9), segment_bytes=2000, fingerprint="xyz")
    shutil.copy(segment_files(tmp_path / "b")[1], tmp_path / "a" / "segments" / "000009.kvseg")
    made = rebuild(tmp_path / "a")
    assert made.chunks == 6
    assert_holds(tmp_path / "a", *range(6))
    assert (tmp_path / "a" / "segments" / "000009.kvseg.damaged-1").is_file()


def test_a_memory_without_a_record_is_made_usable(run: Run, tmp_path: Path) -> None:
    (tmp_path / "lock").mkdir()
    (tmp_path / "lock" / "writer.lock").touch()
    written(tmp_path / "torn", 0)
    (path,) = segment_files(tmp_path / "torn")
    os.truncate(path, path.stat().st_size - 10)
    lose(tmp_path / "torn")
    for name in ("lock", "torn"):
        code, out, _ = run(tmp_path / name, "--json")
        assert (code, json.loads(out)["chunks"]) == (0, 0)
        with Store.open(tmp_path / name, **MODEL) as store:
            put(store, 0, 1)
        assert_holds(tmp_path / name, 0, 1)


# ------------------------------------------------------------------ the album


def test_pictures_that_can_be_read_are_salvaged(tmp_path: Path) -> None:
    image = np.random.default_rng(1).integers(0, 255, (64, 64, 3), np.uint8)
    with Store.open(tmp_path, **MODEL) as store:
        for number in range(40):
            put(store, number)
            store.album.put(number, image)
        store.album.add_caption(1.0, 2.0, "a red ring")
        store.sync()
    album = tmp_path / "album.sqlite"
    patch(album, album.stat().st_size // 2 // 4096 * 4096, b"\xff" * 8192)
    assert verify(tmp_path).album == "damaged"
    rebuild(tmp_path)
    assert verify(tmp_path).album == "whole" and (tmp_path / "album.sqlite.damaged-1").exists()
    with Store.open(tmp_path, **MODEL) as store:
        found = sum(store.album.jpeg(number) is not None for number in range(40))
        assert 10 < found < 40
        assert [c.text for c in store.album.find("ring")] == ["a red ring"]


# ------------------------------------------------------------------ what can go wrong


def test_a_writer_keeps_a_rebuild_out(run: Run, tmp_path: Path) -> None:
    with Store.open(tmp_path, **MODEL) as store:
        put(store, 0)
        store.sync()
        with pytest.raises(MemoryInUse):
            rebuild(tmp_path)
        code, out, err = run(tmp_path)
        assert (code, out) == (cli.CONFIGURATION, "") and str(os.getpid()) in err


def test_a_full_disk_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, *range(6), segment_bytes=2000)
    from longtake.memory.catalog import Catalog

    def full(catalog: Catalog) -> None:
        raise MemoryFull("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(Catalog, "commit", full)
        with pytest.raises(MemoryFull):
            rebuild(tmp_path)
    assert not list(tmp_path.glob("catalog.sqlite.*"))
    assert_holds(tmp_path, *range(6))


@pytest.mark.parametrize("harm", [garbage, nothing])
def test_killed_anywhere_it_can_be_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: Callable[[Path], None]
) -> None:
    """A process that dies between any two changes of files leaves a memory that is whole at the
    latest after the next rebuild; one whose catalog was whole can be opened at once."""
    written(tmp_path / "m", *range(7), segment_bytes=2000)
    harm(tmp_path / "m")
    calls = [
        *((files, name) for name in ("rename", "sync_data", "sync_folder", "unlink")),
        *((os, name) for name in ("link", "replace")),
    ]
    for step in range(1, 40):
        folder = tmp_path / f"killed{step}"
        shutil.copytree(tmp_path / "m", folder)
        left = [step]
        with monkeypatch.context() as patched:
            for room, name in calls:
                patched.setattr(room, name, dying(getattr(room, name), left))
            try:
                rebuild(folder)
            except Killed:
                pass
        if left[0] > 0:
            break
        if harm is nothing:
            assert_holds(folder, *range(7))
        rebuild(folder)
        assert_holds(folder, *range(7))
    assert 5 < step < 39


def dying(call: Callable[..., Any], left: list[int]) -> Callable[..., Any]:
    """Does nothing any more when the steps are used up."""

    def instead(*given: Any) -> Any:
        left[0] -= 1
        if left[0] <= 0:
            raise Killed
        return call(*given)

    return instead


def test_two_catalogs_of_a_damaged_one_refuse_what_is_newer(tmp_path: Path) -> None:
    written(tmp_path)
    with closing(sqlite3.connect(tmp_path / "catalog.sqlite")) as database, database:
        database.execute("UPDATE take SET format = 99")
    with pytest.raises(ValueError, match="upgrade longtake"):
        rebuild(tmp_path)


def test_records_of_no_named_model_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MemoryDamaged, match="name it: --model"):
        rebuild(headless(tmp_path))
