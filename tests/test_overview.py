"""A take's past as a page shows it, told to any thread, and nothing of what was forgotten."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open

from longtake.alerts.event import AlertEvent
from longtake.answer import Moment
from longtake.engine import Engine
from longtake.memory.config import MemoryConfig
from longtake.memory.events import Event
from longtake.memory.exporting import Exported
from longtake.take import Take
from tests.pushed import CONFIG, LONG_S, numbers, push, window

AGEING = MemoryConfig(
    ladder="int8@5s,picture@9s", commit_s=0.0, segment_bytes=20_000, ram_bytes=60_000, index="exact"
)


@pytest.fixture(scope="module")
def engine(tiny_model: Path) -> Iterator[Engine]:
    with Engine(str(tiny_model), device="cpu") as made:
        yield made


# ------------------------------------------------------------------ what happened


def test_what_is_logged_is_found_with_its_number(engine: Engine) -> None:
    with engine.open(config=CONFIG) as take:
        push(take, *range(6))
        now = take.log("question", "page", "Where is the mug?", score=0.5)
        assert now == Event(5.0, 5.0, "question", "page", "Where is the mug?", score=0.5, number=1)
        then = take.log("note", "page", "a star", start_s=2.0, end_s=3.0, camera="door")
        point = take.log("note", "page", "a moment", end_s=4.0)
        assert (then.start_s, then.end_s, then.camera) == (2.0, 3.0, "door")
        assert (point.start_s, point.end_s) == (4.0, 4.0)
        assert take.events() == [then, point, now]
        assert take.events(kind="note") == [then, point]
        take._store.sync()  # from RAM to the file
        late = take.log("note", "page", "x" * 5000)
        assert take.events(after=now.number) == [then, point, late]
        assert take.events(after=point.number) == [late]
        assert take.events(0.0, 3.0, after=now.number) == [then]
        assert take.events(after=late.number) == []
        assert len(late.text) == 2000


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "two words"},
        {"kind": ""},
        {"kind": "k" * 33},
        {"name": ""},
        {"start_s": 3.0, "end_s": 2.0},
        {"start_s": math.nan},
        {"camera": "c" * 70_000},
        {"score": 1.5},
        {"score": math.nan},
    ],
)
def test_what_makes_no_sense_is_not_logged(engine: Engine, wrong: dict[str, Any]) -> None:
    with engine.open(config=CONFIG) as take:
        with pytest.raises(ValueError):
            take.log(**{"kind": "note", "name": "page", "text": "", **wrong})
        assert take.events() == []


def test_the_newest_captions_are_told_in_time_order(engine: Engine) -> None:
    with engine.open(config=CONFIG) as take:
        assert take.captions() == []
        push(take, *range(6))
        for at_s in (3.0, 1.0, 4.0):
            take._session.caption(at_s, at_s, f"at {at_s:g}")
        take._store.sync()
        for at_s in (5.0, 2.0):  # in RAM still
            take._session.caption(at_s, at_s, f"at {at_s:g}")
        assert [c.start_s for c in take.captions()] == [1.0, 2.0, 3.0, 4.0, 5.0]
        for most in range(1, 7):
            newest = [1.0, 2.0, 3.0, 4.0, 5.0][-most:]
            assert [c.start_s for c in take.captions(most=most)] == newest
        assert [c.text for c in take.captions(2.0, 4.0, most=2)] == ["at 3", "at 4"]


# ------------------------------------------------------------------ pictures


def test_a_picture_is_that_of_its_chunk_wherever_it_is(engine: Engine) -> None:
    with engine.open(config=CONFIG) as take:
        push(take, *range(10))
        shown = take.frames(0.0, 9.0)
        assert len(shown) == 10 and len({picture.jpeg for picture in shown}) == 10
        assert [take.picture(picture.number) for picture in shown] == shown
        assert take.picture(10) is None and take.picture(-1) is None


def test_the_picture_at_a_time_is_the_nearest_that_there_is(engine: Engine) -> None:
    with engine.open(config=CONFIG) as take:
        assert take.picture_at(3.0) is None
        for at_s in range(12):
            push(take, at_s, camera=("door", "yard", "")[at_s * 7 % 3])
        for number in (2, 3, 7, 11):  # an old memory may lack some
            take._store.sync()
            take._store.album.drop([number])
            take._store.album.discard(number)
        shown = [picture for picture in take.frames(0.0, 99.0) if picture.jpeg is not None]
        assert len(shown) == 8
        for camera in (None, "door", "yard", ""):
            of = [p for p in shown if camera in (None, p.camera)]
            for at_s in np.arange(-2.0, 15.0, 0.25).tolist():
                nearest = min(of, key=lambda p: max(p.start_s - at_s, at_s - p.end_s, 0.0))
                assert take.picture_at(at_s, camera) == nearest
        assert take.picture_at(3.0, "nobody") is None


def test_a_picture_is_found_where_most_chunks_have_none(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from longtake import overview

    with engine.open(config=CONFIG) as take:
        push(take, *range(8))
        take._store.sync()
        take._store.album.drop(range(1, 8))
        for number in range(1, 8):
            take._store.album.discard(number)
        for tries in (1, 3, 64):
            monkeypatch.setattr(overview, "_TRIES", tries)
            found = take.picture_at(7.0)
            assert found is not None and found.number == 0


def test_frames_are_thinned_evenly(engine: Engine) -> None:
    with engine.open(config=CONFIG) as take:
        push(take, *range(12))
        assert [p.number for p in take.frames(0.0, 11.0, most=12)] == list(range(12))
        assert [p.number for p in take.frames(0.0, 11.0, most=4)] == [1, 4, 7, 10]
        assert [p.number for p in take.frames(2.0, math.inf, most=5)] == [3, 5, 7, 9, 11]
        assert [p.number for p in take.frames(5.0, 5.0, most=1)] == [5]


def test_moments_name_the_chunk_whose_picture_they_show(engine: Engine) -> None:
    with engine.open(config=CONFIG) as take:
        push(take, *range(12))
        take._session.caption(3.0, 4.0, "a red star")
        answer = take.ask("what was there?", top_k=100)
        found = take.search("red star", top=40)
        assert answer.evidence and found
        for moment in (*answer.evidence, *found):
            assert moment.number is not None
            picture = take.picture(moment.number)
            assert picture is not None
            assert (picture.start_s, picture.jpeg) == (moment.start_s, moment.thumbnail)


def test_an_event_as_json_names_the_pictures_of_its_evidence() -> None:
    shown = (Moment(1.0, 2.0, 0.5, number=7), Moment(3.0, 3.0, 0.25))
    event = AlertEvent(1, "door", "a star?", 1.0, 2.0, None, 0.9, evidence=shown)
    assert [moment["number"] for moment in event.as_json()["evidence"]] == [7, None]


def shown(take: Take, colour: int, *times_s: int, camera: str = "") -> None:
    image = np.full((24, 32, 3), colour, np.uint8)
    for at_s in times_s:
        assert take.push(image, float(at_s), camera=camera).accepted
    take.drain()


def test_scenes_begin_where_what_one_camera_shows_changes_much(engine: Engine) -> None:
    with engine.open(config=CONFIG) as take:
        assert take.scenes() == []
        shown(take, 40, 0, 1, 2)
        shown(take, 44, 3, 4)  # a cloud
        shown(take, 90, 5, 6)
        for at_s in range(7, 11):  # two cameras in turns are no changes of scene
            shown(take, 90 if at_s % 2 else 230, at_s, camera="door" if at_s % 2 else "yard")
        shown(take, 250, 11, camera="")
        assert take.scenes() == [5.0, 11.0]
        assert take.scenes(most=1) == [11.0]  # the greatest
        assert take.scenes(0.0, 6.0) == [5.0]
        assert take.scenes(5.0, 6.0) == []  # it was there when the span began
        shown(take, 30, 12, camera="")
        assert take.scenes() == [5.0, 11.0, 12.0]


# ------------------------------------------------------------------ where it lies


def in_one_run_each(take: Take) -> None:
    """Every chunk, told by its kind too."""
    held = take.held()
    seen = numbers(take)
    assert sum(run.chunks for run in held) == len(seen)
    for number, at_s in zip(seen, (p.start_s for p in take.frames(0.0, 1000.0)), strict=True):
        (run,) = [run for run in held if run.start_s <= at_s <= run.end_s]
        if number in window(take):
            assert (run.place, run.codec) == ("window", "raw")
        elif take._store.has_keys(number):
            assert run.place in ("ram", "disk") and run.codec in ("raw", "int8")
        else:
            assert (run.place, run.codec) == ("disk", "picture")


def test_held_covers_every_chunk_once_while_they_age(engine: Engine, tmp_path: Path) -> None:
    config = replace(CONFIG, memory=AGEING)
    with engine.open(tmp_path / "take", config) as take:
        assert take.held() == []
        for at_s in range(0, 18, 3):
            push(take, at_s, at_s + 1, at_s + 2)
            assert sum(run.chunks for run in take.held()) == at_s + 3
            take._store.tidy()  # from here on nothing ages until more comes
            in_one_run_each(take)
        assert {"window", "disk"} <= {run.place for run in take.held()}
        assert {"int8", "picture"} <= {run.codec for run in take.held()}
        assert sum(run.chunks for run in take.held(4.0, 6.0)) == 3
        joined = take.held(most=2)
        assert len(joined) == 2 and sum(run.chunks for run in joined) == 18
        take.forget(6.0, 7.0)
        in_one_run_each(take)
    with engine.open(tmp_path / "take", config) as again:
        in_one_run_each(again)
        assert again.held()[-1].place == "window"
        push(again, 30, 31)
        again._store.tidy()
        in_one_run_each(again)


def test_none_of_it_waits_for_the_worker(engine: Engine, tmp_path: Path) -> None:
    with engine.open(tmp_path / "take", CONFIG) as take:
        push(take, *range(9))
        begun, goes_on = threading.Event(), threading.Event()

        def stand_still() -> None:
            begun.set()
            assert goes_on.wait(LONG_S)

        standing = threading.Thread(target=engine.run, args=(stand_still,))
        standing.start()
        try:
            assert begun.wait(LONG_S)
            assert take.log("note", "page", "a star").number == 1
            assert len(take.events()) == 1 and take.captions() == []
            assert len(take.frames(0.0, 9.0)) == 9
            assert take.picture(8) == take.picture_at(8.0) == take.frames(8.0, 8.0)[0]
            assert sum(run.chunks for run in take.held()) == 9
            assert take.scenes() == []
            assert take.export(tmp_path / "out", 0.0, 2.0).chunks == 3  # before the window
        finally:
            goes_on.set()
            standing.join()


def test_whoever_looks_while_frames_come_finds_every_chunk_that_came_before(
    engine: Engine,
) -> None:
    with engine.open(config=CONFIG) as take:
        push(take, *range(6))
        ends, failures = threading.Event(), list[str]()

        def look() -> None:
            before = 6
            while not ends.is_set():
                found = [run.chunks for run in take.held()]
                pictures = take.frames(0.0, 1000.0)
                if not (sum(found) >= before and len(pictures) >= sum(found)):
                    failures.append(f"{found} and {len(pictures)} pictures after {before}")
                if [p.number for p in pictures] != list(range(len(pictures))):
                    failures.append(f"numbers {[p.number for p in pictures]}")
                before = len(pictures)

        looking = threading.Thread(target=look)
        looking.start()
        push(take, *range(6, 40))
        ends.set()
        looking.join()
        assert failures == []


@pytest.mark.parametrize(
    "call",
    [
        lambda take: take.held(3.0, 1.0),
        lambda take: take.held(most=0),
        lambda take: take.captions(3.0, 1.0),
        lambda take: take.captions(most=-1),
        lambda take: take.frames(math.nan, 1.0),
        lambda take: take.frames(0.0, 1.0, most=0),
        lambda take: take.scenes(0.0, math.nan),
        lambda take: take.scenes(most=0),
        lambda take: take.picture_at(math.inf),
    ],
)
def test_spans_and_numbers_that_make_no_sense_are_refused(
    engine: Engine, call: Callable[[Take], object]
) -> None:
    with engine.open(config=CONFIG) as take, pytest.raises(ValueError):
        call(take)


# ------------------------------------------------------------------ forgetting


def test_nothing_of_what_was_forgotten_is_told(engine: Engine, tmp_path: Path) -> None:
    with engine.open(tmp_path / "take", CONFIG) as take:
        for at_s in range(14):
            shown(take, 20 if at_s in (4, 5, 6, 12) else 150 + at_s, at_s)
        for at_s in (3.0, 5.0, 12.0):
            take._session.caption(at_s, at_s, f"a star at {at_s:g}")
            take.log("note", "page", f"a mug at {at_s:g}", start_s=at_s)
        assert take.scenes() == [4.0, 7.0, 12.0, 13.0]
        pictures = [p.jpeg for p in take.frames(4.0, 6.0)]
        take.forget(4.0, 6.0)  # in the store
        take.forget(12.0, 12.0)  # in the window
        left = [0, 1, 2, 3, 7, 8, 9, 10, 11, 13]
        assert numbers(take) == left
        assert all(take.picture(number) is None for number in (4, 5, 6, 12))
        nearest = [take.picture_at(at_s) for at_s in (5.1, 12.0)]
        assert [p.number for p in nearest if p is not None] == [7, 11]
        assert [c.start_s for c in take.captions()] == [3.0]
        assert [e.start_s for e in take.events()] == [3.0]
        assert take.scenes() == []
        assert set(take._overview._scenes._small) == set(left)
        assert [(run.start_s, run.end_s) for run in take.held()][-2:] == [
            (10.0, 11.0),
            (13.0, 13.0),
        ]
        assert sum(run.chunks for run in take.held()) == len(left)
        assert take.held(4.5, 6.0) == [] and take.frames(4.5, 6.0) == []
        take.export(tmp_path / "out")
        written = b"".join(p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file())
        assert not any(picture in written for picture in pictures if picture)
        assert b"a star at 5" not in written and b"a mug at 5" not in written
        assert b"a star at 3" in written


def test_what_is_being_compared_while_it_is_forgotten_is_not_remembered(engine: Engine) -> None:
    with engine.open(config=CONFIG) as take:
        push(take, *range(8))
        scenes = take._overview._scenes
        jpeg = scenes._jpeg

        def slow(number: int) -> bytes | None:
            found = jpeg(number)
            if number == 7:
                take.forget(2.0, 3.0)
            return found

        scenes._jpeg = slow
        take.scenes()
        assert scenes._small == {}
        scenes._jpeg = jpeg
        take.scenes()
        assert set(scenes._small) == {0, 1, 4, 5, 6, 7}


def test_who_only_reads_is_told_what_the_writer_holds(engine: Engine, tmp_path: Path) -> None:
    config = replace(CONFIG, memory=MemoryConfig(commit_s=0.0))
    with engine.open(tmp_path / "take", config) as take:
        push(take, *range(10))
        take.log("note", "page", "a star", start_s=1.0)
        engine.run(take._session.save)
        with engine.open(tmp_path / "take", config, read_only=True) as reader:
            assert numbers(reader) == list(range(10))
            assert sum(run.chunks for run in reader.held()) == 10
            assert reader.held()[-1].place == "window"
            take.forget(2.0, 3.0)
            take.forget(8.0, 8.0)
            assert numbers(reader) == [0, 1, 4, 5, 6, 7, 9]
            assert sum(run.chunks for run in reader.held()) == 7
            assert reader.picture(8) is None and reader.picture(2) is None
            assert [event.text for event in reader.events()] == ["a star"]
            assert reader.export(tmp_path / "out").chunks == 7
            with pytest.raises(RuntimeError, match="only reads"):
                reader.log("note", "page", "a star")


# ------------------------------------------------------------------ taking it along


def test_a_take_without_a_folder_is_exported_with_its_window(
    engine: Engine, tmp_path: Path
) -> None:
    with engine.open(config=CONFIG) as take:
        with pytest.raises(ValueError, match="no chunk"):
            take.export(tmp_path / "none")
        push(take, *range(9))
        take._session.caption(7.0, 7.0, "a red star")
        before = take.stats().chunks
        whole = take.export(tmp_path / "whole")
        assert (whole.chunks, whole.pictures, whole.captions) == (9, 9, 1)
        part = take.export(tmp_path / "part", 7.0)
        assert part.chunks == 2
        manifest = json.loads((tmp_path / "part" / "memory.json").read_text())
        assert [chunk["number"] for chunk in manifest["chunks"]] == [7, 8]
        for chunk in manifest["chunks"]:
            picture = take.picture(chunk["number"])
            assert picture is not None
            written = (tmp_path / "part" / chunk["picture"]["name"]).read_bytes()
            assert written == picture.jpeg
        with safe_open(tmp_path / "part" / manifest["files"][0]["name"], "pt") as tensors:
            keys = tensors.get_tensor("keys.8")
        assert keys.equal(engine.run(lambda: take._session.window.chunks()[-1].keys.clone()))
        with pytest.raises(FileExistsError):
            take.export(tmp_path / "part")
        with pytest.raises(ValueError, match="nothing lies between"):
            take.export(tmp_path / "none", 500.0, 600.0)
        push(take, *range(9, 16))
        assert take.stats().chunks == before + 7
        assert take.ask("what was there?", top_k=100).coverage == 1.0


def test_export_goes_on_while_frames_come(engine: Engine, tmp_path: Path) -> None:
    with engine.open(tmp_path / "take", CONFIG) as take:
        push(take, *range(10))
        done: list[Exported] = []

        def export() -> None:
            for index in range(3):
                done.append(take.export(tmp_path / f"out{index}"))

        exporting = threading.Thread(target=export)
        exporting.start()
        at_s = 10
        while exporting.is_alive() and at_s < 500:
            push(take, at_s)
            at_s += 1
        exporting.join()
        assert [one.damaged for one in done] == [[], [], []]
        assert 10 <= done[0].chunks <= done[1].chunks <= done[2].chunks <= at_s
        for index, one in enumerate(done):
            manifest = json.loads((tmp_path / f"out{index}" / "memory.json").read_text())
            assert [chunk["number"] for chunk in manifest["chunks"]] == list(range(one.chunks))
            assert all(chunk["file"] and chunk["picture"] for chunk in manifest["chunks"])
