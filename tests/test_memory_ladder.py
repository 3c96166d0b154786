"""Old chunks take less room, rung by rung, and are readable at every moment."""

from __future__ import annotations

import math
import os
import shutil
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from longtake.memory import ageing, files
from longtake.memory.chunk import Chunk, ChunkInfo, summarize
from longtake.memory.config import MemoryConfig
from longtake.memory.files import MemoryFull
from longtake.memory.known import ChunkMissing
from longtake.memory.ladder import RUNGS, Ladder, level_of
from longtake.memory.store import Store
from tests.chunks import MODEL, assert_same, segment_files

SHAPE = (2, 2, 64, 16)  # layers, heads, tokens, dimension
RAW = 2 * 4 * math.prod(SHAPE)
ERRORS = {"raw": 0.0, "int8": 0.05, "kivi4": 0.5, "kivi2": 2.5}  # of numbers from -3 to 3


def smooth(number: int, step_s: float = 1.0) -> Chunk:
    """Numbers as a model makes them, the same for the same number."""
    random = torch.Generator().manual_seed(number)
    keys, values = (torch.randn(SHAPE, generator=random).clamp(-3, 3) for _ in range(2))
    info = ChunkInfo(number, number * step_s, number * step_s + 0.5, tokens=SHAPE[2])
    return Chunk(info, keys, values, torch.arange(SHAPE[2], dtype=torch.int32)[None])


def put(store: Store, *numbers: int) -> None:
    for number in numbers:
        chunk = smooth(number)
        store.put(chunk, summarize(chunk.keys))
        store.album.put(number, torch.full((8, 8, 3), number % 256, dtype=torch.uint8).numpy())
    store.drain()


def settle(store: Store) -> dict[str, int]:
    """Let age what is due."""
    store.sync()
    store.tidy()
    return store.rungs()


def check(store: Store, number: int, most: float = ERRORS["kivi2"]) -> None:
    """What comes back is what was put, within an error."""
    chunk, found = smooth(number), store.read(number)
    assert found.info == chunk.info
    assert (found.keys - chunk.keys).abs().max() <= most
    assert (found.values - chunk.values).abs().max() <= most
    for layer in range(SHAPE[0]):
        keys, values = store.layer(number, layer)
        assert keys.equal(found.keys[layer]) and values.equal(found.values[layer])
    assert store.vectors(number).equal(summarize(chunk.keys))  # search is as it was


def small(**values: Any) -> MemoryConfig:
    """Four chunks a segment, and nothing from RAM."""
    return MemoryConfig(ram_bytes=0, segment_bytes=4 * RAW + 4000, **values)


# ------------------------------------------------------------------ the ladder as text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("int7", "'int7' is no rung"),
        ("", "'' is no rung"),
        ("raw", "'raw' is no rung"),
        ("int8@", "'int8@' is no rung"),
        ("int8@1y", "no rung"),
        ("int8@1.2.3h", "'1.2.3' is no age"),
        ("kivi4,int8", "int8 stands below kivi4"),
        ("int8,int8", "int8 stands below int8"),
        ("int8@2h,kivi4@1h", "must not come earlier"),
    ],
)
def test_a_ladder_that_makes_no_sense_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Ladder.parse(text)
    with pytest.raises(ValueError, match="ladder="):
        MemoryConfig(ladder=text)


def test_a_ladder_says_where_a_chunk_stands() -> None:
    ladder = Ladder.parse("int8@60s, kivi4@2h, kivi2, gone@1d")
    assert [level_of(name) for name in RUNGS] == list(range(6))
    assert level_of("unbiased-kivi4") == 2
    for level, age_s, expected in [
        (0, 60.0, None),
        (0, 61.0, "int8"),
        (1, 7200.0, None),
        (0, 7201.0, "kivi4"),
        (2, 86_000.0, None),
        (2, 86_401.0, "gone"),
    ]:
        rung = ladder.due(level, age_s)
        assert (rung and rung.name) == expected
    names = [[rung.name for rung in ladder.below(level)] for level in range(6)]
    assert names[0] == ["int8", "kivi4", "kivi2", "gone"]
    assert names[3:] == [["gone"], ["gone"], []]
    assert Ladder.parse("none").below(0) == ()


# ------------------------------------------------------------------ by age


def test_chunks_go_down_by_age_and_stay_readable(tmp_path: Path) -> None:
    config = small(ladder="int8@10s,kivi4@20s,kivi2@30s,picture@40s,gone@60s")
    with Store.open(tmp_path, **MODEL, config=config) as store:
        put(store, *range(80))
        rungs = settle(store)
        assert set(rungs) == {"raw", "int8", "kivi4", "kivi2", "picture"}
        infos = [info.number for info in store.infos()]
        assert infos == list(range(infos[0], 80))
        assert 16 <= infos[0] <= 20  # older than a minute, by whole segments
        (gap,) = store.gaps()
        assert (gap.start_s, gap.chunks, gap.reason) == (0.0, infos[0], "aged")
        ages = {n: 79.5 - n for n in infos}
        for number, age_s in ages.items():
            assert store.album.jpeg(number) is not None
            if store.has_keys(number):
                check(store, number, ERRORS["kivi2" if age_s > 30 else "kivi4"])
                assert age_s < 44.0 + 1
            else:
                assert age_s > 40.0
                with pytest.raises(ChunkMissing, match="only the picture is left"):
                    store.read(number)
        assert store.album.jpeg(0) is None
        numbers, _ = store.all_vectors()
        assert numbers.tolist() == [n for n in infos if store.has_keys(n)]
        for number in range(76, 80):
            assert_same(store.read(number), smooth(number))
    with Store.open(tmp_path, **MODEL, config=small(ladder="none")) as store:
        assert store.rungs() == rungs
        for number in numbers.tolist():
            check(store, number)
        put(store, 80)
        assert_same(store.read(80), smooth(80))


def test_each_rung_costs_what_its_codec_costs(tmp_path: Path) -> None:
    sizes = []
    for rung in ("int8", "kivi4", "kivi2"):
        with Store.open(tmp_path / rung, **MODEL, config=small(ladder=f"{rung}@1s")) as store:
            put(store, *range(41))
            settle(store)
        sizes.append(sum(path.stat().st_size for path in segment_files(tmp_path / rung)))
    raw = 41 * RAW
    assert raw > 2 * sizes[0] > 2.5 * sizes[1] > 2.5 * sizes[2]


# ------------------------------------------------------------------ by room


def test_a_budget_is_kept_and_what_is_kept_is_spread_over_the_whole_time(tmp_path: Path) -> None:
    """Everything is int8 before anything is 4 bit; the newest come last."""
    limit = 60 * RAW
    config = small(disk_bytes=limit)
    seen = set()
    with Store.open(tmp_path, **MODEL, config=config) as store:
        for number in range(300):
            put(store, number)
            if number % 20 == 0:
                store.sync()
                assert store.stats().disk_bytes <= limit
                rungs = store.rungs()
                seen |= set(rungs)
                if len(rungs) > 2:  # three rungs at once only around the growing segment
                    names = list(rungs)
                    assert names[0] == "raw" and rungs["raw"] <= 8, rungs
        settle(store)  # nothing moves while it is looked at
        assert store.stats().aged > 300
        found = store.infos()
        assert found[-1].number == 299
        for info in found:
            if store.has_keys(info.number):
                check(store, info.number)
        assert {"raw", "int8", "kivi4", "kivi2"} <= seen | set(store.rungs())
    with Store.open(tmp_path, **MODEL, config=config) as store:
        assert [info.number for info in store.infos()] == [info.number for info in found]


def test_without_a_ladder_a_full_memory_refuses(tmp_path: Path) -> None:
    config = small(disk_bytes=20 * RAW, ladder="none", queue_bytes=0)
    with Store.open(tmp_path, **MODEL, config=config) as store:
        with pytest.raises(MemoryFull, match="--disk-bytes"):
            put(store, *range(100))
        assert set(store.rungs()) == {"raw"}
        count = len(store)
    with Store.open(tmp_path, **MODEL, config=config) as store:
        assert len(store) == count


def test_a_budget_below_one_chunk_says_so(tmp_path: Path) -> None:
    with (
        Store.open(tmp_path, **MODEL, config=small(disk_bytes=RAW, queue_bytes=0)) as store,
        pytest.raises(MemoryFull, match=f"disk_bytes={RAW}"),
    ):
        put(store, 0)


# ------------------------------------------------------------------ kept moments


def test_kept_moments_stay_bit_for_bit_and_others_do_not(tmp_path: Path) -> None:
    config = small(ladder="kivi2@15s,picture@20s,gone@40s")
    with Store.open(tmp_path, **MODEL, config=config) as store:
        put(store, *range(10))
        assert store.keep(2.0, 5.2) == 4
        assert store.keep(5.0, 6.0) == 2
        (span,) = store.kept()
        assert (span.start_s, span.end_s) == (2.0, 6.0)
        put(store, *range(10, 100))
        settle(store)
        held = {info.number for info in store.infos()}
        assert set(range(2, 7)) <= held
        assert not held & {0, 1, 7, 8, 20}
        for number in range(2, 7):
            assert_same(store.read(number), smooth(number))
        store.release(4.0, 6.0)
        put(store, 100)
        settle(store)
        held = {info.number for info in store.infos()}
        assert {2, 3} <= held and not held & {5, 6}
        assert_same(store.read(2), smooth(2))
    with Store.open(tmp_path, **MODEL, config=config) as store:
        assert store.kept()[0].end_s < 4.0
        for start_s, end_s in [(3.0, 2.0), (math.nan, 1.0), (0.0, math.inf)]:
            with pytest.raises(ValueError, match="must"):
                store.keep(start_s, end_s)


# ------------------------------------------------------------------ while others read, and crashes


def test_readers_find_every_chunk_while_it_ages(tmp_path: Path) -> None:
    wrong: list[object] = []
    config = small(ladder="int8@5s,kivi4@10s,kivi2@20s", commit_s=0.01)
    with Store.open(tmp_path, **MODEL, config=config) as store:
        put(store, *range(8))
        store.sync()
        is_done = threading.Event()

        def read(own: Store) -> None:
            try:
                while not is_done.is_set():
                    own.refresh() if own.read_only else None
                    for info in own.infos()[:: max(1, len(own) // 8)]:
                        keys, values = own.layer(info.number, 1)
                        both, put = torch.stack((keys, values)), smooth(info.number)
                        assert (both[0] - put.keys[1]).abs().max() <= ERRORS["kivi2"]
                        assert (both[1] - put.values[1]).abs().max() <= ERRORS["kivi2"]
            except BaseException as error:
                wrong.append(error)

        with Store.open(tmp_path, **MODEL, config=small(), read_only=True) as reader:
            threads = [threading.Thread(target=read, args=(one,)) for one in (store, reader)]
            for thread in threads:
                thread.start()
            for number in range(8, 120):
                put(store, number)
            settle(store)
            is_done.set()
            for thread in threads:
                thread.join()
        assert store.stats().aged > 100
    assert wrong == []


def test_a_crash_at_any_step_of_ageing_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder is copied before every call to the system that ageing makes."""
    live, config = tmp_path / "live", small(ladder="none")
    with Store.open(live, **MODEL, config=config) as store:
        put(store, *range(12))
    copies: list[Path] = []

    def watch(name: str) -> None:
        real = getattr(files, name)

        def call(*args: Any) -> Any:
            copies.append(tmp_path / f"copy{len(copies)}")
            shutil.copytree(live, copies[-1])
            return real(*args)

        monkeypatch.setattr(files, name, call)

    for name in ("write_all", "sync_data", "unlink", "sync_folder"):
        watch(name)
    ageing = small(ladder="kivi4@1s,picture@9s")
    with Store.open(live, **MODEL, config=ageing) as store:
        settle(store)
        assert store.rungs() == {"raw": 4, "kivi4": 8}  # a segment ages whole
    monkeypatch.undo()
    assert len(copies) > 10
    for copy in copies:
        with Store.open(copy, **MODEL, config=config) as store:
            assert [info.number for info in store.infos()] == list(range(12))
            for number in range(12):
                if store.has_keys(number):
                    check(store, number)
            named = {row.place.segment for row in store._catalog.rows() if row.place}
            there = {int(path.stem) for path in segment_files(copy)}
            assert there <= named | {store._folder.segments.current}
            put(store, 12)
        with Store.open(copy, **MODEL, config=ageing) as store:  # and it goes on
            settle(store)
            assert store.rungs().get("raw", 0) <= 5  # young, or in the segment that grows


def test_a_disk_that_refuses_leaves_old_chunks_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(fd: int, data: bytes, offset: int) -> None:
        raise OSError(28, os.strerror(28))

    with Store.open(tmp_path, **MODEL, config=small(ladder="none")) as store:
        put(store, *range(20))
    config = small(ladder="int8@2s")
    with Store.open(tmp_path, **MODEL, config=config) as store:
        with monkeypatch.context() as broken:
            broken.setattr(files, "write_all", fail)
            assert settle(store) == {"raw": 20}
            assert "old chunks stay as they are" in caplog.text
            for number in range(20):
                assert_same(store.read(number), smooth(number))
        put(store, *range(20, 24))
        assert settle(store)["int8"] >= 16
        for number in range(24):
            check(store, number)


def test_a_damaged_chunk_is_moved_as_it_is(tmp_path: Path) -> None:
    with Store.open(tmp_path, **MODEL, config=small(ladder="none")) as store:
        put(store, *range(9))
        row = store._catalog.row(2)
    assert row is not None and row.place is not None
    path = segment_files(tmp_path)[0]
    data = bytearray(path.read_bytes())
    data[row.place.end - 100] ^= 1
    path.write_bytes(data)
    with Store.open(tmp_path, **MODEL, config=small(ladder="int8@0.5s")) as store:
        settle(store)
        assert store.rungs()["int8"] >= 6
        with pytest.raises(OSError, match=r"chunk 2 .* is damaged"):
            store.read(2)
        for number in (0, 1, 3, 4):
            check(store, number, ERRORS["int8"])


def test_a_chunk_that_cannot_be_read_stays_where_it_is_and_others_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bad sector: reading it fails, and later does not."""
    with Store.open(tmp_path, **MODEL, config=small(ladder="none")) as store:
        put(store, *range(12))
        row = store._catalog.row(5)
    assert row is not None and row.place is not None
    bad, read_into = row.place, files.read_into

    def read(fd: int, buffer: memoryview, offset: int) -> None:
        is_there = os.readlink(f"/proc/self/fd/{fd}").endswith(f"{bad.segment:06d}.kvseg")
        if is_there and offset < bad.end and bad.offset < offset + len(buffer):
            raise OSError(5, "Input/output error")
        read_into(fd, buffer, offset)

    config = small(ladder="int8@1s,kivi2@2s", disk_bytes=1 << 30)
    with Store.open(tmp_path, **MODEL, config=config) as store:
        with monkeypatch.context() as broken:
            broken.setattr(files, "read_into", read)
            assert settle(store) == {"raw": 5, "kivi2": 7}
            assert store._catalog.row(5) == row
            numbers, _ = store.all_vectors()
            assert numbers.tolist() == [n for n in range(12) if n != 5]
            put(store, 12)
        assert_same(store.read(5), smooth(5))
        for number in range(13):
            check(store, number)


def test_a_missing_segment_is_left_alone_until_it_is_back(tmp_path: Path) -> None:
    with Store.open(tmp_path, **MODEL, config=small(ladder="none")) as store:
        put(store, *range(12))
    first = segment_files(tmp_path)[0]
    away = first.rename(tmp_path / "away")
    with Store.open(tmp_path, **MODEL, config=small(ladder="int8@1s")) as store:
        settle(store)
        assert store.rungs()["raw"] >= 4
    away.rename(first)
    with Store.open(tmp_path, **MODEL, config=small(ladder="none")) as store:
        for number in range(4):
            assert_same(store.read(number), smooth(number))


def test_kept_and_degraded_chunks_in_one_segment_come_to_rest(tmp_path: Path) -> None:
    """What is kept stands higher than what may age: nothing is written anew for ever."""
    config = small(ladder="int8@2s", commit_s=0, queue_bytes=0)
    with Store.open(tmp_path, **MODEL, config=replace(config, ladder="none")) as store:
        put(store, 0)
    with Store.open(
        tmp_path, **MODEL, config=replace(config, codec="kivi2", ladder="none")
    ) as store:
        put(store, *range(1, 9))
        store.keep(0.0, 0.2)
        store.keep(3.0, 3.2)
        store.keep(3.1, 4.2)  # chunks that several spans touch
    with Store.open(tmp_path, **MODEL, config=config) as store:
        put(store, *range(9, 20))
        first = settle(store)
        begun = store._folder.segments._next
        assert settle(store) == first
        assert store._folder.segments._next == begun
        assert_same(store.read(0), smooth(0))


def test_kept_pictures_do_not_keep_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ageing, "PICTURES_AT_ONCE", 2)
    with Store.open(tmp_path, **MODEL, config=small(ladder="picture@1s")) as store:
        put(store, *range(20))
        settle(store)
        store.keep(0.0, 3.2)
    with Store.open(tmp_path, **MODEL, config=small(ladder="picture@1s,gone@2s")) as store:
        put(store, 20)
        settle(store)
        held = [info.number for info in store.infos()]
        assert held[:4] == [0, 1, 2, 3] and held[4] > 12


def test_a_bias_goes_with_the_records_that_need_it(tmp_path: Path) -> None:
    """Kept chunks are moved as they are; later the bias is another, or not known any more."""
    bias = torch.linspace(-500, 500, SHAPE[0] * SHAPE[1] * SHAPE[3]).view(SHAPE[0], -1)

    def biased(number: int) -> Chunk:
        plain = smooth(number)
        keys = plain.keys + bias.view(SHAPE[0], SHAPE[1], 1, SHAPE[3])
        return Chunk(plain.info, keys, plain.values, plain.positions)

    config = small(codec="int8", ladder="none")
    with Store.open(tmp_path, **MODEL, config=config, key_bias=bias) as store:
        for number in range(30):
            store.put(biased(number), summarize(biased(number).keys))
        store.keep(0.0, 1.2)
        assert store.rungs() == {"int8": 30}
    for key_bias in (None, bias * 3):
        ageing_too = small(codec="int8", ladder="kivi4@5s")
        with Store.open(tmp_path, **MODEL, config=ageing_too, key_bias=key_bias) as store:
            settle(store)
    with Store.open_as_found(tmp_path, config=small(ladder="none")) as store:
        assert store.rungs()["kivi4"] >= 10
        for number in range(30):
            found = store.read(number)
            worst = ERRORS["int8"] if number < 2 else ERRORS["kivi4"]
            assert (found.keys - biased(number).keys).abs().max() <= worst + 0.01


def test_a_temporary_memory_ages_too() -> None:
    with Store.open(None, **MODEL, config=small(ladder="int8@3s,gone@20s")) as store:
        put(store, *range(60))
        assert set(settle(store)) == {"raw", "int8"}
        assert store.infos()[0].number > 30
        check(store, 45)
