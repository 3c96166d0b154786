"""`longtake memory verify`: every damage is found, in any folder, and nothing is touched."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest
import torch

from longtake import cli
from longtake.memory import files, scan
from longtake.memory.config import MemoryConfig
from longtake.memory.record import MemoryFromFuture, Part
from longtake.memory.scan import Found, SegmentFile, scan_segment
from longtake.memory.store import Store
from longtake.memory.verify import Verified, verify
from tests.chunks import MODEL, put, segment_files, vectors_of
from tests.memories import contents, flip, patch, places, smooth, written

Run = Any


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run ``longtake memory verify``; returns exit code, stdout and stderr."""

    def call(*words: object) -> tuple[int, str, str]:
        code = cli.main(["memory", "verify", *(str(word) for word in words)])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return call


def counts(seen: Verified) -> tuple[int, int, int, int]:
    """Chunks, corrupt, torn, missing."""
    return (seen.chunks, *(seen.count(kind) for kind in ("corrupt", "torn", "missing")))


def without_catalog(folder: Path) -> Path:
    (folder / "catalog.sqlite").unlink()
    return folder


# ------------------------------------------------------------------ one segment


def parts_of(found: Found) -> list[Part]:
    header = found.header
    assert header is not None
    parts = (header.positions, header.weights, header.vectors, *header.payloads)
    return [part for part in parts if part is not None]


def test_a_flip_of_any_byte_of_a_record_is_found(tmp_path: Path) -> None:
    written(tmp_path, 0, 1, 2, weights=True, camera="door")
    (path,) = segment_files(tmp_path)
    _, second, _ = scan_segment(path)
    first = parts_of(second)[0].offset
    covered = [*range(first), *(p.offset + i for p in parts_of(second) for i in range(p.nbytes))]
    assert len(covered) > 400
    for at in covered:
        with flip(path, second.offset + at), SegmentFile(path) as segment:
            assert segment.record(second.offset).damage, at
    with SegmentFile(path) as segment:
        assert segment.record(second.offset) == second


def test_records_are_found_without_a_catalog_wherever_they_lie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small and large ones, with what aligns them, in windows that end within them."""
    with Store.open(tmp_path, **MODEL) as store:
        for number, tokens in enumerate((3, 128, 5, 1, 129, 7)):
            put(store, number, heads=2, dim=64, tokens=tokens, dtype=torch.bfloat16)
    (path,) = segment_files(tmp_path)
    expected = [(offset, nbytes) for _, offset, nbytes in places(tmp_path)]
    for window in (64, 4096, 1 << 20):
        monkeypatch.setattr(scan, "_WINDOW", window)
        found = list(scan_segment(path))
        assert [(one.offset, one.nbytes) for one in found] == expected
        assert [one.header and one.header.info.number for one in found] == list(range(6))
        assert not any(one.damage for one in found)


@pytest.mark.parametrize("window", [64, 1 << 20])
def test_records_behind_damage_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, window: int
) -> None:
    """A header that cannot be read, or is gone, or garbage in place of whole records."""
    monkeypatch.setattr(scan, "_WINDOW", window)
    written(tmp_path, *range(6))
    (path,) = segment_files(tmp_path)
    at = places(tmp_path)
    noise = random.Random(1).randbytes(at[2][2])
    for data, offset in ((b"longtakE", at[2][1]), (noise, at[2][1]), (b"\1", at[2][1] + 20)):
        whole = path.read_bytes()
        patch(path, offset, data)
        found = list(scan_segment(path))
        assert [one.header.info.number for one in found if one.header] == [0, 1, 3, 4, 5]
        (damaged,) = (one for one in found if one.damage)
        assert damaged.offset == at[2][1] and not damaged.is_cut
        path.write_bytes(whole)


def test_a_record_within_a_damaged_one_is_found(tmp_path: Path) -> None:
    """Where a header claims more than is its own."""
    written(tmp_path / "a", 0, tokens=64)
    written(tmp_path / "b", 1)
    (path,) = segment_files(tmp_path / "a")
    ((_, offset, nbytes),) = places(tmp_path / "b")
    record = segment_files(tmp_path / "b")[0].read_bytes()[offset : offset + nbytes]
    ((_, begin, length),) = places(tmp_path / "a")
    inside = begin + (length // 2) // 64 * 64
    patch(path, inside, record)
    first, second = scan_segment(path)
    assert (first.offset, first.nbytes, bool(first.damage)) == (begin, length, True)
    assert (second.offset, second.damage) == (inside, None)


def test_erased_records_are_stepped_over(tmp_path: Path) -> None:
    written(tmp_path, *range(6))
    (path,) = segment_files(tmp_path)
    for number, offset, nbytes in places(tmp_path):
        if number in (0, 3, 4, 5):
            patch(path, offset, bytes(nbytes))
    found = list(scan_segment(path))
    assert [one.header and one.header.info.number for one in found] == [1, 2]
    assert not any(one.damage for one in found)


def test_a_head_that_is_changed_is_told(tmp_path: Path) -> None:
    written(tmp_path, 0, 1)
    (path,) = segment_files(tmp_path)
    for at in range(40):
        with flip(path, at):
            first, *rest = scan_segment(path)
            assert first.damage and first.offset == 0 and len(rest) == 2, at
            assert counts(verify(tmp_path)) == (2, 1, 0, 0)


# ------------------------------------------------------------------ a memory


def test_a_whole_memory_is_told_so_and_left_alone(run: Run, tmp_path: Path) -> None:
    written(tmp_path, *range(8), segment_bytes=2000)
    before = contents(tmp_path)
    code, out, err = run(tmp_path, "--json")
    assert (code, err) == (0, "")
    nbytes = sum(nbytes for _, _, nbytes in places(tmp_path))
    assert json.loads(out) == {
        "schema": "longtake.memory.verify/1",
        "memory": str(tmp_path),
        "catalog": "whole",
        "album": "whole",
        "writer": None,
        "chunks": 8,
        "corrupt": 0,
        "torn": 0,
        "missing": 0,
        "bytes": nbytes,
        "damaged": [],
    }
    code, out, err = run(tmp_path)
    assert (code, err) == (0, "") and "8, " in out and "none" in out
    assert contents(tmp_path) == before


@pytest.mark.parametrize("has_catalog", [True, False])
def test_changed_bytes_are_corrupt_and_end_with_3(
    run: Run, tmp_path: Path, has_catalog: bool
) -> None:
    written(tmp_path, *range(6), segment_bytes=2000)
    path = segment_files(tmp_path)[1]
    number, offset, nbytes = next(p for p in places(tmp_path, 1))
    patch(path, offset + nbytes - 100, b"\xff\x00\xff")
    if not has_catalog:
        without_catalog(tmp_path)
    code, out, _ = run(tmp_path, "--json")
    shown = json.loads(out)
    assert code == cli.CONFIGURATION
    assert (shown["chunks"], shown["corrupt"], shown["torn"], shown["missing"]) == (6, 1, 0, 0)
    (damaged,) = shown["damaged"]
    assert damaged["number"] == number and damaged["file"] == path.name
    assert damaged["start_s"] == number + 0.1 and "not those that were written" in damaged["why"]
    code, out, _ = run(tmp_path)
    assert code == cli.CONFIGURATION and f"chunk {number}" in out and "1 corrupt" in out


@pytest.mark.parametrize("has_catalog", [True, False])
def test_a_torn_tail_is_no_corruption(run: Run, tmp_path: Path, has_catalog: bool) -> None:
    written(tmp_path / "m", *range(6), segment_bytes=2000)
    last = segment_files(tmp_path / "m")[-1].name
    *_, (_, offset, nbytes) = places(tmp_path / "m")
    for cut in (1, 70, nbytes - 70, nbytes - 12, nbytes - 3):
        folder = tmp_path / f"cut{cut}"
        shutil.copytree(tmp_path / "m", folder)
        os.truncate(folder / "segments" / last, offset + nbytes - cut)
        if not has_catalog:
            without_catalog(folder)
        code, out, _ = run(folder, "--json")
        shown = json.loads(out)
        assert (code, shown["corrupt"], shown["torn"], shown["missing"]) == (0, 0, 1, 0), cut


def test_what_came_before_its_row_is_torn_too(run: Run, tmp_path: Path) -> None:
    """A crash between payload and row, with whole records, and half of one."""
    with Store.open(tmp_path / "live", **MODEL, config=MemoryConfig(commit_s=1000)) as store:
        put(store, 0, 1)
        store.sync()
        shutil.copytree(tmp_path / "live", tmp_path / "killed")
        put(store, 2, 3)
        store.sync()
        (path,) = segment_files(tmp_path / "live")
        data = path.read_bytes()
    (path,) = segment_files(tmp_path / "killed")
    path.write_bytes(data[:-300])
    code, out, _ = run(tmp_path / "killed", "--json")
    shown = json.loads(out)
    assert (code, shown["chunks"], shown["torn"], shown["corrupt"]) == (0, 2, 2, 0)


def test_a_memory_that_was_killed_before_its_first_row(run: Run, tmp_path: Path) -> None:
    written(tmp_path / "m", 0)
    (segment,) = segment_files(tmp_path / "m")
    for name, begun in (
        ("lock", ["writer.lock"]),
        ("album", ["writer.lock", "album.sqlite"]),
        ("catalog", ["writer.lock", "album.sqlite", "catalog.sqlite"]),
    ):
        folder = tmp_path / name
        folder.mkdir()
        for file in begun:
            (folder / file).touch()
        code, out, _ = run(folder, "--json")
        assert (code, json.loads(out)["chunks"]) == (0, 0), name
    with Store.open(tmp_path / "signed", **MODEL):
        pass
    (tmp_path / "signed" / "segments").mkdir(exist_ok=True)
    for length in (10, 100, 200, segment.stat().st_size - 1, segment.stat().st_size):
        path = tmp_path / "signed" / "segments" / "000000.kvseg"
        path.write_bytes(segment.read_bytes()[:length])
        code, out, _ = run(tmp_path / "signed", "--json")
        shown = json.loads(out)
        assert (code, shown["chunks"], shown["corrupt"]) == (0, 0, 0), length


def test_a_segment_that_is_gone_is_missing(run: Run, tmp_path: Path) -> None:
    written(tmp_path, *range(6), segment_bytes=2000)
    gone = len(places(tmp_path, 1))
    segment_files(tmp_path)[1].unlink()
    code, out, _ = run(tmp_path, "--json")
    shown = json.loads(out)
    assert (code, shown["missing"], shown["corrupt"]) == (cli.CONFIGURATION, gone, 0)
    assert {one["kind"] for one in shown["damaged"]} == {"missing"}


def test_whole_records_in_the_wrong_place_are_corrupt(tmp_path: Path) -> None:
    written(tmp_path, *range(4))
    (path,) = segment_files(tmp_path)
    (_, a, nbytes), (_, b, also) = places(tmp_path)[:2]
    assert nbytes == also
    data = path.read_bytes()
    patch(path, a, data[b : b + nbytes])
    patch(path, b, data[a : a + nbytes])
    seen = verify(tmp_path)
    assert counts(seen) == (4, 2, 0, 0)
    assert [one.why for one in seen.damaged] == [f"the record there is chunk {n}" for n in (1, 0)]


@pytest.mark.parametrize("has_catalog", [True, False])
def test_records_of_another_model_are_corrupt(tmp_path: Path, has_catalog: bool) -> None:
    written(tmp_path / "a", *range(4), segment_bytes=2000)
    written(tmp_path / "b", *range(4), segment_bytes=2000, fingerprint="xyz")
    shutil.copy(segment_files(tmp_path / "b")[1], segment_files(tmp_path / "a")[1])
    if not has_catalog:
        without_catalog(tmp_path / "a")
    seen = verify(tmp_path / "a")
    assert seen.count("corrupt") == len(places(tmp_path / "b", 1))
    assert all("another model" in one.why for one in seen.damaged)


def test_a_damaged_database_is_told_and_the_segments_are_still_read(
    run: Run, tmp_path: Path
) -> None:
    written(tmp_path, *range(4))
    (tmp_path / "catalog.sqlite").write_bytes(b"not a database at all" * 400)
    code, out, err = run(tmp_path, "--json")
    shown = json.loads(out)
    assert (code, shown["catalog"], shown["chunks"]) == (cli.CONFIGURATION, "damaged", 4)
    assert "--rebuild" in err
    written(tmp_path / "other", *range(4))
    (tmp_path / "other" / "album.sqlite").write_bytes(b"not a database at all" * 400)
    code, out, _ = run(tmp_path / "other", "--json")
    assert (code, json.loads(out)["album"]) == (cli.CONFIGURATION, "damaged")


def test_a_folder_without_catalog_is_read(run: Run, tmp_path: Path) -> None:
    without_catalog(written(tmp_path, *range(5), segment_bytes=2000))
    code, out, err = run(tmp_path, "--json")
    shown = json.loads(out)
    assert (code, shown["catalog"], shown["chunks"], shown["corrupt"]) == (0, "missing", 5, 0)
    assert "--rebuild" in err


def test_what_a_newer_longtake_wrote_is_refused(run: Run, tmp_path: Path) -> None:
    written(tmp_path)
    database = sqlite3.connect(tmp_path / "catalog.sqlite")
    with database:
        database.execute("UPDATE take SET format = 99")
    database.close()
    code, out, err = run(tmp_path)
    assert (code, out) == (cli.CONFIGURATION, "") and "upgrade longtake" in err


def test_a_newer_record_is_refused_and_not_called_damaged(tmp_path: Path) -> None:
    import struct

    import xxhash

    written(tmp_path)
    (path,) = segment_files(tmp_path)
    data, (_, offset, _) = path.read_bytes(), places(tmp_path)[0]
    (nbytes,) = struct.unpack_from("<I", data, offset + 12)
    body = bytearray(data[offset : offset + nbytes - 8])
    struct.pack_into("<I", body, 8, 2)
    patch(path, offset, bytes(body) + struct.pack("<Q", xxhash.xxh3_64_intdigest(bytes(body))))
    with pytest.raises(MemoryFromFuture):
        verify(tmp_path)


def test_what_is_no_memory_is_named(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path, said in (
        (tmp_path, "no memory here"),
        (tmp_path / "gone", "no such folder"),
        (tmp_path / "file", "a file, not a folder"),
    ):
        for flags in ((), ("--rebuild",)):
            code, out, err = run(path, *flags)
            assert (code, out) == (cli.CONFIGURATION, "") and said in err


def test_a_place_that_cannot_be_read_costs_that_chunk_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path, *range(4))
    _, bad, nbytes = places(tmp_path)[2]
    read_all = files.read_all

    def fail_there(fd: int, length: int, offset: int) -> bytearray:
        if offset < bad + nbytes and offset + length > bad + 100 and offset >= bad:
            raise OSError(errno.EIO, "Input/output error")
        return read_all(fd, length, offset)

    monkeypatch.setattr(files, "read_all", fail_there)
    seen = verify(tmp_path)
    assert counts(seen) == (4, 1, 0, 0)
    assert (seen.damaged[0].number, "Input/output error" in seen.damaged[0].why) == (2, True)


# ------------------------------------------------------------------ beside a writer


def test_what_a_writer_has_under_way_is_not_looked_at(tmp_path: Path) -> None:
    with Store.open(tmp_path, **MODEL, config=MemoryConfig(commit_s=1000)) as store:
        put(store, 0, 1, 2)
        store.sync()
        put(store, 3, 4)
        seen = verify(tmp_path)
        assert counts(seen) == (3, 0, 0, 0) and seen.writer == str(os.getpid())


def test_what_a_writer_forgets_meanwhile_is_no_damage(tmp_path: Path) -> None:
    with Store.open(tmp_path, **MODEL) as store:
        put(store, *range(6))
        store.sync()
        done: list[int] = []

        def forget_once(nbytes: int, total: int) -> None:
            if not done:
                done.append(store.forget(3.0, 5.0).chunks)

        seen = verify(tmp_path, forget_once)
        assert done == [2] and not seen.damaged


def test_what_a_writer_moves_meanwhile_is_checked_where_it_lies_now(tmp_path: Path) -> None:
    config = MemoryConfig(ladder="int8@1s", segment_bytes=2000)
    with Store.open(tmp_path, **MODEL, config=MemoryConfig(segment_bytes=2000)) as store:
        for number in range(6):
            store.put(smooth(number), vectors_of(smooth(number)))
    done: list[int] = []

    def age_once(nbytes: int, total: int) -> None:
        if not done:
            with Store.open_as_found(tmp_path, config) as store:
                done.append(store.tidy())

    seen = verify(tmp_path, age_once)
    assert done[0] > 2 and not seen.damaged
    assert counts(verify(tmp_path)) == (6, 0, 0, 0)
