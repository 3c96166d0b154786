"""Where chunks lie: arrays that follow the catalog, runs that hold every chunk once."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import accumulate, groupby, pairwise
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longtake.holding import LEAST_HOLE_S, Held, longest_step_s, runs
from longtake.memory.config import MemoryConfig
from longtake.memory.ladder import RUNGS, base_of
from longtake.memory.places import TIERS, Places
from longtake.memory.store import Store
from longtake.scenes import MOST_LOOKED_AT, Scenes, look_at
from tests.chunks import MODEL, put

AGEING = MemoryConfig(
    ladder="int8@4s,picture@9s,gone@20s", commit_s=0.0, segment_bytes=4000, ram_bytes=3000
)
T = TypeVar("T")
Told = tuple[int, float, float, str, str, str]  # number, times, camera, codec, tier


def told(places: Places) -> list[Told]:
    return [
        (number, start_s, end_s, places.cameras[camera], RUNGS[level], TIERS[tier])
        for number, start_s, end_s, camera, level, tier in zip(
            places.numbers.tolist(),
            places.start_s.tolist(),
            places.end_s.tolist(),
            places.camera.tolist(),
            places.level.tolist(),
            places.tier.tolist(),
            strict=True,
        )
    ]


def as_rows(store: Store, *, with_ram: bool = True) -> list[Told]:
    """The same, one by one from the store's rows."""
    found = []
    for row in store._rows():
        info, codec = row.info, base_of(row.codec)
        is_in_ram = info.number in store._queued or info.number in store._cache._chunks
        tier = "ram" if with_ram and codec != "picture" and is_in_ram else "disk"
        found.append((info.number, info.start_s, info.end_s, info.camera, codec, tier))
    return found


def at_rest(store: Store, look: Callable[[], T]) -> T:
    """On the thread that alone changes things."""
    return store._writer.run(look)


def made(
    numbers: list[int],
    tiers: list[int],
    levels: list[int],
    cameras: list[int] | None = None,
    starts_s: Sequence[float] | None = None,
) -> Places:
    """Chunks of half a second each, at the time of their number where no other is said."""
    at_s = np.array(numbers if starts_s is None else starts_s, np.float64)
    return Places(
        np.array(numbers, np.int64),
        at_s,
        at_s + 0.5,
        np.array(cameras or [0] * len(numbers), np.int32),
        np.array(levels, np.int8),
        np.array(tiers, np.int8),
        ("", "door", "yard"),
    )


# ------------------------------------------------------------------ following the catalog


@settings(max_examples=20, deadline=None)
@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("put"), st.integers(1, 4)),
            st.tuples(st.just("forget"), st.integers(0, 15)),
            st.tuples(st.just("keep"), st.integers(0, 15)),
            st.tuples(st.sampled_from(["tidy", "sync", "read", "look"]), st.just(0)),
        ),
        min_size=4,
        max_size=14,
    ),
    first_look=st.integers(0, 3),
)
def test_places_are_what_the_rows_say_whatever_became_of_them(
    steps: list[tuple[str, int]], first_look: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("places") / "memory"
    with Store.open(folder, **MODEL, config=AGEING) as store:
        put(store, 0)
        store.sync()
        reader, count = Store.open(folder, **MODEL, read_only=True), 1
        for turn, (what, number) in enumerate(steps):
            if what == "put":
                put(store, *range(count, count + number), camera="door" if number % 2 else "")
                count += number
            elif what == "forget":
                store.forget(number, number + 1.2)
            elif what == "keep":
                store.keep(number, number + 2.0)
            elif what == "tidy":
                store.tidy()
            elif what == "sync":
                store.sync()
            elif what == "read":
                for info in store.infos()[-3:]:
                    if store.has_keys(info.number):
                        store.read(info.number)
            if turn >= first_look:
                found = at_rest(store, lambda: [told(store.places()), as_rows(store)])
                assert found[0] == found[1]
                found = at_rest(store, lambda: [told(reader.places()), as_rows(reader)])
                assert found[0] == found[1]
        reader.close()
    shutil.rmtree(folder)


def test_ageing_and_forgetting_are_followed_without_reading_all_rows_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store.open(tmp_path, **MODEL, config=AGEING) as store:
        put(store, *range(8))
        store.sync()
        assert len(store.places()) == 8
        read: list[str] = []
        select = store._catalog._book._select

        def counted(query: str, *values: object) -> list[tuple[object, ...]]:
            found = select(query, *values)
            read.extend([query] * len(found))
            return found

        monkeypatch.setattr(store._catalog._book, "_select", counted)
        put(store, *range(8, 14))
        store.tidy()
        store.forget(6.0, 6.9)
        store.forget(10.0, 10.9)
        found = at_rest(store, lambda: [told(store.places()), as_rows(store)])
        assert found[0] == found[1] and len({codec for *_, codec, _ in found[0]}) == 3
        assert len(read) <= 6  # those that are new


# ------------------------------------------------------------------ runs


@st.composite
def some_places(draw: st.DrawFn) -> Places:
    numbers = sorted(draw(st.sets(st.integers(0, 60), min_size=1, max_size=40)))
    states = st.lists(st.integers(0, 2), min_size=len(numbers), max_size=len(numbers))
    waits = st.lists(
        st.sampled_from([1.0, 1.0, 1.5, 30.0]), min_size=len(numbers), max_size=len(numbers)
    )
    return made(numbers, draw(states), draw(states), starts_s=list(accumulate(draw(waits))))


@given(places=some_places(), most=st.integers(1, 50))
def test_runs_hold_every_chunk_exactly_once_and_are_no_more_than_asked_for(
    places: Places, most: int
) -> None:
    found = runs(places, most, LEAST_HOLE_S)
    assert 1 <= len(found) <= most
    assert sum(run.chunks for run in found) == len(places)
    left = told(places)
    for run in found:
        chunks, left = left[: run.chunks], left[run.chunks :]
        assert (run.start_s, run.end_s) == (chunks[0][1], chunks[-1][2])
        states = Counter((tier, codec) for *_, codec, tier in chunks)
        assert states[run.place, run.codec] == max(states.values())
    assert all(a.end_s < b.start_s for a, b in pairwise(found))


@given(places=some_places())
def test_runs_that_need_no_joining_are_neighbours_that_lie_alike(places: Places) -> None:
    begins_s = places.start_s.tolist()
    holes_before = [0, *accumulate(b - a > 0.5 + LEAST_HOLE_S for a, b in pairwise(begins_s))]

    def alike(at: tuple[int, Told]) -> tuple[str, str, int, int]:
        place, (number, *_, codec, tier) = at
        return tier, codec, number - place, holes_before[place]

    plain = []
    for (tier, codec, *_), group in groupby(enumerate(told(places)), alike):
        chunks = [chunk for _, chunk in group]
        plain.append(Held(chunks[0][1], chunks[-1][2], tier, codec, len(chunks)))
    assert runs(places, 100, LEAST_HOLE_S) == plain


def alike(starts_s: Sequence[float], cameras: list[int] | None = None) -> Places:
    """Neighbours that lie alike."""
    count = len(starts_s)
    return made(list(range(count)), [0] * count, [0] * count, cameras, starts_s)


def spans(places: Places, most: int = 100) -> list[tuple[float, float]]:
    return [(run.start_s, run.end_s) for run in runs(places, most, longest_step_s(places))]


def test_a_camera_that_was_paused_leaves_a_hole_between_two_runs() -> None:
    paused = alike([*range(60), *range(960, 1020)])
    assert spans(paused) == [(0.0, 59.5), (960.0, 1019.5)]
    assert spans(paused, 1) == [(0.0, 1019.5)], "joined down to one"
    around = runs(paused.touching(59.0, 960.0), 100, longest_step_s(paused))
    assert [run.chunks for run in around] == [1, 1], "however little of it is looked at"
    assert spans(alike([0.0, 1.0, 900.0])) == [(0.0, 1.5), (900.0, 900.5)]


def test_chunks_that_are_usually_far_apart_have_no_hole_between_them() -> None:
    rare = alike([30.0 * place for place in range(20)])
    assert spans(rare) == [(0.0, 570.5)]
    both = alike([30.0 * (place // 2) for place in range(40)], [0, 1] * 20)
    assert spans(both) == [(0.0, 570.5)], "of two cameras that are seen at the same moments"


def test_there_is_no_hole_while_some_camera_shows_something() -> None:
    door = [(float(at), 0) for at in [*range(10), *range(50, 60)]]
    starts_s, cameras = zip(*sorted([*door, *((at + 0.25, 1) for at in range(5, 55))]), strict=True)
    assert spans(alike(starts_s, list(cameras))) == [(0.0, 59.5)]


def test_of_nothing_there_are_no_runs() -> None:
    assert runs(Places.none(), 5, longest_step_s(Places.none())) == []
    assert spans(alike([3.0])) == [(3.0, 3.5)]


# ------------------------------------------------------------------ pictures to compare


@settings(max_examples=30, deadline=None)
@given(
    chunks=st.integers(1, 9000),
    spacing_s=st.floats(0.01, 100.0),
    cameras=st.integers(1, 3),
)
def test_of_a_long_span_some_of_each_camera_are_looked_at_evenly(
    chunks: int, spacing_s: float, cameras: int
) -> None:
    numbers = list(range(chunks))
    of = [number % cameras for number in numbers]
    places = made(numbers, [0] * chunks, [0] * chunks, of)
    places = Places(
        *(places.numbers, places.numbers * spacing_s, places.end_s, places.camera),
        *(places.level, places.tier, places.cameras),
    )
    chosen = look_at(places)
    if chunks <= MOST_LOOKED_AT:
        assert chosen.tolist() == numbers
        return
    assert MOST_LOOKED_AT / 5 <= len(chosen) <= MOST_LOOKED_AT
    assert (np.diff(chosen) > 0).all()
    for camera in range(cameras):
        times_s = places.start_s[[at for at in chosen.tolist() if of[at] == camera]]
        widest_s = float(np.diff(times_s).max())
        assert widest_s <= 12 * chunks * spacing_s / MOST_LOOKED_AT + cameras * spacing_s
    later = places.at(slice(0, chunks - chunks // 10))  # a tenth less of it
    if len(later) > MOST_LOOKED_AT:
        known = set(look_at(later).tolist())
        new = [at for at in chosen.tolist() if at < len(later) and at not in known]
        assert not new  # what is looked at later was looked at before


def test_only_new_pictures_are_decoded_and_few_are_remembered() -> None:
    asked: list[int] = []

    def jpeg(number: int) -> bytes | None:
        asked.append(number)
        return None

    scenes = Scenes(jpeg)
    for chunks in (3000, 3001, 3100):
        scenes.times(made(list(range(chunks)), [0] * chunks, [0] * chunks), 5)
    assert len(asked) == len(set(asked)) <= 2000
    everything = made(list(range(60_000)), [0] * 60_000, [0] * 60_000)
    for begin_s in range(0, 60_000, 4000):
        scenes.times(everything.touching(begin_s, begin_s + 1500), 5)
    assert len(scenes._small) <= 4 * MOST_LOOKED_AT
    scenes.keep_only(everything.touching(0.0, 9.0))
    assert len(scenes._small) <= 10
