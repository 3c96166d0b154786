"""Takes with cameras: watched live, pushed, looked at, asked about, and what becomes of outages."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from longtake.engine import Engine
from longtake.models.decode import Decoding
from longtake.settings import TakeConfig
from longtake.streaming.capture_config import CaptureConfig
from longtake.streaming.errors import StaleFrame
from longtake.streaming.masks import Mask
from longtake.take import Take
from tests.clips import write_clip

LONG_S = 30.0
LAVFI = CaptureConfig(allow=frozenset({"lavfi"}), backoff_s=0.2)
CONFIG = TakeConfig(fps=5.0, window_s=2.0, top_k=2, capture=LAVFI, decoding=Decoding(max_tokens=3))


@pytest.fixture(scope="module")
def engine(tiny_model: Path) -> Iterator[Engine]:
    with Engine(str(tiny_model), device="cpu") as made:
        yield made


def camera(width: int = 64, rate: int = 20, more: str = "") -> str:
    return f"lavfi:testsrc=size={width}x48:rate={rate}{more},realtime"


def picture(seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (24, 32, 3), dtype=np.uint8)


def until(take: Take, holds: Any) -> None:
    """Waits, frame by frame, until something holds."""
    for _ in range(600):
        if holds():
            return
        take.read(take._cameras.names[0], timeout_s=LONG_S)
    raise AssertionError("it never held")


def accounted(take: Take) -> bool:
    stats = take.stats()
    return stats.received == stats.frames + stats.waiting + sum(stats.dropped.values())


# ------------------------------------------------------------------ watched


def test_two_cameras_are_one_stream_in_the_order_of_their_times(engine: Engine) -> None:
    with engine.open(config=CONFIG) as take:
        door = take.watch(camera(64), camera="door")
        yard = take.watch(camera(32, 10), camera="yard")
        until(take, lambda: take.stats().chunks >= 8)
        assert (door.state, yard.state) == ("live", "live")
        infos = take._engine.run(take._session.held)
        assert {info.camera for info in infos} == {"door", "yard"}
        ends = [info.end_s for info in infos]
        assert ends == sorted(ends)
        assert [info.number for info in infos] == list(range(len(infos)))
        answer = take.ask("what?")
        assert answer.evidence[0].camera in ("door", "yard")
        door.stop()
        yard.stop()
        door.wait(LONG_S)
        yard.wait(LONG_S)
        stats = take.stats()
        assert accounted(take)
    for seen in stats.cameras.values():
        assert seen.state == "ended" and seen.seen == seen.kept + sum(seen.dropped.values())
    assert sum(seen.kept for seen in stats.cameras.values()) == stats.frames
    assert stats.cameras["door"].size == (64, 48)


def test_a_camera_needs_a_name_of_its_own_and_no_file_beside_it(
    engine: Engine, tmp_path: Path
) -> None:
    clip = write_clip(tmp_path / "clip.mp4", seconds=2, fps=4)
    with engine.open(config=CONFIG) as take:
        take.watch(camera(), camera="door")
        with pytest.raises(RuntimeError, match=r"camera='door' is .* already: give .* another"):
            take.watch(camera(), camera="door")
        with pytest.raises(RuntimeError, match="still being watched"):
            take.watch(clip)
        with pytest.raises(ValueError, match="bound a file"):
            take.watch(camera(), camera="yard", stop_s=3.0)
        with pytest.raises(ValueError, match="more than"):
            take.watch(camera(), camera="y" * 70_000)
    with pytest.raises(RuntimeError, match="closed"):
        take.watch(camera())


def test_the_name_of_a_camera_that_was_stopped_is_free(engine: Engine) -> None:
    with engine.open(config=CONFIG) as take:
        for size in (32, 64, 96):
            watch = take.watch(camera(size), camera="door")
            assert take.read("door", timeout_s=LONG_S).image.shape[1] == size
            watch.stop()
        assert take.stats().cameras["door"].size == (96, 48)


def test_a_file_follows_a_camera_that_has_ended(engine: Engine, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", seconds=2, fps=4)
    with engine.open(config=CONFIG) as take:
        first = take.watch(camera())
        until(take, lambda: take.stats().chunks >= 2)
        first.stop()
        first.wait(LONG_S)
        seen_s = take.stats().newest_s
        second = take.watch(clip)
        assert second.wait(LONG_S).complete
        assert second.offset_s > seen_s
        assert accounted(take)


def test_a_camera_that_shows_nothing_for_a_while_leaves_a_gap_that_answers_tell_of(
    engine: Engine, tmp_path: Path
) -> None:
    """The source ends by itself after half a second, and begins anew each time."""
    with engine.open(tmp_path / "m", CONFIG) as take:
        watch = take.watch(camera(more=":duration=0.5"), camera="door")
        until(take, lambda: take.stats().cameras["door"].outages >= 2 and take.stats().gaps)
        gap = take.stats().gaps[0]
        assert (gap.reason, gap.camera, gap.chunks) == ("offline", "door", 0)
        assert gap.start_s < gap.end_s
        answer = take.ask("what?")
        assert gap in answer.gaps
        assert take.ask("what?", between_s=(0.0, gap.start_s / 2)).gaps == ()
        assert watch.stats().reconnects >= 2
        times = [info.start_s for info in take._engine.run(take._session.held)]
        assert times == sorted(times)
        assert accounted(take)
    with engine.open(tmp_path / "m", CONFIG) as again:
        assert gap in again.stats().gaps


def test_closing_in_the_middle_ends_it_soon_and_keeps_what_was_seen(
    engine: Engine, tmp_path: Path
) -> None:
    with engine.open(tmp_path / "m", CONFIG) as take:
        watch = take.watch(camera())
        until(take, lambda: take.stats().chunks >= 3)
    assert watch.state == "ended" and watch.is_seen(0.0)
    with pytest.raises(StaleFrame):
        take.read()
    held = take.stats().chunks
    with engine.open(tmp_path / "m", CONFIG) as again:
        assert again.stats().chunks == held
        seen_s = again.stats().newest_s
        live = again.watch(camera())
        until(again, lambda: again.stats().chunks > held)
        assert live.offset_s > seen_s  # the stream goes on behind what was seen


def test_a_camera_goes_on_where_frames_cannot_be_taken_in(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with engine.open(config=CONFIG) as take:
        steps, failing = take._session.stream.put, threading.Event()
        failing.set()

        def put(*args: Any) -> Any:
            if failing.is_set():
                raise RuntimeError("out of sorts")
            return steps(*args)

        monkeypatch.setattr(take._session.stream, "put", put)
        watch = take.watch(camera())
        until(take, lambda: take.stats().dropped.get("failed", 0) >= 2)
        assert watch.state == "live" and "out of sorts" in caplog.text
        failing.clear()
        until(take, lambda: take.stats().chunks >= 2)
        watch.stop()
        watch.wait(LONG_S)
        assert accounted(take)


def test_a_camera_whose_frames_never_can_be_taken_in_ends_with_the_reason(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def put(*args: Any) -> Any:
        raise RuntimeError("out of sorts")

    with engine.open(config=replace(CONFIG, fps=20.0)) as take:
        monkeypatch.setattr(take._session.stream, "put", put)
        watch = take.watch(camera())
        with pytest.raises(RuntimeError, match="out of sorts"):
            watch.wait(LONG_S)
        assert accounted(take)


# ------------------------------------------------------------------ looked at


def test_three_ways_to_look(engine: Engine) -> None:
    with engine.open(config=CONFIG) as take:
        with pytest.raises(ValueError, match="no such camera; there is none"):
            take.read_latest()
        take.watch(camera(), camera="door")
        first = take.read(timeout_s=LONG_S)
        assert first.image.shape == (48, 64, 3) and first.camera == "door"
        second = take.read("door", timeout_s=LONG_S)
        assert second.pts_s > first.pts_s
        new = take.async_read("door", timeout_ms=LONG_S * 1e3)
        newer = take.async_read("door", timeout_ms=LONG_S * 1e3)
        assert newer.pts_s > new.pts_s
        assert take.read_latest("door", max_age_ms=LONG_S * 1e3).pts_s >= newer.pts_s
        with pytest.raises(StaleFrame, match=r"'door': its newest frame is .* ms old"):
            take.read_latest(max_age_ms=-1)
        with pytest.raises(ValueError, match=r"camera='yard': no such camera; there is 'door'"):
            take.read("yard")
        assert isinstance(StaleFrame("x"), TimeoutError)


def test_looking_at_a_camera_that_is_away_says_why(engine: Engine) -> None:
    with engine.open(config=CONFIG) as take:
        take.watch("rtsp://bob:secret@127.0.0.1:1/main", camera="door")
        with pytest.raises(StaleFrame) as told:
            take.async_read("door", timeout_ms=300)
        assert "it is connecting" in str(told.value) and "secret" not in str(told.value)
        with pytest.raises(StaleFrame, match="no frame has come yet"):
            take.read_latest("door")


def test_frames_that_are_pushed_can_be_looked_at_too(engine: Engine) -> None:
    with engine.open(config=CONFIG) as take:
        take.push(picture(1), 1.0, camera="wrist")
        take.push(picture(2), 2.0, camera="wrist")
        assert (take.read_latest("wrist").image == picture(2)).all()
        assert take.async_read(timeout_ms=0).pts_s == 2.0
        with pytest.raises(StaleFrame):
            take.async_read(timeout_ms=0)


# ------------------------------------------------------------------ pushed


def test_cameras_that_are_pushed_do_not_push_out_one_another(engine: Engine) -> None:
    config = replace(CONFIG, mailbox_frames=4)
    with engine.open(config=config) as take:
        gate, running = threading.Event(), threading.Event()

        def hold() -> None:
            running.set()
            gate.wait(LONG_S)

        blocked = threading.Thread(target=lambda: engine.run(hold))
        blocked.start()
        running.wait(LONG_S)
        for i in range(20):
            assert take.push(picture(i), i / 10, camera="fast").accepted
        for name in ("slow", "slower"):  # at the same time, and a little late
            assert take.push(picture(), 1.9, camera=name).accepted
            assert take.push(picture(), 1.95, camera=name).accepted
        late = take.push(picture(), 0.9, camera="late")
        assert not late.accepted and "not later" in late.reason
        assert not take.push(picture(), 1.95, camera="slow").accepted
        gate.set()
        blocked.join()
        take.drain()
        infos = take._engine.run(take._session.held)
        ends = [info.end_s for info in infos]
        assert ends == sorted(ends)
        stats = take.stats()
        assert {info.camera for info in infos} == {"fast", "slow", "slower"}
        assert stats.frames == 8 and stats.dropped == {"full": 16, "not later": 2}
        assert accounted(take)


def test_by_the_newest_policy_a_push_between_two_ticks_costs_nothing(engine: Engine) -> None:
    config = replace(CONFIG, fps=2.0, capture=CaptureConfig(policy="newest"))

    class Untouchable:
        """A picture that may not be copied."""

        def copy(self) -> Any:
            raise AssertionError("copied")

    with engine.open(config=config) as take:
        assert take.push(picture(), 0.0, camera="a").accepted
        for t in (0.1, 0.2, 0.3, 0.4):
            pushed = take.push(Untouchable(), t, camera="a")  # type: ignore[arg-type]
            assert not pushed.accepted and "2 frames a second" in pushed.reason
        assert take.push(picture(), 0.5, camera="a").accepted
        assert take.push(picture(), 0.5, camera="b").accepted
        take.drain()
        assert take.stats().dropped["not sampled"] == 4
        assert accounted(take)


def test_too_many_names_are_no_cameras(engine: Engine) -> None:
    with engine.open(config=CONFIG) as take:
        for i in range(64):
            take.push(picture(), float(i), camera=f"c{i}")
        with pytest.raises(ValueError, match="64 cameras were pushed already"):
            take.push(picture(), 100.0, camera="one too many")
        take.drain()
        assert accounted(take)


def test_what_is_masked_is_black_before_anything_sees_it(engine: Engine, tmp_path: Path) -> None:
    mask = Mask.parse("0,0 0.5,0 0.5,1 0,1")
    config = replace(CONFIG, capture=replace(LAVFI, masks=(mask,)))
    clip = write_clip(tmp_path / "clip.mp4", seconds=1, fps=4)
    seen: list[Any] = []
    with engine.open(config=config) as take:
        steps = take.adapter.steps

        class Seeing:
            def __getattr__(self, name: str) -> Any:
                return getattr(adapter, name)

            def steps(self, images: Any, *rest: Any) -> Any:
                seen.extend(images)
                return steps(images, *rest)

        adapter = take._session.adapter
        take._session.adapter = Seeing()  # type: ignore[assignment]
        mine = np.full((24, 32, 3), 200, np.uint8)
        take.push(mine, 0.0)
        take.drain()
        take.watch(clip).wait(LONG_S)
        watch = take.watch(camera(96), camera="door")
        until(take, lambda: {image.shape for image in seen} >= {(48, 96, 3)})
        shown = take.read_latest("door", max_age_ms=LONG_S * 1e3).image
        watch.stop()
        take._session.adapter = adapter
    assert (mine == 200).all()  # the caller's own is left alone
    assert len(seen) > 5
    for image in (*seen, shown):
        left = image[:, : image.shape[1] // 2 - 2]
        assert not left.any() and image[:, image.shape[1] // 2 + 2 :].any()


# ------------------------------------------------------------------ asked


def test_an_answer_is_stale_by_what_came_while_it_was_spoken(engine: Engine) -> None:
    with engine.open(config=replace(CONFIG, decoding=Decoding(max_tokens=40))) as take:
        take.push(picture(), 0.0)
        take.drain()
        asking = take.submit("what?")
        pieces = iter(asking)
        next(pieces)
        for t in range(1, 6):
            take.push(picture(t), float(t))
        answer = asking.result(LONG_S)
        take.drain()
        assert answer.as_of_s == 0.0
        assert take.stats().chunks == 6  # frames were seen all the same
        later = take.ask("what?")
        assert later.as_of_s == 5.0 and later.staleness_s == 0.0


def test_frames_are_seen_while_an_answer_is_spoken(engine: Engine) -> None:
    long = Decoding(max_tokens=200)
    with engine.open(config=CONFIG) as take:
        take.push(picture(), 0.0)
        take.drain()
        asking = take.submit("what?", decoding=long)
        pieces = iter(asking)
        next(pieces)
        for t in range(1, 9):
            take.push(picture(t), float(t))
        engine.run(lambda: None)
        while take.stats().chunks < 9:
            assert not asking.done(), "the answer was over before the frames were seen"
            engine.run(lambda: None)
        whole = "".join(pieces)
        assert asking.result().as_of_s == 0.0 and whole is not None


def test_cancelling_a_take_ends_its_answers_and_no_others(engine: Engine) -> None:
    long = Decoding(max_tokens=400)
    with engine.open(config=CONFIG) as take, engine.open(config=CONFIG) as other:
        for each in (take, other):
            each.push(picture(), 0.0)
            each.drain()
        asking = [take.submit("what?", decoding=long) for _ in range(3)]
        kept = other.submit("what?", decoding=Decoding(max_tokens=5))
        assert take.cancel() >= 1
        assert all(a.result(LONG_S).partial for a in asking)
        assert kept.result(LONG_S).timings.tokens > 0
        assert take.cancel() == 0


def test_forgetting_ends_answers_that_are_being_spoken(engine: Engine) -> None:
    with engine.open(config=CONFIG) as take:
        for t in range(4):
            take.push(picture(t), float(t))
        take.drain()
        asking = take.submit("what?", decoding=Decoding(max_tokens=400))
        next(iter(asking))
        take.forget(1.0, 2.0)
        assert asking.result(0.0).partial


def test_an_answer_is_one_of_the_choices(engine: Engine) -> None:
    with engine.open(config=CONFIG) as take:
        take.push(picture(), 0.0)
        take.drain()
        answer = take.ask("what?", choices=("yes", "no", "yes please"))
        assert answer.text == answer.choices[0].text
        assert sum(choice.probability for choice in answer.choices) == pytest.approx(1.0)
        with pytest.raises(ValueError, match="must be 2 to"):
            take.ask("what?", choices=("yes",))


def test_coroutines_get_pieces_and_cancel_by_leaving(engine: Engine) -> None:
    async def listen(take: Take) -> tuple[str, int]:
        whole = "".join([piece async for piece in take.astream("what?")])
        pieces = take.astream("what?", decoding=Decoding(max_tokens=400))
        async for _ in pieces:
            break
        await pieces.aclose()  # type: ignore[attr-defined]
        return whole, take.cancel()

    with engine.open(config=CONFIG) as take:
        take.push(picture(), 0.0)
        take.drain()
        whole, _ = asyncio.run(listen(take))
        assert whole.strip() == take.ask("what?").text


# ------------------------------------------------------------------ alerts


def test_an_alert_is_told_logged_and_forgotten(engine: Engine, tmp_path: Path) -> None:
    told: list[Any] = []
    has_fired = threading.Event()

    def tell(event: Any) -> None:
        told.append(event)
        has_fired.set()
        raise RuntimeError("a callback's own trouble")

    with engine.open(tmp_path / "m", CONFIG) as take:
        alert = take.alert("is it there?", tell, threshold=1e-9, confirm=2, cooldown_s=1000)
        for t in range(6):
            take.push(picture(t), float(t))
        take.drain()
        assert has_fired.wait(LONG_S)
        (event,) = take.events(kind="alert")
        assert (event.name, event.start_s) == (alert.name, told[0].at_s)
        assert alert.poll() == told[0]
        take.forget(0.0, 10.0)
        assert take.events() == []
    assert alert.is_over and alert.stats().fired == 1 and alert.stats().failed == 1


def test_an_alert_that_stays_goes_on_when_the_last_camera_was_stopped(engine: Engine) -> None:
    with engine.open(config=CONFIG) as take:
        goes, stays = take.alert("is it there?"), take.alert("is it here?", stays=True)
        assert take.alerts == (goes, stays)
        watch = take.watch(camera())
        until(take, lambda: stays.stats().judged)
        watch.stop()
        watch.wait(LONG_S)
        assert take.alerts == (stays,)
        judged = stays.stats().judged
        take.push(picture(), take.now_s + 5.0)
        take.drain()
        assert stays.stats().judged == judged + 1
    assert stays.is_over


def test_a_take_can_be_closed_by_the_callback_of_its_own_alert(engine: Engine) -> None:
    is_closed = threading.Event()
    take = engine.open(config=CONFIG)

    def close(_: Any) -> None:
        take.close()
        is_closed.set()

    take.alert("is it there?", close, threshold=1e-9, confirm=1)
    take.push(picture(), 0.0)
    assert is_closed.wait(LONG_S)
    take.close()


def test_a_callback_that_blocks_holds_up_no_frame_and_no_question(engine: Engine) -> None:
    gate = threading.Event()
    with engine.open(config=CONFIG) as take:
        alert = take.alert(
            "is it there?", lambda _: gate.wait(LONG_S), threshold=1e-9, confirm=1, cooldown_s=0
        )
        for t in range(10):
            take.push(picture(t), float(t))
        take.drain()
        assert take.ask("what?").as_of_s == 9.0
        assert alert.stats().delivered == 0
        gate.set()
