"""Whose turn it is on the engine's one thread: frames, answers, and jobs that bear neither."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from longtake.asking import Asking
from longtake.speech import Speech
from longtake.worker import INGEST_SHARE, MAX_SPEAKING, MAX_WAITING, Busy, Worker

LONG_S = 30.0


class Stage:
    """A worker on a clock that its work alone moves, and what it did, in order."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.did: list[str] = []
        self.worker = Worker("longtake-test", lambda: self.now_s)

    def spend(self, seconds: float, what: str) -> None:
        self.now_s += seconds
        self.did.append(what)

    @contextmanager
    def held(self) -> Iterator[None]:
        """The worker is busy meanwhile, so that what is put stays in its order."""
        is_held, go_on = threading.Event(), threading.Event()

        def hold() -> None:
            is_held.set()
            go_on.wait(LONG_S)

        thread = threading.Thread(target=lambda: self.worker.run(hold))
        thread.start()
        is_held.wait(LONG_S)
        try:
            yield
        finally:
            go_on.set()
            thread.join()


class Talk(Speech):
    """Says so many tokens, of a second each, about a session."""

    def __init__(self, stage: Stage, name: str, tokens: int, of: object = None) -> None:
        self.of: Any = object() if of is None else of
        self.asking, self._stage, self._name, self._left = Asking(), stage, name, tokens
        self.is_late = False

    @property
    def is_over(self) -> bool:
        return self.asking.is_cancelled or self.is_late

    def step(self) -> bool:
        if self.is_over or not self._left:
            self._stage.did.append(f"{self._name} ends")
            self.asking.finish(None)  # type: ignore[arg-type]
            return False
        self._left -= 1
        self._stage.spend(1.0, self._name)
        return True


class Frames:
    """A take with so many frames, of a second each."""

    def __init__(self, stage: Stage, name: str, count: int) -> None:
        self._stage, self._name, self.count = stage, name, count
        self.errors: list[BaseException] = []

    @property
    def has_work(self) -> bool:
        return self.count > 0

    def work(self) -> bool:
        if not self.count:
            return False
        self.count -= 1
        if self._name == "broken":
            raise OSError("no more")
        self._stage.spend(1.0, self._name)
        return True

    def fail(self, error: BaseException) -> None:
        self.errors.append(error)


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage()
    yield made
    made.worker.stop()


def test_a_question_begins_before_the_next_frame_and_then_shares_the_time(stage: Stage) -> None:
    talk = Talk(stage, "a", 40)
    with stage.held():
        stage.worker.join(Frames(stage, "f", 200))
        stage.worker.speak(talk)
    _wait(talk)
    spoken = stage.did[: stage.did.index("a ends")]
    assert spoken[0] == "a"
    share = spoken.count("f") / len(spoken)
    assert share == pytest.approx(INGEST_SHARE, abs=0.03)
    for many in range(10, len(spoken)):  # at every moment, not only in the end
        assert spoken[:many].count("f") >= INGEST_SHARE * many - 2


def test_what_was_seen_before_a_question_is_owed_to_nobody(stage: Stage) -> None:
    frames, talk = Frames(stage, "f", 300), Talk(stage, "a", 20)
    gate, go_on = threading.Event(), threading.Event()
    work = frames.work

    def pausing() -> bool:
        if frames.count == 200:  # 100 s of nothing but frames
            gate.set()
            go_on.wait(LONG_S)
        return work()

    frames.work = pausing  # type: ignore[method-assign]
    stage.worker.join(frames)
    gate.wait(LONG_S)
    stage.worker.speak(talk)
    go_on.set()
    _wait(talk)
    spoken = stage.did[stage.did.index("a") : stage.did.index("a ends")]
    assert spoken.count("f") / len(spoken) == pytest.approx(INGEST_SHARE, abs=0.05)


def test_without_frames_an_answer_has_all_the_time_and_owes_nothing_later(stage: Stage) -> None:
    talk = Talk(stage, "a", 50)
    with stage.held():
        stage.worker.speak(talk)
    _wait(talk)
    frames, again = Frames(stage, "f", 3), Talk(stage, "b", 2)
    with stage.held():
        stage.worker.join(frames)
        stage.worker.speak(again)
    _wait(again)
    assert stage.did[51] == "b"  # at once, though the first one took 50 s
    assert stage.did[52] == "f"


def test_what_was_spoken_while_no_frame_waited_is_owed_to_none(stage: Stage) -> None:
    talk, frames = Talk(stage, "a", 200), Frames(stage, "f", 0)
    gate, go_on = threading.Event(), threading.Event()
    step = talk.step

    def pausing() -> bool:
        if talk._left == 100:  # 100 s of nothing but words
            gate.set()
            go_on.wait(LONG_S)
        return step()

    talk.step = pausing  # type: ignore[method-assign]
    stage.worker.join(frames)
    stage.worker.speak(talk)
    gate.wait(LONG_S)
    frames.count = 500
    go_on.set()
    _wait(talk)
    spoken = stage.did[stage.did.index("f") : stage.did.index("a ends")]
    assert spoken.count("f") / len(spoken) == pytest.approx(INGEST_SHARE, abs=0.03)


def test_what_was_done_is_let_go(stage: Stage) -> None:
    class Heavy:
        """Something that a job holds."""

    heavy = Heavy()
    is_alive = weakref.ref(heavy)

    def use(it: Heavy) -> None:
        assert it is not None

    stage.worker.run(partial(use, heavy), heavy)
    del heavy
    for _ in range(1000):
        if is_alive() is None:
            break
        threading.Event().wait(0.01)  # the worker goes to sleep
    assert is_alive() is None


def test_answers_take_turns_and_a_bounded_number_is_on_its_way(stage: Stage) -> None:
    names = "abcdefg"
    talks = [Talk(stage, name, 3) for name in names]
    with stage.held():
        for talk in talks:
            stage.worker.speak(talk)
    for talk in talks:
        _wait(talk)
    assert stage.did[:MAX_SPEAKING] == list(names[:MAX_SPEAKING])
    begun: set[str] = set()
    for what in stage.did:
        begun = begun - {what[0]} if what.endswith("ends") else begun | {what}
        assert len(begun) <= MAX_SPEAKING
    assert sorted(stage.did) == sorted([*names * 3, *(f"{name} ends" for name in names)])


def test_takes_go_round(stage: Stage) -> None:
    takes = [Frames(stage, name, 5) for name in "xyz"]
    with stage.held():
        for take in takes:
            stage.worker.join(take)
    stage.worker.run(lambda: None)
    while any(take.has_work for take in takes):
        stage.worker.run(lambda: None)
    stage.worker.run(lambda: None)
    rounds = [sorted(stage.did[i : i + 3]) for i in range(0, 15, 3)]
    assert rounds == [["x", "y", "z"]] * 5


def test_a_job_that_must_be_alone_waits_for_its_own_answers_and_for_no_others(
    stage: Stage,
) -> None:
    mine, other = object(), object()
    done = threading.Event()

    def alone() -> None:
        stage.worker.run(lambda: stage.did.append("alone"), mine, alone=True)
        done.set()

    with stage.held():
        stage.worker.speak(Talk(stage, "m", 4, mine))
        long = Talk(stage, "o", 30, other)
        stage.worker.speak(long)
        waiting = threading.Thread(target=alone)
        waiting.start()
        while len(stage.worker._queue) < 3:
            pass
        late = Talk(stage, "n", 1, mine)
        stage.worker.speak(late)
    assert done.wait(LONG_S)
    _wait(long)
    _wait(late)
    waiting.join()
    did = stage.did
    assert did.index("m ends") < did.index("alone") < did.index("o ends")
    assert did.index("alone") < did.index("n")  # nothing of a session overtakes


def test_cancelling_ends_what_is_spoken_and_what_waits_of_one_session(stage: Stage) -> None:
    mine = object()
    talks = [Talk(stage, name, 1000, mine) for name in "ab"]
    other = Talk(stage, "o", 3)
    queued = [Talk(stage, f"{i}", 1, mine) for i in range(3)]
    with stage.held():
        for talk in (*talks, other, *queued):
            stage.worker.speak(talk)
        assert stage.worker.cancel(mine) == 5
    for talk in (*talks, other, *queued):
        _wait(talk)
    assert stage.did.count("a") + stage.did.count("b") == 0
    assert stage.did.count("o") == 3


def test_an_answer_whose_time_is_over_ends_before_any_frame(stage: Stage) -> None:
    talk = Talk(stage, "a", 100)
    frames = Frames(stage, "f", 1000)

    def late() -> None:
        talk.is_late = True
        stage.did.append("late")

    with stage.held():
        stage.worker.join(frames)
        stage.worker.speak(talk)
        asking = threading.Thread(target=lambda: stage.worker.run(late))
        asking.start()
        while len(stage.worker._queue) < 2:
            pass
    _wait(talk)
    asking.join()
    assert stage.did[:3] == ["a", "late", "a ends"]


def test_too_many_questions_are_refused_and_jobs_are_not(stage: Stage) -> None:
    with stage.held():
        for _ in range(MAX_WAITING):
            stage.worker.speak(Talk(stage, "a", 0))
        with pytest.raises(Busy, match=f"{MAX_WAITING} questions wait already"):
            stage.worker.speak(Talk(stage, "a", 0))
        waiting = threading.Thread(target=lambda: stage.worker.run(lambda: None))
        waiting.start()
    waiting.join()


def test_a_take_that_fails_does_not_end_the_worker(stage: Stage) -> None:
    broken, whole = Frames(stage, "broken", 2), Frames(stage, "f", 3)
    with stage.held():
        stage.worker.join(broken)
        stage.worker.join(whole)
    while broken.has_work or whole.has_work:
        stage.worker.run(lambda: None)
    stage.worker.run(lambda: None)
    assert [str(error) for error in broken.errors] == ["no more", "no more"]
    assert stage.did == ["f", "f", "f"]


def test_what_the_worker_itself_asks_for_is_done_at_once(stage: Stage) -> None:
    assert stage.worker.run(lambda: stage.worker.run(lambda: 7)) == 7


def test_a_stopped_worker_has_done_everything_and_takes_nothing() -> None:
    stage = Stage()
    talk = Talk(stage, "a", 5)
    with stage.held():
        stage.worker.speak(talk)
        stopping = threading.Thread(target=stage.worker.stop)
        stopping.start()
        while not stage.worker._closing:
            pass
    stopping.join(LONG_S)
    assert not stopping.is_alive() and talk.asking.done()
    with pytest.raises(RuntimeError, match="closed"):
        stage.worker.run(lambda: None)
    stage.worker.stop()


def _wait(talk: Talk) -> None:
    assert talk.asking._settled.wait(LONG_S)
