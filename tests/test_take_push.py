"""Frames that are pushed as they are taken, without a time and as bytes, and masks that change."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from longtake import pushing
from longtake.engine import Engine
from longtake.inbox import Pushed
from longtake.models.decode import Decoding
from longtake.session_time import MOST_AHEAD_S, QUIET_S
from longtake.settings import TakeConfig
from longtake.streaming.capture_config import CaptureConfig
from longtake.streaming.masks import MOST_MASKS, Mask
from longtake.take import Take
from tests.clips import write_clip
from tests.made_up_cameras import Clock
from tests.pushed import picture

LONG_S = 30.0
LAVFI = CaptureConfig(allow=frozenset({"lavfi"}), backoff_s=0.2)
CONFIG = TakeConfig(fps=5.0, window_s=20.0, top_k=2, capture=LAVFI, decoding=Decoding(max_tokens=3))
ALL_SEEN = replace(CONFIG, capture=replace(LAVFI, policy="every"))
SLOW = replace(CONFIG, fps=2.0)
NEWEST = replace(SLOW, capture=replace(LAVFI, policy="newest"))
EVERY = replace(SLOW, capture=replace(LAVFI, policy="every"))
CAMERA = "lavfi:testsrc=size=64x48:rate=20,realtime"
LEFT, ALL = Mask.parse("0,0 0.5,0 0.5,1 0,1"), Mask.parse("0,0 1,0 1,1 0,1")


@pytest.fixture(scope="module")
def engine(tiny_model: Path) -> Iterator[Engine]:
    with Engine(str(tiny_model), device="cpu") as made:
        yield made


@contextmanager
def opened(
    engine: Engine, *given: Any, config: TakeConfig = ALL_SEEN
) -> Iterator[tuple[Take, Clock]]:
    """A take whose time passes when the clock says so."""
    clock = Clock()
    clock._now_s = 1024.0  # so that sums are exact
    with engine.open(*given, config=config) as take:
        take._time._clock = clock
        yield take, clock


@contextmanager
def held(engine: Engine) -> Iterator[None]:
    """The worker sees nothing meanwhile."""
    is_held, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        is_held.set()
        go_on.wait(LONG_S)

    thread = threading.Thread(target=lambda: engine.run(hold))
    thread.start()
    is_held.wait(LONG_S)
    try:
        yield
    finally:
        go_on.set()
        thread.join()


def seen(take: Take) -> list[tuple[float, str]]:
    """When each frame was, and of which camera; one makes a chunk."""
    take.drain()
    return [(round(info.start_s, 6), info.camera) for info in take._engine.run(take._session.held)]


def encoded(image: Any, kind: str = "PNG") -> bytes:
    out = io.BytesIO()
    Image.fromarray(image).save(out, kind)
    return out.getvalue()


def accounted(take: Take) -> bool:
    stats = take.stats()
    return stats.received == stats.frames + stats.waiting + sum(stats.dropped.values())


# ------------------------------------------------------------------ without a time


def test_a_frame_without_a_time_was_taken_now_or_so_long_ago(engine: Engine) -> None:
    with opened(engine) as (take, clock):
        assert take.now_s == 0.0
        clock.pass_s(100.0)  # nothing runs yet
        assert take.push(picture(0)).accepted
        assert take.now_s == 0.0
        clock.pass_s(2.0)
        assert take.now_s == 2.0
        assert take.push(picture(1), age_s=0.5).accepted
        clock.pass_s(1.0)
        assert take.push(picture(2), age_s=0.25).accepted
        assert seen(take) == [(0.0, ""), (1.5, ""), (2.75, "")]
        assert take.now_s == 3.0 and accounted(take)
    clock.pass_s(50.0)
    assert take.now_s == 3.0, "it is closed"


def test_the_first_one_may_be_old_and_the_next_is_not_refused_for_that(engine: Engine) -> None:
    with opened(engine) as (take, clock):
        take.push(picture(0), age_s=0.8)
        clock.pass_s(0.1)
        assert take.push(picture(1), age_s=0.8).accepted
        assert [t for t, _ in seen(take)] == [0.0, 0.1]
    with opened(engine) as (take, clock):
        take.push(picture(0), age_s=1e9)  # whatever a sender says, time begins by a second at most
        assert take.now_s == 1.0


def test_time_begins_behind_what_was_seen(engine: Engine, tmp_path: Path) -> None:
    with engine.open(tmp_path / "m", CONFIG) as take:
        take.push(picture(0), 7.0)
    with opened(engine, tmp_path / "m") as (take, clock):
        clock.pass_s(50.0)
        assert take.push(picture(1)).accepted
        clock.pass_s(1.0)
        assert take.push(picture(2)).accepted
        assert [t for t, _ in seen(take)] == [7.0, 7.2, 8.2]


def test_cameras_that_are_pushed_without_times_share_one_clock(engine: Engine) -> None:
    with opened(engine) as (take, clock):
        for step in range(3):
            assert take.push(picture(step), camera="a").accepted
            clock.pass_s(0.25)
            assert take.push(picture(step), camera="b", age_s=0.125).accepted
            clock.pass_s(0.25)
        a, b = [0.0, 0.5, 1.0], [0.125, 0.625, 1.125]
        assert sorted(seen(take)) == sorted([*((t, "a") for t in a), *((t, "b") for t in b)])


def test_a_time_that_is_given_too_is_at_most_a_second_ahead_of_that_clock(engine: Engine) -> None:
    with opened(engine) as (take, clock):
        assert take.push(picture(0), 3.0).accepted  # nothing runs yet: any time
        take.push(picture(1))
        clock.pass_s(1.0)
        ahead = take.push(picture(2), take.now_s + MOST_AHEAD_S + 0.1, camera="robot")
        assert not ahead.accepted and "at most 5.200" in ahead.reason
        assert take.push(picture(3), take.now_s + MOST_AHEAD_S, camera="robot").accepted
        assert take.push(picture(4)).accepted, "one that is ahead keeps nobody else out"
        assert take.now_s == pytest.approx(4.2) and take.stats().dropped == {"ahead": 1}


def test_frames_without_a_time_are_sampled_as_a_cameras_are(engine: Engine) -> None:
    with opened(engine, config=SLOW) as (take, clock):
        pushed = []
        for step in range(33):
            pushed.append(take.push(picture(step)).accepted)
            take.drain()
            clock.pass_s(0.0625)  # 16 a second
        assert [t for t, _ in seen(take)] == [0.0, 0.5, 1.0, 1.5, 2.0]
        assert pushed == [step % 8 == 0 for step in range(33)]
        assert take.stats().dropped == {"not sampled": 28} and accounted(take)


def test_of_frames_without_a_time_the_newest_alone_waits(engine: Engine) -> None:
    with opened(engine, config=SLOW) as (take, clock):
        with held(engine):
            for step in range(5):
                assert take.push(picture(step), camera="a").accepted
                assert take.push(picture(step), camera="b").accepted
                clock.pass_s(1.0)
            assert take.stats().waiting == 2
        assert seen(take) == [(4.0, "a"), (4.0, "b")]
        assert take.stats().dropped == {"full": 8} and accounted(take)


def test_frames_with_a_time_are_all_taken_whatever_comes_without_one(engine: Engine) -> None:
    with opened(engine, config=SLOW) as (take, clock):
        take.push(picture(0), camera="webcam")
        clock.pass_s(2.0)
        times = [step / 16 for step in range(16, 32)]
        with held(engine):
            assert all(take.push(picture(1), t, camera="robot").accepted for t in times)
        assert [t for t, camera in seen(take) if camera == "robot"] == times


def test_with_policy_every_frames_without_a_time_are_all_taken(engine: Engine) -> None:
    with opened(engine, config=EVERY) as (take, clock):
        with held(engine):
            for step in range(8):
                assert take.push(picture(step)).accepted
                clock.pass_s(0.0625)
        assert [t for t, _ in seen(take)] == [step * 0.0625 for step in range(8)]


def test_a_frame_knows_the_time_of_day_it_was_taken_at(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pushing, "time", SimpleNamespace(time=lambda: 1e9))
    with opened(engine) as (take, clock):
        take.push(picture(0), age_s=0.5)
        assert take.read_latest(max_age_ms=LONG_S * 1e3).wall_s == 1e9 - 0.5
        clock.pass_s(1.0)
        take.push(picture(1), wall_s=5.0)
        assert take.read_latest(max_age_ms=LONG_S * 1e3).wall_s == 5.0
        take.push(picture(2), 2.0)
        assert take.read_latest(max_age_ms=LONG_S * 1e3).wall_s is None


@pytest.mark.parametrize(
    "wrong", [{"age_s": -0.1}, {"age_s": float("nan")}, {"pts_s": 1.0, "age_s": 0.1}, {"pts_s": -1}]
)
def test_times_that_make_no_sense_are_refused(engine: Engine, wrong: dict[str, Any]) -> None:
    with engine.open(config=CONFIG) as take:
        with pytest.raises(ValueError, match="_s="):
            take.push(picture(0), **wrong)
        assert take.stats().received == 0 and take.now_s == 0.0


# ------------------------------------------------------------------ beside what is watched


def test_a_camera_that_is_watched_later_shares_the_clock_and_may_go_before(engine: Engine) -> None:
    with engine.open(config=ALL_SEEN) as take:
        take.push(picture(0), camera="phone")
        first_s = take.now_s
        watch = take.watch(CAMERA, camera="door")
        assert take.read("door", timeout_s=LONG_S).pts_s > first_s
        before_s = take.now_s
        assert take.push(picture(1), camera="phone").accepted
        assert take.now_s > before_s, "it was not begun anew"
        watch.stop()
        watch.wait(LONG_S)
        before_s = take.now_s
        assert take.push(picture(2), camera="phone").accepted
        assert take.now_s > before_s, "it goes on without the camera"
        times = [t for t, _ in seen(take)]
        assert times == sorted(times) and times[-1] >= before_s and accounted(take)


def test_a_camera_that_never_answers_does_not_turn_time_back(engine: Engine) -> None:
    with opened(engine) as (take, clock):
        take.push(picture(0), camera="phone")
        clock.pass_s(50.0)
        take.watch("rtsp://127.0.0.1:1/main", camera="door")
        assert take.now_s == 50.0


def test_frames_beside_a_camera_that_is_watched_have_its_time(engine: Engine) -> None:
    with engine.open(config=CONFIG) as take:
        watch = take.watch(CAMERA, camera="door")
        shown = take.read("door", timeout_s=LONG_S)
        assert take.push(picture(1), camera="phone").accepted
        latest = take.read_latest("phone", max_age_ms=LONG_S * 1e3)
        assert shown.pts_s < latest.pts_s <= take.now_s
        watch.stop()


def test_a_file_waits_for_the_pushes_to_end_and_is_read_alone(
    engine: Engine, tmp_path: Path
) -> None:
    clip = write_clip(tmp_path / "clip.mp4", seconds=2, fps=5)
    with opened(engine, config=replace(CONFIG, mailbox_frames=1)) as (take, clock):
        take.push(picture(0))
        clock.pass_s(QUIET_S - 0.1)
        with pytest.raises(RuntimeError, match=r"clip\.mp4: frames are being pushed"):
            take.watch(clip)
        clock.pass_s(1.0)
        take.drain()
        with held(engine):
            watch = take.watch(clip)
            assert watch.offset_s == pytest.approx(QUIET_S + 0.9), "time does not go back"
            clock.pass_s(100.0)
            beside = take.push(picture(1))
            assert beside == Pushed(False, beside.reason, 0.0) and "clip.mp4" in beside.reason
        watch.wait(LONG_S)
        ended_s = take.now_s
        assert QUIET_S + 2 < ended_s < QUIET_S + 4, "the file tells the time"
        assert take.push(picture(2)).accepted
        assert seen(take)[-1] == (pytest.approx(ended_s + 0.2), "")
        assert take.stats().dropped == {"beside a file": 1} and accounted(take)


# ------------------------------------------------------------------ bytes


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_bytes_are_the_picture_that_they_encode(engine: Engine, kind: Any) -> None:
    with engine.open(config=CONFIG) as take:
        assert take.push(kind(encoded(picture(1))), 1.0, camera="wrist").accepted
        assert (take.read_latest("wrist").image == picture(1)).all()
        flat = np.full((24, 32, 3), (200, 100, 0), np.uint8)
        assert take.push(kind(encoded(flat, "JPEG")), 2.0, camera="wrist").accepted
        assert np.abs(take.read_latest("wrist").image.astype(int) - flat).max() < 8
        take.drain()
        assert take.stats().frames == 2


def test_what_is_not_sampled_is_not_decoded_and_not_shown(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(engine, config=NEWEST) as (take, clock):
        assert take.push(encoded(picture(0))).accepted

        def never(*_: Any) -> Any:
            raise AssertionError("decoded")

        with monkeypatch.context() as patched:
            patched.setattr(pushing, "decode", never)
            for _ in range(4):
                clock.pass_s(0.1)
                pushed = take.push(encoded(picture(1)))
                assert not pushed.accepted and "2 frames a second" in pushed.reason
        assert (take.read_latest().image == picture(0)).all()
        clock.pass_s(0.1)
        assert take.push(encoded(picture(2))).accepted
        assert (take.read_latest().image == picture(2)).all()
        take.drain()
        assert take.stats().dropped["not sampled"] == 4 and accounted(take)


def flipped(data: bytes) -> bytes:
    return data[:60] + bytes([data[60] ^ 255]) + data[61:]


@pytest.mark.parametrize(
    "wrong",
    [b"", b"no picture", encoded(picture(1))[:-20], flipped(encoded(picture(1))), b"\xff\xd8\xff"],
)
def test_bytes_that_are_broken_are_told_and_do_not_count(engine: Engine, wrong: bytes) -> None:
    with engine.open(config=CONFIG) as take:
        with pytest.raises(ValueError, match="the picture's"):
            take.push(wrong, 1.0)
        assert take.stats().received == 0
        assert take.push(picture(1), 1.0).accepted


def test_many_threads_push_as_they_take_them_and_all_is_accounted_for(engine: Engine) -> None:
    data = encoded(picture(1), "JPEG")
    with engine.open(config=CONFIG) as take:
        done: list[Pushed] = []

        def send(camera: str) -> None:
            done.extend(take.push(data, camera=camera) for _ in range(30))

        threads = [threading.Thread(target=send, args=(f"c{n}",)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        take.drain()
        stats = take.stats()
        assert len(done) == stats.received == 180 and accounted(take)
        kept = sum(pushed.accepted for pushed in done)
        assert kept == stats.frames + stats.dropped.get("full", 0) > 0


# ------------------------------------------------------------------ masks


def is_masked(image: Any) -> bool:
    """Its left half is black and its right one is not."""
    middle = image.shape[1] // 2
    assert image[:, middle + 2 :].any()
    return not image[:, : middle - 2].any()


def latest(take: Take, camera: str = "") -> Any:
    return take.read_latest(camera, max_age_ms=LONG_S * 1e3).image


def test_masks_hold_from_the_next_frame_that_is_pushed_until_others_do(engine: Engine) -> None:
    with engine.open(config=CONFIG) as take:
        assert take.masks == ()
        found = []
        for step, masks in enumerate([[], [LEFT], [replace(LEFT, camera="yard")], []]):
            take.mask(masks)
            assert take.masks == tuple(masks)
            take.push(encoded(picture(step)), float(step), camera="door")
            take.push(picture(step), float(step), camera="yard")
            found.append((is_masked(latest(take, "door")), is_masked(latest(take, "yard"))))
        assert found == [(False, False), (True, True), (False, True), (False, False)]


def test_what_settings_mask_stays_masked(engine: Engine) -> None:
    other = Mask.parse("yard:0,0 1,0 1,1")
    config = replace(CONFIG, capture=replace(LAVFI, masks=(LEFT,)))
    with engine.open(config=config) as take:
        take.mask([other])
        assert take.masks == (LEFT, other)
        take.mask([])
        assert take.masks == (LEFT,)
        take.push(picture(0), 0.0)
        assert is_masked(latest(take))


def test_masks_reach_a_camera_that_is_being_watched(engine: Engine) -> None:
    """Its pictures too that somebody looks at, whatever the model is shown of it."""
    with engine.open(config=CONFIG) as take:
        take.watch(CAMERA, camera="door")
        assert not is_masked(take.read("door", timeout_s=LONG_S).image)
        take.mask([LEFT])
        take.read("door", timeout_s=LONG_S)  # was decoded before, maybe
        after_s = take.now_s
        assert is_masked(take.read("door", timeout_s=LONG_S).image)
        chunks = take.stats().chunks
        while take.stats().chunks < chunks + 2:
            take.read("door", timeout_s=LONG_S)
        shown = [p.jpeg for p in take.frames(after_s, after_s + LONG_S) if p.jpeg]
        assert shown
        for jpeg in shown:
            image = np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB"))
            assert image[:, : image.shape[1] // 2 - 8].max() < 40 < image.max()


def test_masks_reach_frames_of_a_file_that_are_not_read_yet(engine: Engine, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", seconds=2, fps=5)
    with engine.open(config=replace(CONFIG, mailbox_frames=1)) as take:
        with held(engine):
            watch = take.watch(clip)
            take.mask([ALL])
        watch.wait(LONG_S)
        shown = [p.jpeg for p in take.frames(0.0, LONG_S) if p.jpeg]
        brightest = [np.asarray(Image.open(io.BytesIO(jpeg))).max() for jpeg in shown]
        assert len(shown) == 10 and max(brightest[3:]) < 10


def test_too_many_masks_and_what_is_none_are_refused(engine: Engine) -> None:
    with engine.open(config=CONFIG) as take:
        take.mask([LEFT])
        for wrong in ([ALL] * (MOST_MASKS + 1), ["0,0 1,0 1,1"]):
            with pytest.raises(ValueError, match="mask"):
                take.mask(wrong)  # type: ignore[arg-type]
        assert take.masks == (LEFT,)
    with pytest.raises(RuntimeError, match="closed"):
        take.mask([])
