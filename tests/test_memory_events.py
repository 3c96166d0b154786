"""The log of events is found at once, survives a restart, stays bounded and forgets for good."""

from __future__ import annotations

import math
import sqlite3
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from longtake.memory import events as of_events
from longtake.memory.album import MOST_WAITING, Album
from longtake.memory.config import MemoryConfig
from longtake.memory.events import Event
from longtake.memory.exporting import export
from longtake.memory.files import MemoryFull
from longtake.memory.importing import import_memory
from longtake.memory.rebuild import rebuild
from longtake.memory.store import Store
from longtake.memory.survey import survey
from tests.chunks import MODEL, put


def alert(start_s: float, text: str = "a person at the door", **other: object) -> Event:
    return replace(Event(start_s, start_s + 1.0, "alert", "door", text), **other)


def starts(events: list[Event]) -> list[float]:
    return [event.start_s for event in events]


def holding(folder: Path, canary: bytes) -> list[str]:
    return [p.name for p in folder.rglob("*") if p.is_file() and canary in p.read_bytes()]


def test_events_are_found_by_time_and_kind_at_once(tmp_path: Path) -> None:
    with Store.open(tmp_path, **MODEL) as store:
        late = store.log(alert(7.0, score=0.75, wall_s=1.5e9, camera="door"))
        early = store.log(alert(2.0, kind="question"))
        assert (late.number, early.number) == (1, 2)
        assert store.events() == [early, late]
        assert store.events(kind="alert") == [late]
        assert store.events(3.0, 7.0) == [early, late]  # both ends belong to a span
        assert store.events(3.1, 6.9) == []
        store.sync()  # from RAM to the file
        assert store.events() == [early, late]
        third = store.log(alert(4.0))
        assert store.events(kind="alert") == [third, late]


def test_events_survive_a_restart_and_no_number_is_given_twice(tmp_path: Path) -> None:
    with Store.open(tmp_path, **MODEL) as store:
        kept = store.log(alert(1.0))
        store.log(alert(2.0))
        store.sync()
        store.forget(2.5, 9.0)
    with Store.open(tmp_path, **MODEL) as store:
        assert store.events() == [kept]
        assert store.album.events.newest == 2
        assert store.log(alert(3.0)).number == store.album.events.newest == 3


def test_an_event_is_durable_soon_though_nothing_comes_behind_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_done, commit = threading.Event(), Album.commit

    def told(self: Album, before: int | None = None) -> None:
        commit(self, before)
        is_done.set()

    monkeypatch.setattr(Album, "commit", told)
    with Store.open(tmp_path, **MODEL, config=MemoryConfig(commit_s=0.01)) as store:
        logged = store.log(alert(1.0))
        assert is_done.wait(20.0)
        with Store.open(tmp_path, **MODEL, read_only=True) as reader:
            assert reader.events() == [logged]


def test_a_reader_sees_what_is_durable(tmp_path: Path) -> None:
    with Store.open(tmp_path, **MODEL, config=MemoryConfig(commit_s=1000)) as store:
        put(store, 0)
        logged = store.log(alert(1.0))
        store.sync()
        with Store.open(tmp_path, **MODEL, read_only=True) as reader:
            assert reader.events() == [logged]
            with pytest.raises(OSError, match="open read-only"):
                reader.log(alert(2.0))
            more = store.log(alert(2.0))
            assert reader.events() == [logged]
            store.sync()
            assert reader.events() == [logged, more]


@pytest.mark.parametrize("is_durable", [True, False])
def test_what_was_forgotten_is_in_no_file_and_not_in_ram(tmp_path: Path, is_durable: bool) -> None:
    with Store.open(tmp_path, **MODEL) as store:
        put(store, *range(8))
        for at_s in range(8):
            store.log(alert(float(at_s), text=f"whispered {at_s}", name=f"canary{at_s}"))
        if is_durable:
            store.sync()
            assert holding(tmp_path, b"whispered 5")
        store.forget(4.0, 6.5)
        assert starts(store.events()) == [0.0, 1.0, 2.0, 7.0]  # 3..4 touches it
        store.sync()
        for at_s in (3, 4, 5, 6):
            assert holding(tmp_path, b"whispered %d" % at_s) == []
            assert holding(tmp_path, b"canary%d" % at_s) == []
        assert holding(tmp_path, b"whispered 7")


@pytest.mark.parametrize("is_durable", [True, False])
def test_of_one_camera_alone(tmp_path: Path, is_durable: bool) -> None:
    with Store.open(tmp_path, **MODEL) as store:
        door = store.log(alert(1.0, camera="door"))
        yard = store.log(alert(1.0, camera="yard"))
        if is_durable:
            store.sync()
        assert store.events() == [door, yard]
        store.forget(0.0, 9.0, camera="yard")
        assert store.events() == [door]


def test_what_no_commit_has_written_is_forgotten_too(tmp_path: Path) -> None:
    with closing(Album(tmp_path / "album.sqlite", thumbnail_px=8)) as album:
        kept = album.events.log(alert(9.0))
        album.events.log(alert(1.0, text="whispered"))
        album.forget([], 0.0, 3.0)
        album.commit()
        assert album.events.events() == [kept]
        assert holding(tmp_path, b"whispered") == []


def test_what_grows_too_old_takes_its_events_along(tmp_path: Path) -> None:
    with closing(Album(tmp_path / "album.sqlite", thumbnail_px=8)) as album:
        for at_s in (0.0, 1.0, 2.5):
            album.events.log(alert(at_s))
        album.commit()
        album.drop([], [(0.0, 3.0)])
        assert starts(album.events.events()) == [2.5]  # it only touches that time


def test_the_newest_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_events, "MOST_EVENTS", 5)
    with Store.open(tmp_path, **MODEL) as store:
        for at_s in range(9):
            store.log(alert(float(at_s)))
            if at_s % 2:
                store.sync()
        store.sync()
        assert starts(store.events()) == [4.0, 5.0, 6.0, 7.0, 8.0]


def test_a_text_that_is_too_long_is_cut(tmp_path: Path) -> None:
    with Store.open(tmp_path, **MODEL) as store:
        logged = store.log(alert(1.0, text="é" * (of_events.MOST_LETTERS + 1)))
        assert logged.text == "é" * of_events.MOST_LETTERS
        assert store.events() == [logged]


def test_few_wait_for_a_disk_that_takes_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: of_events.EventLog, change: sqlite3.Connection) -> None:
        raise MemoryFull("no room")

    with Store.open(tmp_path, **MODEL) as store:
        with monkeypatch.context() as broken:
            broken.setattr(of_events.EventLog, "write", full)
            for at_s in range(MOST_WAITING + 20):
                store.log(alert(float(at_s)))
            store.sync()  # what an album cannot take never keeps chunks from being durable
        assert starts(store.events())[0] == 20.0 and len(store.events()) == MOST_WAITING
        store.sync()
        assert holding(tmp_path, b"a person at the door")
        assert len(store.events()) == MOST_WAITING


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"start_s": math.nan}, "must be finite"),
        ({"end_s": math.inf}, "must be finite"),
        ({"end_s": 0.5}, "before the start"),
        ({"kind": ""}, "needs both"),
        ({"name": ""}, "needs both"),
    ],
)
def test_an_event_has_a_span_a_kind_and_a_name(fields: dict[str, object], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        replace(alert(1.0), **fields)


def test_a_memory_of_an_earlier_version_has_none_until_it_is_written(tmp_path: Path) -> None:
    with Store.open(tmp_path, **MODEL) as store:
        put(store, 0)
    with closing(sqlite3.connect(tmp_path / "album.sqlite")) as old, old:
        old.execute("DROP TABLE events")
    assert survey(tmp_path).events == 0
    with Store.open(tmp_path, **MODEL, read_only=True) as reader:
        assert reader.events() == []
        with Store.open(tmp_path, **MODEL) as store:
            logged = store.log(alert(1.0))
            store.sync()
            assert reader.events() == [logged]


def test_events_go_where_captions_go(tmp_path: Path) -> None:
    with Store.open(tmp_path / "m", **MODEL) as store:
        put(store, *range(6))
        for at_s in range(6):
            store.log(alert(float(at_s), score=0.5, wall_s=2e9 + at_s, camera="yard"))
        store.sync()
        export(store, tmp_path / "all")
        export(store, tmp_path / "part", start_s=0.0, end_s=1.5)
        there = store.events()
    assert survey(tmp_path / "m").events == 6
    import_memory(tmp_path / "all", tmp_path / "new")
    import_memory(tmp_path / "part", tmp_path / "few")
    with Store.open(tmp_path / "new", **MODEL) as new, Store.open(tmp_path / "few", **MODEL) as few:
        assert new.events() == there
        assert few.events() == there[:2]


def test_an_export_of_an_earlier_version_has_none(tmp_path: Path) -> None:
    with Store.open(tmp_path / "m", **MODEL) as store:
        put(store, 0)
        store.sync()
        export(store, tmp_path / "out")
    manifest = tmp_path / "out" / "memory.json"
    manifest.write_text(manifest.read_text().replace('"events": [],', ""))
    assert '"events"' not in manifest.read_text()
    import_memory(tmp_path / "out", tmp_path / "new")
    with Store.open(tmp_path / "new", **MODEL) as new:
        assert new.events() == [] and len(new) == 1


def test_a_damaged_album_gives_what_can_be_read(tmp_path: Path) -> None:
    with Store.open(tmp_path, **MODEL) as store:
        put(store, 0)
        for at_s in range(400):
            store.log(alert(float(at_s), text="x" * 200))
        store.sync()
    path = tmp_path / "album.sqlite"
    data = bytearray(path.read_bytes())
    data[40_000:40_100] = b"\xff" * 100
    path.write_bytes(data)
    rebuild(tmp_path)
    with Store.open(tmp_path, **MODEL) as store:
        found = store.events()
        assert 300 < len(found) < 400 and len({event.start_s for event in found}) == len(found)
