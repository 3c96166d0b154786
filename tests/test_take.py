"""Takes as users hold them: pushing, watching, asking from several threads, closing, reopening."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import longtake
from longtake.engine import Busy, Engine
from longtake.models.decode import Decoding
from longtake.settings import TakeConfig
from longtake.streaming.errors import SourceNotFound
from longtake.worker import MAX_WAITING
from tests.clips import write_clip

SHORT = Decoding(max_tokens=3)
CONFIG = TakeConfig(fps=1.0, window_s=4.0, top_k=2, decoding=SHORT)


@pytest.fixture(scope="module")
def engine(tiny_model: Path) -> Iterator[Engine]:
    with Engine(str(tiny_model), device="cpu") as made:
        yield made


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 s at 4 frames a second."""
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", seconds=20, fps=4)


def picture(seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (24, 32, 3), dtype=np.uint8)


def test_a_file_is_watched_to_its_end_and_answered_about(engine: Engine, clip: Path) -> None:
    with engine.open(config=CONFIG) as take:
        report = take.watch(clip).wait()
        assert report.complete
        stats = take.stats()
        assert stats.frames == 20 and stats.chunks == 20 and stats.waiting == 0
        assert stats.newest_s == pytest.approx(19.0)
        answer = take.ask("what was there?")
        assert answer.question == "what was there?"
        assert answer.coverage == 1.0
        assert answer.as_of_s == pytest.approx(19.0) and answer.staleness_s == 0.0
        assert answer.evidence and all(0 <= m.start_s <= m.end_s <= 19 for m in answer.evidence)
        assert [m.score for m in answer.evidence] == sorted(
            (m.score for m in answer.evidence), reverse=True
        )
        assert answer.evidence[0].thumbnail is not None
        assert answer.evidence[0].thumbnail[:2] == b"\xff\xd8"


def test_parts_of_a_stream_join_to_the_answer(engine: Engine, clip: Path) -> None:
    with engine.open(config=CONFIG) as take:
        take.watch(clip).wait()
        asking = take.stream("what was there?")
        text = "".join(asking)
        assert asking.done()
        assert text.strip() == asking.result().text
        assert asyncio.run(take.aask("what was there?")).text == asking.result().text


def test_sampling_repeats_with_its_seed(engine: Engine, clip: Path) -> None:
    with engine.open(config=CONFIG) as take:
        take.watch(clip).wait()
        texts = [
            take.ask("and?", decoding=Decoding(max_tokens=12, temperature=2.0, seed=s)).text
            for s in (1, 1, 2)
        ]
    assert texts[0] == texts[1] != texts[2]


def test_the_memory_answers_again_without_the_video(
    engine: Engine, clip: Path, tmp_path: Path
) -> None:
    with engine.open(tmp_path / "kitchen", CONFIG) as take:
        take.watch(clip).wait()
        before = take.ask("what was there?")
    with engine.open(tmp_path / "kitchen", CONFIG) as take:
        again = take.watch(clip)
        assert again.is_known and again.wait().complete
        assert take.stats().frames == 0
        after = take.ask("what was there?")
    assert after.text == before.text
    assert [(m.start_s, m.end_s) for m in after.evidence] == [
        (m.start_s, m.end_s) for m in before.evidence
    ]


def test_a_second_source_follows_the_first_in_time(
    engine: Engine, clip: Path, tmp_path: Path
) -> None:
    other = write_clip(tmp_path / "other.mp4", seconds=5, fps=2)
    with engine.open(config=CONFIG) as take:
        take.watch(clip).wait()
        second = take.watch(other)
        second.wait()
        assert second.offset_s == pytest.approx(20.0)
        assert take.stats().newest_s == pytest.approx(24.0)


def test_a_source_cut_short_goes_on_where_it_stopped(
    engine: Engine, clip: Path, tmp_path: Path
) -> None:
    with engine.open(tmp_path / "take", CONFIG) as take:
        watch = take.watch(clip)
        while take.stats().chunks < 3:
            threading.Event().wait(0.005)
        watch.stop()
    with engine.open(tmp_path / "take", CONFIG) as take:
        already = take.stats().chunks
        take.watch(clip).wait()
        assert take.stats().chunks == 20
        assert take.stats().frames == 20 - already


def test_push_never_waits_and_says_what_became_of_a_frame(engine: Engine) -> None:
    with engine.open(config=CONFIG) as take:
        gate = threading.Event()
        blocked = threading.Thread(target=lambda: engine.run(gate.wait))
        blocked.start()
        pushed = [take.push(picture(t), float(t)) for t in range(CONFIG.mailbox_frames + 5)]
        assert all(p.accepted for p in pushed)
        late = take.push(picture(), 3.0)
        assert not late.accepted and "not later" in late.reason
        gate.set()
        blocked.join()
        take.drain()
        dropped = take.stats().dropped
        assert dropped["not later"] == 1
        assert take.stats().frames + dropped.get("full", 0) == CONFIG.mailbox_frames + 5
        with pytest.raises(ValueError, match="uint8"):
            take.push(np.zeros((4, 4, 3), np.float32), 1000.0)


def test_questions_go_before_frames_and_can_be_cancelled(engine: Engine) -> None:
    with engine.open(config=CONFIG) as take:
        gate = threading.Event()
        blocked = threading.Thread(target=lambda: engine.run(gate.wait))
        blocked.start()
        take.push(picture(), 0.0)
        asked = take.submit("what?")
        cancelled = take.submit("what?", decoding=Decoding(max_tokens=100))
        cancelled.cancel()
        gate.set()
        blocked.join()
        assert asked.result(30).evidence == (), "the frame had come first"
        assert cancelled.result(30).partial and cancelled.result().text == ""
        late = take.ask("what?", deadline_s=0.0)
        assert late.partial and late.text == ""


def test_an_answer_says_how_stale_it_is(engine: Engine) -> None:
    with engine.open(config=CONFIG) as take:
        take.push(picture(), 0.0)
        take.drain()
        gate = threading.Event()
        blocked = threading.Thread(target=lambda: engine.run(gate.wait))
        blocked.start()
        take.push(picture(1), 7.0)
        asking = take.submit("what?")
        gate.set()
        blocked.join()
        assert asking.result().as_of_s == 0.0
        assert asking.result().staleness_s == 7.0
        take.drain()
        assert take.ask("what?").staleness_s == 0.0


def test_waiting_questions_are_bounded(engine: Engine) -> None:
    with engine.open(config=CONFIG) as take:
        gate, running = threading.Event(), threading.Event()

        def hold() -> None:
            running.set()
            gate.wait()

        blocked = threading.Thread(target=lambda: engine.run(hold))
        blocked.start()
        running.wait()
        asked = [take.submit("what?") for _ in range(MAX_WAITING)]
        with pytest.raises(Busy, match=str(MAX_WAITING)):
            take.submit("one more?")
        gate.set()
        blocked.join()
        assert all(a.result(60).question == "what?" for a in asked)


def test_a_conversation_is_remembered_and_others_are_apart(engine: Engine) -> None:
    with engine.open(config=CONFIG) as take:
        for t in range(6):
            take.push(picture(t), float(t))
        take.drain()
        alone = take.ask("and its colour?")
        take.ask("what was there?", conversation="a")
        assert [q for q, _ in take._dialogues.turns("a")] == ["what was there?"]
        assert take.ask("and its colour?").text == alone.text
        for i in range(40):
            take.ask("hello?", conversation=str(i))
        assert not take._dialogues.turns("a"), "the oldest is forgotten"
        assert take._dialogues.turns("39")


def test_times_bound_what_is_known(engine: Engine, clip: Path) -> None:
    with engine.open(config=CONFIG) as take:
        take.watch(clip).wait()
        early = take.ask("what?", at_s=8.0)
        assert early.as_of_s <= 8.0 and all(m.end_s <= 8.0 for m in early.evidence)
        middle = take.ask("what?", between_s=(5.0, 9.0))
        assert middle.evidence
        assert all(5.0 <= m.end_s and m.start_s <= 9.0 for m in middle.evidence)
        with pytest.raises(ValueError, match="in order"):
            take.ask("what?", between_s=(9.0, 5.0))


def test_what_is_wrong_is_said_and_the_take_goes_on(engine: Engine, clip: Path) -> None:
    with engine.open(config=CONFIG) as take:
        with pytest.raises(ValueError, match="empty"):
            take.ask("  ")
        with pytest.raises(SourceNotFound):
            take.watch("/nowhere/at/all.mp4")
        with pytest.raises(ValueError, match="lower max_tokens"):
            take.ask("what?", decoding=Decoding(max_tokens=100_000))
        take.watch(clip).wait()
        assert take.stats().chunks == 20
    with pytest.raises(RuntimeError, match="closed"):
        take.ask("what?")
    take.close()


def test_a_failure_while_watching_reaches_whoever_waits(
    engine: Engine, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with engine.open(config=CONFIG) as take:

        def fail(*_: Any) -> Any:
            raise RuntimeError("the device is gone")

        monkeypatch.setattr(engine.adapter, "steps", fail)
        with pytest.raises(RuntimeError, match="the device is gone"):
            take.watch(clip).wait(60)
        monkeypatch.undo()
        assert take.ask("what?").as_of_s == 0.0


def test_two_takes_share_a_model_and_nothing_else(engine: Engine, clip: Path) -> None:
    with engine.open(config=CONFIG) as one, engine.open(config=CONFIG) as two:
        watches = [take.watch(clip) for take in (one, two)]
        for watch in watches:
            watch.wait()
        texts = {take.ask("what was there?").text for take in (one, two)}
        assert len(texts) == 1
        two.push(picture(), 100.0)
        engine.run(lambda: None)
        assert one.stats().newest_s == pytest.approx(19.0)


def test_open_makes_engine_and_take_and_closing_ends_both(tiny_model: Path) -> None:
    before = threading.active_count()
    with longtake.open(model=str(tiny_model), device="cpu", fps=2.0, window_s=3.0) as take:
        assert take.pace.fps == 2.0 and take.pace.window_s == 3.0
        take.push(picture(), 0.0)
    assert threading.active_count() == before
    with pytest.raises(TypeError):
        longtake.open(model=str(tiny_model), frames_per_second=2.0)
