"""What a person can do with a take's past: look at it, search it, keep it while it ages.

Forgetting has tests of its own: test_take_forgetting.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from longtake.engine import Engine
from longtake.memory.config import MemoryConfig
from longtake.memory.store import Store
from longtake.moments import BY_CAPTION, BY_KEYS
from longtake.settings import MODES, TakeConfig
from tests import streams
from tests.pushed import CONFIG, SHORT, indexed, numbers, push, window

AGEING = MemoryConfig(ladder="picture@6s", commit_s=0.0, segment_bytes=20_000, index="exact")


@pytest.fixture(scope="module")
def engine(tiny_model: Path) -> Iterator[Engine]:
    with Engine(str(tiny_model), device="cpu") as made:
        yield made


# ------------------------------------------------------------------ looking


def test_frames_are_shown_with_pictures_and_what_was_said(engine: Engine) -> None:
    with engine.open(config=CONFIG) as take:
        push(take, *range(8))
        push(take, 9, camera="door")
        take._session._store.album.add_caption(2.0, 3.0, "a star falls")
        take._session._store.album.add_caption(9.0, 9.0, "of another camera")
        shown = take.frames(1.5, 3.0)
        assert [(p.number, p.start_s, p.end_s) for p in shown] == [(2, 2.0, 2.0), (3, 3.0, 3.0)]
        assert all(p.jpeg is not None and p.jpeg[:2] == b"\xff\xd8" for p in shown)
        assert [p.caption for p in take.frames(1.0, 2.0)] == [None, "a star falls"]
        (last,) = take.frames(8.5, 100.0)
        assert (last.camera, last.caption) == ("door", None)
        assert take.frames(20.0, 30.0) == []
        with pytest.raises(ValueError, match="two times in order"):
            take.frames(3.0, 1.0)


def test_narrated_lines_become_captions(engine: Engine) -> None:
    for mode in ("recall", "streamingvlm"):
        with engine.open(config=replace(CONFIG, mode=mode)) as take:
            with take.narrate(rule="always", every_s=2.0) as narration:
                push(take, *range(7))
                lines = []
                while (line := narration.poll()) is not None:
                    lines.append((line.start_s, line.text))
            captions = take._session.captions(0.0, 100.0)
            assert lines and [(c.start_s, c.text) for c in captions] == lines
            shown = [p.caption for p in take.frames(0.0, 6.0)]
            assert shown == [dict(lines).get(float(t)) for t in range(7)]


def test_a_search_finds_by_keys_what_an_answer_has_as_evidence(engine: Engine) -> None:
    with engine.open(config=replace(CONFIG, select="blind", evidence=40)) as take:
        push(take, *range(12))
        found = take.search("what was there?", top=40)
        evidence = take.ask("what was there?", top_k=100).evidence
        assert [(f.start_s, f.end_s) for f in found] == [(m.start_s, m.end_s) for m in evidence]
        assert [f.score for f in found] == pytest.approx([m.score for m in evidence])
        assert all(f.matched == (BY_KEYS,) and f.thumbnail for f in found)
        within = take.search("what was there?", top=40, between_s=(3.0, 5.0))
        assert within and all(3.0 <= f.start_s <= f.end_s <= 5.0 for f in within)
        assert len(take.search("what was there?", top=1)) == 1
        assert take.search("what?", between_s=(500.0, 600.0)) == []


def test_a_search_finds_words_of_captions_and_says_so(engine: Engine) -> None:
    with engine.open(config=CONFIG) as take:
        push(take, *range(12))
        album = take._session._store.album
        album.add_caption(2.0, 3.0, "A red star, falling")
        album.add_caption(10.0, 10.0, "another RED star")
        album.add_caption(6.0, 6.0, "a blue star")
        found = take.search("red STAR", top=40)
        by_words = {f.caption: f for f in found if BY_CAPTION in f.matched}
        assert {f.caption for f in found} == {"A red star, falling", "another RED star", None}
        assert by_words["A red star, falling"].start_s == 2.0
        assert by_words["A red star, falling"].end_s == 3.0
        assert by_words["another RED star"].start_s == 10.0
        stood_out = [f for f in found if f.caption is None]
        assert stood_out and all(f.matched == (BY_KEYS,) for f in stood_out)
        for f in by_words.values():
            is_peak = any(m.start_s <= f.end_s and f.start_s <= m.end_s for m in stood_out)
            assert (BY_KEYS in f.matched) == is_peak
            assert f.score > 0
        within = take.search("red star", between_s=(0.0, 5.0), top=20)
        assert [f.caption for f in within if f.caption] == ["A red star, falling"]
        two = take.search("red star", top=2)
        assert len(two) == 2 and sum(BY_CAPTION in f.matched for f in two) >= 1


@pytest.mark.parametrize("wrong", [{"text": " "}, {"top": 0}, {"between_s": (5.0, 1.0)}])
def test_a_search_for_nothing_is_refused(engine: Engine, wrong: dict[str, Any]) -> None:
    with engine.open(config=CONFIG) as take:
        assert take.search("what?") == []
        push(take, 0)
        with pytest.raises(ValueError):
            take.search(**{"text": "what?", **wrong})


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_can_be_searched(engine: Engine, mode: str) -> None:
    with engine.open(config=TakeConfig(fps=1.0, mode=mode, decoding=SHORT)) as take:
        push(take, *range(6))
        assert take.search("what was there?")


def test_a_search_leaves_the_stream_as_it_was(engine: Engine) -> None:
    with engine.open(config=CONFIG) as take:
        push(take, *range(8))
        before = engine.run(lambda: streams.state(take._session))
        take.search("what was there?")
        take.frames(0.0, 9.0)
        after = engine.run(lambda: streams.state(take._session))
        assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


# ------------------------------------------------------------------ old chunks


def test_what_is_only_a_picture_is_shown_and_found_and_not_recalled(
    engine: Engine, tmp_path: Path
) -> None:
    with engine.open(tmp_path / "take", replace(CONFIG, memory=AGEING)) as take:
        push(take, *range(16))
        take._session.caption(1.0, 1.0, "a red star")
        take._store.tidy()
        old = take.stats().rungs["picture"]
        assert old >= 3
        answer = take.ask("what was there?", top_k=100)
        assert answer.coverage == 1.0
        assert indexed(take)[0] == old
        assert answer.evidence and all(m.start_s >= old for m in answer.evidence)
        assert take.ask("and?", at_s=float(old) + 1, top_k=100).coverage == 1.0
        assert take.ask("and?", at_s=1.0).as_of_s == 0.0  # nothing of then can be known
        for plan in ("uniform:9", "recent:9", "times:9"):
            assert take.ask("what was there at 0:01?", recall=plan).coverage == 1.0
        assert numbers(take) == list(range(16))
        assert take.frames(1.0, 1.0)[0].jpeg is not None
        (found,) = [f for f in take.search("red star", top=40) if f.caption]
        assert (found.start_s, found.end_s, found.matched) == (1.0, 1.0, (BY_CAPTION,))
        assert found.thumbnail is not None
        assert take.stats().chunks == 16
    with engine.open(tmp_path / "take", replace(CONFIG, memory=AGEING)) as again:
        assert numbers(again) == list(range(16))
        assert again.ask("what was there?", top_k=100).coverage == 1.0


def test_kept_spans_are_told_and_stay(engine: Engine, tmp_path: Path) -> None:
    with engine.open(tmp_path / "take", replace(CONFIG, memory=AGEING)) as take:
        push(take, 0)
        assert take.keep(2.0, 3.0) == 0  # still to come
        push(take, *range(1, 16))
        assert take.keep(2.0, 3.0) == 2
        assert {14, 15} <= set(window(take))
        assert take.keep(14.0, 15.0) == 2, "those in the window count too"
        take.release(14.0, 15.0)
        take._store.tidy()
        assert [(span.start_s, span.end_s) for span in take.stats().kept] == [(2.0, 3.0)]
        take.ask("what?")
        assert indexed(take)[:2] == [2, 3]
        take.release(2.0, 3.0)
        assert take.stats().kept == ()
        with pytest.raises(ValueError, match=r"in order|must not be before"):
            take.keep(5.0, 1.0)


# ------------------------------------------------------------------ a disk that is too slow


def test_chunks_that_a_slow_disk_cost_are_not_searched(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = Store.put

    def put_some(store: Store, chunk: Any, vectors: Any) -> bool:
        return False if chunk.info.number in (2, 3, 5) else put(store, chunk, vectors)

    monkeypatch.setattr(Store, "put", put_some)
    with engine.open(tmp_path / "take", CONFIG) as take:
        push(take, *range(12))
        assert indexed(take) == [0, 1, 4, 6, 7]
        assert take.ask("what was there?", top_k=100).coverage == 1.0
        assert take.ask("what was there?", at_s=8.0).coverage == 1.0
        assert take.stats().chunks == 9
    with engine.open(tmp_path / "take", CONFIG) as again:
        assert numbers(again) == [0, 1, 4, *range(6, 12)]


def test_closing_drops_nothing_of_the_window(engine: Engine, tmp_path: Path) -> None:
    memory = MemoryConfig(back_pressure="drop", queue_bytes=1, commit_s=0.0)
    with engine.open(tmp_path / "take", replace(CONFIG, memory=memory)) as take:
        push(take, *range(12))
        engine.run(take._store.sync)
        lost = take.stats().refused
        assert sum(gap.chunks for gap in take.stats().gaps) == lost
        engine.run(take._session.save)
        push(take, *range(12, 20))
        held = [p.number for p in take.frames(0.0, 100.0)]
        assert set(range(8, 12)) <= set(held)
        assert take.ask("what?", top_k=100).coverage == 1.0
    with engine.open(tmp_path / "take", replace(CONFIG, memory=memory)) as again:
        assert set(range(16, 20)) <= set(numbers(again))
