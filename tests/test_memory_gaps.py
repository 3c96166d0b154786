"""Time in which a camera was not connected is a gap of its own: told, durable, never seen again."""

from __future__ import annotations

import io
import json
import math
import os
import sqlite3
import threading
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import pytest

from longtake import cli
from longtake.memory import marks
from longtake.memory.catalog import Catalog
from longtake.memory.chunk import Chunk, ChunkInfo
from longtake.memory.config import MemoryConfig
from longtake.memory.events import Event
from longtake.memory.exporting import export
from longtake.memory.files import MemoryFull
from longtake.memory.importing import import_memory
from longtake.memory.marks import Gap
from longtake.memory.rebuild import rebuild
from longtake.memory.store import Store
from longtake.memory.survey import survey
from longtake.memory.verify import verify
from tests.chunks import MODEL, make_chunk, put, vectors_of

SOON_S = 20.0


def put_at(
    store: Store,
    start_s: float,
    camera: str = "",
    number: int | None = None,
    length_s: float = 0.5,
) -> None:
    """A chunk that begins there."""
    made = make_chunk(0)
    name = store.next_number if number is None else number
    info = ChunkInfo(name, start_s, start_s + length_s, camera, tokens=made.tokens)
    store.put(Chunk(info, made.keys, made.values, made.positions), vectors_of(made))
    store.drain()


def offline(start_s: float, end_s: float, camera: str = "door") -> Gap:
    return Gap(start_s, end_s, 0, "offline", camera)


def test_an_outage_is_a_gap_at_once_and_after_a_restart(tmp_path: Path) -> None:
    with Store.open(tmp_path, **MODEL, config=MemoryConfig(commit_s=1000)) as store:
        put_at(store, 0.0, "door")
        store.miss_span(0.5, 4.0, "door")
        assert store.gaps() == [offline(0.5, 4.0)]
        store.sync()
        assert store.gaps() == [offline(0.5, 4.0)]  # once
        store.miss_span(6.0, 7.0, "yard")
        assert store.gaps() == [offline(0.5, 4.0), offline(6.0, 7.0, "yard")]
        put_at(store, 8.0, "door")
        assert store.next_number == 2  # a gap takes no chunk's number
    with Store.open(tmp_path, **MODEL) as store:
        assert store.gaps() == [offline(0.5, 4.0), offline(6.0, 7.0, "yard")]
        assert len(store) == store.next_number == 2


@pytest.mark.parametrize("is_durable", [True, False])
def test_an_outage_told_while_it_lasts_is_one_gap(tmp_path: Path, is_durable: bool) -> None:
    with Store.open(tmp_path, **MODEL, config=MemoryConfig(commit_s=1000)) as store:
        for to_s in range(1, 6):
            store.miss_span(float(to_s - 1), float(to_s), "door")
            store.miss_span(2.0, float(to_s) + 2, "yard")
            if is_durable:
                store.sync()
        store.miss_span(5.5, 6.0, "door")
        store.sync()
        assert store.gaps() == [offline(0, 5), offline(2.0, 7.0, "yard"), offline(5.5, 6.0)]


def test_nobody_waits_for_a_disk_that_stands_still(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_held, may_go = threading.Event(), threading.Event()
    commit = Catalog.commit

    def held(self: Catalog) -> None:
        is_held.set()
        assert may_go.wait(SOON_S)
        commit(self)

    with Store.open(tmp_path, **MODEL, config=MemoryConfig(commit_s=0.0)) as store:
        with monkeypatch.context() as slow:
            slow.setattr(Catalog, "commit", held)
            store.miss_span(0.0, 1.0, "door")
            assert is_held.wait(SOON_S)
            for at_s in range(1, 50):
                store.miss_span(float(at_s), at_s + 1.0, "door")
            assert store.gaps()[0] == offline(0.0, 1.0) and len(store.gaps()) == 50
            may_go.set()
            store.drain()
        store.sync()
        assert store.gaps() == [offline(0.0, 50.0)]


def test_an_outage_that_cannot_be_kept_is_not_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Catalog) -> None:
        raise MemoryFull("no room for the row")

    with Store.open(tmp_path, **MODEL, config=MemoryConfig(queue_bytes=0, commit_s=0.0)) as store:
        with monkeypatch.context() as broken:
            broken.setattr(Catalog, "commit", full)
            with pytest.raises(MemoryFull):
                store.miss_span(0.0, 1.0, "door")
            assert store.gaps() == []
        store.miss_span(3.0, 4.0, "door")
        store.sync()
        assert store.gaps() == [offline(3.0, 4.0)]


# ------------------------------------------------------------------ what is seen later


def test_chunks_of_other_cameras_leave_an_outage(tmp_path: Path) -> None:
    """They begin before it, within it and behind it, and are put when it is known already."""
    with Store.open(tmp_path, **MODEL) as store:
        store.miss_span(1.0, 4.0, "door")
        store.sync()
        for start_s in (0.5, 1.0, 2.0, 5.0):
            put_at(store, start_s, "yard")
            store.sync()
        assert store.gaps() == [offline(1.0, 4.0)]


def test_chunks_of_its_own_camera_that_waited_leave_an_outage(tmp_path: Path) -> None:
    """What was seen before it comes from the window later, and what is seen after it begins where
    it ends."""
    with Store.open(tmp_path, **MODEL) as store:
        store.miss_span(1.0, 4.0, "door")
        store.sync()
        for start_s in (0.0, 0.5, 1.0, 4.0, 6.0):
            put_at(store, start_s, "door")
            store.sync()
        assert store.gaps() == [offline(1.0, 4.0)]


def test_time_that_is_seen_anew_ends_an_outage(tmp_path: Path) -> None:
    """After a crash a stream may go on before the last outage it had told of."""
    with Store.open(tmp_path, **MODEL) as store:
        store.miss_span(2.0, 9.0, "door")
        store.miss_span(12.0, 13.0, "door")
        store.sync()
        put_at(store, 1.0, "door")
        put_at(store, 2.5, "door")
        store.sync()
        assert store.gaps() == [offline(2.0, 2.5), offline(12.0, 13.0)]


def test_chunks_that_are_seen_again_close_their_gap_and_no_outage(tmp_path: Path) -> None:
    with Store.open(tmp_path, **MODEL) as store:
        put_at(store, 0.0)
        store.forget(2.0, 3.0, unstored=[ChunkInfo(1, 2.0, 3.0, "", tokens=4)])
        store.miss_span(3.0, 5.0)
        store.sync()
        assert [gap.reason for gap in store.gaps()] == ["forgotten", "offline"]
        put_at(store, 2.0)
        store.sync()
        assert store.gaps() == [offline(3.0, 5.0, "")]


def test_forgetting_leaves_an_outage(tmp_path: Path) -> None:
    """It tells of no picture: there was none."""
    with Store.open(tmp_path, **MODEL) as store:
        put_at(store, 0.0, "door")
        store.miss_span(1.0, 4.0, "door")
        put_at(store, 4.0, "door")
        assert store.forget(0.0, 9.0).chunks == 2
        reasons = {gap.reason: gap for gap in store.gaps()}
        assert reasons["offline"] == offline(1.0, 4.0)
        assert reasons["forgotten"].chunks == 2


# ------------------------------------------------------------------ bounds and bad input


def test_beyond_the_bound_the_oldest_of_a_camera_are_joined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(marks, "MOST_GAPS", 4)
    with Store.open(tmp_path, **MODEL) as store:
        store.miss_span(0.0, 1.0, "yard")
        for at_s in (2.0, 4.0, 6.0, 8.0, 10.0):
            store.miss_span(at_s, at_s + 1, "door")
        store.sync()
        assert store.gaps() == [
            offline(0.0, 1.0, "yard"),
            offline(2.0, 7.0),
            offline(8.0, 9.0),
            offline(10.0, 11.0),
        ]
        for i, camera in enumerate("abcde"):
            store.miss_span(20.0 + i, 21.0 + i, camera)
        store.sync()
        assert len(store.gaps()) == 4


@pytest.mark.parametrize(
    ("times", "reason", "what"),
    [
        ((2.0, 1.0), "offline", "must not be before the start"),
        ((-1.0, 1.0), "offline", "counts from 0 s"),
        ((0.0, math.inf), "offline", "must be finite"),
        ((0.0, 1.0), "dropped", "without chunks it may be offline"),
    ],
)
def test_an_outage_needs_a_span_and_its_reason(
    tmp_path: Path, times: tuple[float, float], reason: str, what: str
) -> None:
    with Store.open(tmp_path, **MODEL) as store:
        with pytest.raises(ValueError, match=what):
            store.miss_span(*times, "door", reason)
        assert store.gaps() == []


def test_a_reader_tells_of_no_outage(tmp_path: Path) -> None:
    with Store.open(tmp_path, **MODEL) as store:
        put(store, 0)
        store.miss_span(1.0, 2.0, "door")
        store.sync()
        with Store.open(tmp_path, **MODEL, read_only=True) as reader:
            assert reader.gaps() == [offline(1.0, 2.0)]
            with pytest.raises(io.UnsupportedOperation):
                reader.miss_span(3.0, 4.0, "door")


# ------------------------------------------------------------------ other forms of it


def without_cameras(folder: Path) -> None:
    """As an earlier version left it."""
    with closing(sqlite3.connect(folder / "catalog.sqlite")) as old, old:
        old.execute("ALTER TABLE gaps DROP COLUMN camera")


def test_gaps_of_an_earlier_version_are_read_and_brought_up(tmp_path: Path) -> None:
    with Store.open(tmp_path, **MODEL) as store:
        put(store, *range(4))
        store.forget(1.0, 1.5)
        (gap,) = store.gaps()
    without_cameras(tmp_path)
    with Store.open(tmp_path, **MODEL, read_only=True) as reader:
        assert reader.gaps() == list(survey(tmp_path).gaps) == [gap]
        with Store.open(tmp_path, **MODEL) as store:
            assert store.gaps() == [gap]
            store.miss_span(7.0, 8.0, "door")
            store.sync()
            assert store.gaps() == reader.gaps() == [gap, offline(7.0, 8.0)]


def test_the_old_catalogs_gaps_are_in_the_new_one(tmp_path: Path) -> None:
    with Store.open(tmp_path, **MODEL) as store:
        put(store, *range(4))
        store.forget(1.0, 1.5)
        store.miss_span(1.5, 3.0, "door")
        store.sync()
        gaps = store.gaps()
    rebuild(tmp_path)
    with Store.open(tmp_path, **MODEL) as store:
        assert store.gaps() == gaps and len(store) == 3
    without_cameras(tmp_path)
    rebuild(tmp_path)
    with Store.open(tmp_path, **MODEL) as store:
        assert store.gaps() == [gaps[0], offline(1.5, 3.0, "")]


def test_a_whole_export_has_them_and_a_part_has_none(tmp_path: Path) -> None:
    with Store.open(tmp_path / "m", **MODEL) as store:
        put(store, *range(4))
        store.miss_span(1.5, 3.0, "door")
        store.miss_span(1.5, 3.5, "yard")
        store.sync()
        export(store, tmp_path / "all")
        export(store, tmp_path / "part", start_s=0.0, end_s=2.0)
        gaps = store.gaps()
    import_memory(tmp_path / "all", tmp_path / "new")
    import_memory(tmp_path / "part", tmp_path / "few")
    with Store.open(tmp_path / "new", **MODEL) as new, Store.open(tmp_path / "few", **MODEL) as few:
        assert new.gaps() == gaps and few.gaps() == []


def test_info_tells_of_outages_and_events(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Store.open(tmp_path, **MODEL) as store:
        put(store, *range(8))
        store.miss_span(3.7, 4.0, "door")
        store.forget(6.1, 6.2)
        store.log(Event(1.0, 2.0, "alert", "door", "a person"))
        store.sync()
    assert cli.main(["memory", "info", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "gaps        once offline (0:03-0:04), 1 chunks forgotten (0:06)" in out
    assert "events      1\n" in out
    assert cli.main(["memory", "info", str(tmp_path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["gaps"]
    assert told[0] == asdict(offline(3.7, 4.0)) and told[1]["camera"] == ""


def test_what_is_held_is_one_span_across_an_outage(tmp_path: Path) -> None:
    """Other cameras may have been seen meanwhile."""
    with Store.open(tmp_path, **MODEL) as store:
        put(store, *range(4))
        store.miss_span(1.7, 2.0, "door")
        store.sync()
    seen = survey(tmp_path)
    assert seen.gaps == (offline(1.7, 2.0),)
    assert [(one.start_s, one.end_s) for one in seen.spans] == [(0.1, 3.6)]


# ------------------------------------------------------------------ what was cut off


def cut_off(folder: Path, kept: int, chunks: int) -> Gap:
    """A memory whose file ends in the middle of a record; what is lost by that."""
    with Store.open(folder, **MODEL) as store:
        put(store, *range(chunks))
    with closing(sqlite3.connect(folder / "catalog.sqlite")) as catalog:
        (at,) = catalog.execute("SELECT offset FROM chunks WHERE number = ?", (kept,)).fetchone()
    os.truncate(folder / "segments" / "000000.kvseg", at + 100)
    first, last = make_chunk(kept).info, make_chunk(chunks - 1).info
    return Gap(first.start_s, last.end_s, chunks - kept, "lost")


def test_what_a_short_file_no_longer_holds_is_a_gap(tmp_path: Path) -> None:
    lost = cut_off(tmp_path, 3, 6)
    for _ in range(2):
        with Store.open(tmp_path, **MODEL) as store:
            assert store.gaps() == [lost] and len(store) == 3
    assert survey(tmp_path).gaps == (lost,)
    with Store.open(tmp_path, **MODEL, read_only=True) as reader:
        assert reader.gaps() == [lost]


@pytest.mark.parametrize(("again_s", "is_closed"), [(2.5, True), (3.1, True), (3.2, False)])
def test_what_was_lost_is_a_gap_until_it_is_seen_again(
    tmp_path: Path, again_s: float, is_closed: bool
) -> None:
    """With later numbers, from its beginning or before it."""
    lost = cut_off(tmp_path, 3, 6)
    with Store.open(tmp_path, **MODEL) as store:
        store.miss_span(3.3, 3.4, "door")  # nothing that was seen
        store.sync()
        put_at(store, again_s, number=6)
        store.sync()
    left = [offline(3.3, 3.4)] if is_closed else [lost, offline(3.3, 3.4)]
    with Store.open(tmp_path, **MODEL) as store:
        assert store.gaps() == left


def test_what_was_lost_and_is_seen_again_under_the_same_numbers_is_no_gap(tmp_path: Path) -> None:
    cut_off(tmp_path, 3, 6)
    with Store.open(tmp_path, **MODEL) as store:
        put(store, *range(store.next_number, 6))
        store.sync()
        assert len(store) == 6 and store.gaps() == []


def test_what_came_under_lost_numbers_is_in_a_catalog_made_again(tmp_path: Path) -> None:
    """Nobody took those chunks out: their numbers are free."""
    lost = cut_off(tmp_path, 3, 6)
    with Store.open(tmp_path, **MODEL) as store:
        for at_s in (7.0, 8.0, 9.0):  # later, so the gap stays
            put_at(store, at_s)
        store.sync()
        assert store.next_number == 6 and store.gaps() == [lost]
    assert rebuild(tmp_path).chunks == 6
    with Store.open(tmp_path, **MODEL) as store:
        assert [info.number for info in store.infos()] == list(range(6))
        assert store.gaps() == [lost] and store.read(5).info.start_s == 9.0


# ------------------------------------------------------------------ several cameras


def dropped(store: Store, start_s: float, end_s: float) -> Gap:
    """A chunk that came and was not taken."""
    number = store.next_number
    missing = marks.Missing(number, number, start_s, end_s, 1, "dropped")
    store._writer.run(lambda: store._folder.catalog.miss(missing))
    store.sync()
    return missing.gap


@pytest.mark.parametrize(("start_s", "length_s"), [(1.8, 1.0), (2.0, 0.5), (1.0, 5.0)])
def test_another_cameras_chunk_that_began_before_closes_no_gap(
    tmp_path: Path, start_s: float, length_s: float
) -> None:
    """Chunks end in order, their starts may cross."""
    with Store.open(tmp_path, **MODEL) as store:
        put_at(store, 0.0, "door")
        store.sync()
        gap = dropped(store, 2.0, 2.5)
        put_at(store, start_s, "yard", length_s=length_s)
        store.sync()
        assert store.gaps() == [gap]


@pytest.mark.parametrize(("start_s", "length_s"), [(1.8, 1.0), (2.0, 0.5), (1.0, 5.0)])
def test_what_comes_first_after_an_opening_may_be_seen_again(
    tmp_path: Path, start_s: float, length_s: float
) -> None:
    with Store.open(tmp_path, **MODEL) as store:
        put_at(store, 0.0, "door")
        dropped(store, 2.0, 2.5)
    with Store.open(tmp_path, **MODEL) as store:
        put_at(store, start_s, "door", length_s=length_s)
        store.sync()
        assert store.gaps() == []


def crossing(store: Store) -> None:
    """Chunks of two cameras in the order of their ends."""
    put_at(store, 1.0, "door", length_s=0.5)
    put_at(store, 0.0, "yard", length_s=2.0)
    put_at(store, 2.0, "door")
    store.sync()


def test_a_gap_is_as_long_as_all_its_chunks(tmp_path: Path) -> None:
    with Store.open(tmp_path / "forgotten", **MODEL) as store:
        crossing(store)
        store.forget(1.2, 1.4)
        assert store.gaps() == [Gap(0.0, 2.0, 2, "forgotten")]
    with Store.open(tmp_path / "lost", **MODEL) as store:
        crossing(store)
    os.truncate(tmp_path / "lost" / "segments" / "000000.kvseg", 600)
    with Store.open(tmp_path / "lost", **MODEL) as store:
        assert store.gaps() == [Gap(0.0, 2.5, 3, "lost")]
        crossing(store)
        assert len(store) == 3 and store.gaps() == []


def test_chunks_whose_times_cross_are_carried_as_any(tmp_path: Path) -> None:
    with Store.open(tmp_path / "m", **MODEL) as store:
        crossing(store)
        store.album.add_caption(0.0, 0.5, "a yard", "yard")
        export(store, tmp_path / "all")
        infos = store.infos()
    import_memory(tmp_path / "all", tmp_path / "new")
    assert rebuild(tmp_path / "new").chunks == 3
    assert verify(tmp_path / "new").damaged == []
    with Store.open(tmp_path / "new", **MODEL) as store:
        assert store.infos() == infos
        assert [said.text for said in store.album.captions(0.0, 9.0)] == ["a yard"]
        put_at(store, 2.1, "yard")
        assert len(store) == 4
