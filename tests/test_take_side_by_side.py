"""Takes where several things go on at once: late frames, other cameras, readers, hurried ends."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from longtake import cli, scope
from longtake.engine import Engine
from longtake.models.decode import Decoding
from longtake.seeing import MOST_FAILURES
from longtake.settings import TakeConfig
from longtake.streaming.capture_config import CaptureConfig
from longtake.take import Take
from longtake.worker import MAX_SPEAKING
from tests.clips import write_clip
from tests.test_bench import untrained

__all__ = ["untrained"]

LONG_S = 30.0
LAVFI = CaptureConfig(allow=frozenset({"lavfi"}))
CAMERA = "lavfi:testsrc=size=64x48:rate=20,realtime"
CONFIG = TakeConfig(fps=5.0, window_s=4.0, top_k=2, capture=LAVFI, decoding=Decoding(max_tokens=3))
LONG = Decoding(max_tokens=400)


@pytest.fixture(scope="module")
def engine(tiny_model: Path) -> Iterator[Engine]:
    with Engine(str(tiny_model), device="cpu") as made:
        yield made


@pytest.fixture(scope="module")
def pairs(untrained: Path) -> Iterator[Engine]:
    """A model of two frames a step."""
    with Engine(str(untrained), device="cpu") as made:
        yield made


def picture(seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (24, 32, 3), dtype=np.uint8)


def held(take: Take) -> list[tuple[float, float, str]]:
    infos = take._engine.run(take._session.held)
    return [(info.start_s, info.end_s, info.camera) for info in infos]


# ------------------------------------------------------------------ cameras that are a little late


def test_what_was_forgotten_does_not_come_back_with_a_late_camera(engine: Engine) -> None:
    with engine.open(config=CONFIG) as take:
        take.push(picture(), 9.5, camera="a")
        take.push(picture(), 10.2, camera="a")
        take.drain()
        take.forget(9.7, 10.0)
        assert take.push(picture(), 9.9, camera="b").accepted
        take.drain()
        assert held(take) == [(9.5, 9.5, "a"), (10.2, 10.2, "a")]
        assert take.stats().dropped == {"forgotten": 1}


def test_half_a_step_is_forgotten_though_others_are_further(pairs: Engine) -> None:
    with pairs.open(config=replace(CONFIG, fps=1.0)) as take:
        take.push(picture(), 0.5, camera="a")
        take.push(picture(), 1.0, camera="slow")
        take.push(picture(), 1.2, camera="a")
        take.drain()
        assert held(take) == [(0.5, 1.2, "a")] and take.stats().waiting == 1
        take.forget(0.9, 1.1)
        assert take.stats().waiting == 0 and take.stats().dropped == {"forgotten": 1}
    assert take.stats().chunks == 0


def test_a_slow_camera_s_frame_is_held_with_its_own_time(pairs: Engine, tmp_path: Path) -> None:
    with pairs.open(tmp_path / "m", replace(CONFIG, fps=1.0)) as take:
        take.push(picture(), 1.0, camera="slow")
        for i in range(2, 12):
            take.push(picture(), i / 2, camera="fast")
        take.drain()
        spans = held(take)
        (slow,) = [span for span in spans if span[2] == "slow"]
        assert slow[0] == 1.0 and slow[1] <= 2.0
        ends = [end for _, end, _ in spans]
        assert ends == sorted(ends)
        take.forget(0.0, 1.1)
        assert "slow" not in {camera for _, _, camera in held(take)}
    with pairs.open(tmp_path / "m", replace(CONFIG, fps=1.0)) as again:
        assert held(again) == [span for span in spans if span[0] > 1.1]


def test_a_question_between_two_times_finds_a_chunk_that_came_late(engine: Engine) -> None:
    with engine.open(config=replace(CONFIG, window_s=0.1)) as take:
        for pts_s, camera in ((1.0, "a"), (2.0, "a"), (1.5, "b"), (3.0, "a"), (4.0, "a")):
            take.push(picture(), pts_s, camera=camera)
            take.drain()
        infos = take._engine.run(take._session.held)
        assert [info.end_s for info in infos] == [1.0, 2.0, 2.0, 3.0, 4.0]
        found = infos[scope.touching(infos, 1.4, 1.6)]
        assert (1.5, "b") in {(info.start_s, info.camera) for info in found}
        assert len(found) <= 2  # what lies between comes along
        assert infos[scope.touching(infos, 2.5, 3.0)] == infos[3:4]


# ------------------------------------------------------------------ beside cameras


def test_no_push_gets_ahead_of_the_cameras_that_are_watched(engine: Engine) -> None:
    with engine.open(config=CONFIG) as take:
        take.watch(CAMERA, camera="door")
        take.read(timeout_s=LONG_S)
        pushed = take.push(picture(), 1.8e9, camera="wrist")
        assert not pushed.accepted and "a second ahead of `now_s`" in pushed.reason
        begun_s = take.now_s
        take.read("door", timeout_s=LONG_S)
        assert take.push(picture(), begun_s, camera="wrist").accepted  # a little behind the door
        assert not take.push(picture(), begun_s, camera="wrist").accepted
        assert take.push(picture(), take.now_s, camera="wrist").accepted
        assert take.stats().dropped["ahead"] == 1
        assert take.now_s < 60


def test_a_file_seen_before_ends_nothing_of_a_camera(engine: Engine, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", seconds=2, fps=4)
    with engine.open(config=CONFIG) as take:
        take.watch(clip).wait(LONG_S)
        take.watch(CAMERA, camera="door")
        alert = take.alert("is it there?")
        with pytest.raises(RuntimeError, match="still being watched"):
            take.watch(clip)
        assert not alert.is_over


def test_a_name_belongs_to_who_shows_something_now(engine: Engine) -> None:
    with engine.open(config=CONFIG) as take:
        watch = take.watch(CAMERA, camera="x")
        take.read("x", timeout_s=LONG_S)
        watch.stop()
        mine = picture(7)
        watch.wait(LONG_S)
        assert take.push(mine, take.now_s + 1, camera="x").accepted
        assert (take.read_latest("x").image == mine).all()


def test_a_name_that_cannot_be_kept_is_refused_at_once(engine: Engine) -> None:
    with engine.open(config=CONFIG) as take:
        with pytest.raises(ValueError, match="camera's name"):
            take.push(picture(), 0.0, camera="y" * 70_000)
        assert take.push(picture(), 0.0, camera="y").accepted


def test_one_accident_ends_no_alert_and_many_do(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def put(*args: Any) -> Any:
        raise RuntimeError("out of sorts")

    with engine.open(config=CONFIG) as take:
        alert = take.alert("is it there?")
        with monkeypatch.context() as broken:
            broken.setattr(take._session.stream, "put", put)
            take.push(picture(), 0.0)
            with pytest.raises(RuntimeError, match="out of sorts"):
                take.drain()
        take.push(picture(), 1.0)
        take.drain()
        assert not alert.is_over and alert.stats().judged == 1
        monkeypatch.setattr(take._session.stream, "put", put)
        for t in range(MOST_FAILURES):
            take.push(picture(), 2.0 + t)
            with pytest.raises(RuntimeError, match="out of sorts"):
                take.drain()
        assert alert.is_over


# ------------------------------------------------------------------ readers


def test_a_reader_refuses_what_would_write(engine: Engine, tmp_path: Path) -> None:
    with engine.open(tmp_path / "m", CONFIG) as take:
        take.push(picture(), 0.0)
    with engine.open(tmp_path / "m", CONFIG, read_only=True) as reader:
        for refused in (
            lambda: reader.push(picture(), 1.0),
            lambda: reader.watch(CAMERA),
            lambda: reader.narrate(),
            lambda: reader.alert("is it there?"),
        ):
            with pytest.raises(RuntimeError, match="only reads its memory"):
                refused()
        assert reader.ask("what?").as_of_s == 0.0


# ------------------------------------------------------------------ ends in a hurry


def test_cancelling_reaches_the_answer_that_is_being_spoken(engine: Engine) -> None:
    with engine.open(config=CONFIG) as take:
        take.push(picture(), 0.0)
        take.drain()
        for _ in range(5):
            asking = take.submit("what?", decoding=LONG)
            next(iter(asking))
            assert take.cancel() == 1
            answer = asking.result(LONG_S)
            assert answer.partial and answer.timings.tokens < LONG.max_tokens


def test_a_question_continues_what_was_said_when_its_turn_comes(engine: Engine) -> None:
    with engine.open(config=CONFIG) as take:
        take.push(picture(), 0.0)
        take.drain()
        prompts: list[int] = []
        prompt = take._session.mode.prompt

        def noting(session: Any, asked: Any) -> Any:
            prompts.append(len(asked.dialogue))
            return prompt(session, asked)

        take._session.mode.prompt = noting  # type: ignore[method-assign]
        try:
            first = take.submit("what?", conversation="c")
            second = take.submit("and?", conversation="c")
            second.result(LONG_S)
            first.result(LONG_S)
            busy = [take.submit("what?", decoding=LONG) for _ in range(MAX_SPEAKING)]
            waiting = take.submit("and now?", conversation="c")
            take.forget(5.0, 6.0)  # conversations too
            for asking in busy:
                asking.cancel()
            waiting.result(LONG_S)
        finally:
            del take._session.mode.prompt
        assert prompts[-1] == 0


@pytest.mark.parametrize("mailbox", [1, 4])
def test_ctrl_c_loses_no_frame_of_a_file(engine: Engine, tmp_path: Path, mailbox: int) -> None:
    clip = write_clip(tmp_path / "clip.mp4", seconds=8, fps=5)
    config = replace(CONFIG, mailbox_frames=mailbox, batch_frames=1)
    with engine.open(config=config) as whole:
        whole.watch(clip).wait(LONG_S)
        expected = held(whole)
    gate, running = threading.Event(), threading.Event()

    def hold() -> None:
        running.set()
        gate.wait(LONG_S)

    take = engine.open(tmp_path / "m", config)
    with pytest.raises(KeyboardInterrupt), take:
        blocked = threading.Thread(target=lambda: engine.run(hold))
        blocked.start()
        running.wait(LONG_S)
        watch = take.watch(clip)
        while len(take._inbox) < mailbox:
            assert not watch.is_seen(0.001)
        threading.Timer(0.2, gate.set).start()
        raise KeyboardInterrupt
    blocked.join()
    with engine.open(tmp_path / "m", config) as again:
        again.watch(clip).wait(LONG_S)
        assert held(again) == expected


def test_a_store_is_closed_whatever_goes_wrong_at_the_end(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = engine.open(tmp_path / "m", CONFIG)
    take.push(picture(), 0.0)

    def gaps() -> Any:
        raise OSError(5, os.strerror(5))

    monkeypatch.setattr(take._store, "gaps", gaps)
    with pytest.raises(OSError):
        take.close()
    with engine.open(tmp_path / "m", CONFIG) as again:
        assert again.stats().chunks == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_being_told_to_end_keeps_what_was_seen(
    number: signal.Signals, tmp_path: Path, untrained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def end() -> None:
        while not list((tmp_path / "m").glob("*.sqlite")):
            threading.Event().wait(0.05)
        threading.Event().wait(1.0)
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)  # a process, and its group

    killer = threading.Thread(target=end)
    killer.start()
    words = ["watch", CAMERA, "--allow-lavfi", "--memory", str(tmp_path / "m")]
    code = cli.main([*words, "--model", str(untrained), "--fps", "10"])
    killer.join()
    assert code == 128 + number
    assert f"ended by {number.name}" in capsys.readouterr().err
    with Engine(str(untrained)) as engine, engine.open(tmp_path / "m", read_only=True) as take:
        assert take.stats().chunks > 0
