"""A camera is watched through everything that happens to it, on a clock of the test's own.

Cameras, waits and time are made up here; what real servers do stands in `test_live_faults`.
"""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from longtake.streaming.addresses import parse_address
from longtake.streaming.camera_stream import FIRST_FRAME_S
from longtake.streaming.capture import Capture, Outage, State
from longtake.streaming.capture_config import CaptureConfig
from longtake.streaming.errors import SourceError, SourceLost, SourceNotSupported, SourceRefused
from longtake.streaming.mailbox import Mailbox
from longtake.streaming.masks import Mask
from longtake.streaming.newest import Newest
from tests.clips import write_clip

SOON_S = 20.0  # for what other threads are about to do; never slept
CAMERA = "rtsp://anna:hunter2@cam/main"


class Clock:
    """Monotonic time that passes where somebody waits, and nowhere else."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.waits: list[float] = []
        self.at_wait: Callable[[], object] = lambda: None

    def __call__(self) -> float:
        return self.now_s

    def wait(self, event: threading.Event, seconds: float) -> bool:
        self.waits.append(seconds)
        self.now_s += seconds
        self.at_wait()
        return event.is_set()


@dataclass(frozen=True)
class Raw:
    """A decoded frame that is none."""

    stamp_s: float | None = None
    width: int = 32
    height: int = 16
    is_corrupt: bool = False
    rotation: float = 0.0


Step = Raw | float | SourceError | Callable[[], object]  # a frame; time; the end; an action


@dataclass
class Camera:
    """One connection by a script; an `Any` stands where the real one takes decoded frames."""

    clock: Clock
    script: list[Step]
    is_live: bool = True
    is_recorded: bool = False
    has_stamps: bool = True
    step_s: float = 0.1
    bad_packets: int = 0
    options: Mapping[str, str] = field(default_factory=dict)
    converted: list[int] = field(default_factory=list)
    is_closed: bool = False

    def frames(self, keep_on: Callable[[], bool]) -> Iterator[Any]:
        for step in self.script:
            if not keep_on():
                return
            if isinstance(step, float):
                self.clock.now_s += step
            elif isinstance(step, SourceError):
                raise step
            elif isinstance(step, Raw):
                yield step
            else:
                step()

    def stamp_s(self, frame: Any) -> float | None:
        stamp_s: float | None = frame.stamp_s
        return stamp_s

    def rgb(self, frame: Any, max_side: int) -> NDArray[np.uint8]:
        self.converted.append(max_side)
        return np.full((frame.height, frame.width, 3), 200, np.uint8)

    def interrupt(self) -> None: ...

    def close(self) -> None:
        self.is_closed = True


def frames(count: int, step_s: float = 0.1, first_s: float = 0.0) -> list[Step]:
    """So many, as far apart by their stamps as by the clock."""
    steps: list[Step] = []
    for number in range(count):
        steps += [step_s, Raw(first_s + number * step_s)]
    return steps


class Watched:
    """A `Capture` whose connections are given; when they are used up it is stopped."""

    def __init__(
        self,
        *connections: list[Step] | SourceError,
        address: str = CAMERA,
        fps: float = 1000.0,
        room: int = 10_000,
        on_outage: Callable[[Outage], None] | None = None,
        is_recorded: bool = False,
        **settings: Any,
    ) -> None:
        self.clock, self.mailbox, self.newest = Clock(), Mailbox(room, "newest"), Newest()
        self.outages: list[Outage] = []
        self.cameras: list[Camera] = []
        self.states: list[State] = []
        self.ended = threading.Event()
        self.used_up = threading.Event()
        self._connections = list(connections)
        self._is_recorded = is_recorded
        self.clock.at_wait = self.note
        self.capture = Capture(
            parse_address(address),
            CaptureConfig(**settings),
            camera="door",
            fps=fps,
            max_side=16,
            mailbox=self.mailbox,
            newest=self.newest,
            session_s=lambda at_s: at_s - 1000.0,
            on_outage=on_outage or self.outages.append,
            on_end=self.ended.set,
            clock=self.clock,
            open_camera=self._open,
            wait=self.clock.wait,
        )

    def note(self) -> None:
        self.states.append(self.capture.state)

    def run(self) -> Watched:
        """To the end of the script, or of the capture."""
        self.capture.start()
        while not self.used_up.wait(0.001) and not self.ended.is_set():
            assert self.capture.is_alive or self.ended.is_set()
        self.capture.stop(SOON_S)
        assert self.ended.is_set() and not self.capture.is_alive
        stats = self.capture.stats()
        assert stats.seen == stats.kept + sum(stats.dropped.values())
        assert all(camera.is_closed for camera in self.cameras)
        return self

    def times(self) -> list[float]:
        return [frame.pts_s for frame in self.mailbox.take(self.mailbox.capacity)]

    def _open(self, address: Any, config: Any) -> Camera:
        self.note()
        if not self._connections:
            self.used_up.set()
            self.capture._gate.closed.wait(SOON_S)
            raise SourceLost("over")
        script = self._connections.pop(0)
        if isinstance(script, SourceError):
            raise script
        is_live = not self._is_recorded
        camera = Camera(self.clock, script, is_live=is_live, is_recorded=self._is_recorded)
        self.cameras.append(camera)
        return camera


def test_it_goes_through_its_states_and_tells_what_was_not_seen() -> None:
    seen: list[State] = []
    watched = Watched(
        SourceLost("cam: refused"),
        [*frames(5), lambda: seen.append(watched.capture.state)],
        SourceRefused("cam: login"),
        [lambda: seen.append(watched.capture.state), *frames(5)],
    )
    watched.run()
    states = watched.states
    assert states[:3] == [State.CONNECTING] * 3 and State.RECONNECTING in states[3:]
    assert seen == [State.LIVE, State.RECONNECTING]
    first, last = watched.outages
    assert (first.start_s, first.reason) < (first.end_s, "") and "login" in first.reason
    assert last.start_s == watched.capture.newest_s  # it was off when it was stopped
    stats = watched.capture.stats()
    assert (stats.seen, stats.reconnects, stats.outages) == (10, 1, 2)
    assert watched.capture.state is State.ENDED and "the stream ended" in stats.error


def test_hundreds_of_connections_leave_one_even_time_and_every_gap() -> None:
    scripts = [frames(3, first_s=float(n % 7) * 1000) for n in range(300)]
    watched = Watched(*scripts).run()
    times = watched.times()
    assert len(times) == 900 and times == sorted(times)
    assert len(watched.outages) == 300
    ends = [b for n, (_, b) in enumerate(pairwise(times)) if n % 3 == 2]
    assert [outage.end_s for outage in watched.outages[:-1]] == ends
    assert watched.capture.stats().reconnects == 299 and watched.capture.stats().jumps == 0


def test_waits_are_below_the_cap_and_short_again_after_a_good_connection() -> None:
    refused = [SourceLost("cam: refused")] * 8
    watched = Watched(*refused, frames(20), *refused[:3], backoff_s=1.5).run()
    assert max(watched.clock.waits) <= 1.5 and max(watched.clock.waits[5:8]) > 0.7
    assert watched.clock.waits[8] <= 0.25


@pytest.mark.parametrize("failure", [SourceLost("off"), SourceRefused("401"), OSError("odd")])
def test_what_could_heal_is_tried_for_ever_and_mistakes_are_told(failure: OSError) -> None:
    connections: list[Any] = [failure] * 50
    watched = Watched(*connections)
    if isinstance(failure, SourceError):
        watched.run()
        assert len(watched.clock.waits) == 50 and watched.capture.state is State.ENDED
        return
    watched.cameras.append(Camera(watched.clock, [], is_closed=True))
    script: Any = [lambda: 1 / 0]
    watched = Watched(script).run()
    assert watched.capture.state is State.FAILED
    assert "ZeroDivisionError" in str(watched.capture.error)


@pytest.mark.parametrize("most", [0, 1, 5])
def test_as_many_attempts_in_a_row_may_fail_as_was_said(most: int) -> None:
    refused = [SourceLost("off")] * 20
    watched = Watched(frames(3), *refused, reconnects=most).run()
    assert watched.capture.state is State.FAILED and len(watched.clock.waits) == most
    if most:  # else no time has passed
        assert len(watched.outages) == 1


def test_what_no_waiting_heals_fails_at_once() -> None:
    watched = Watched(SourceNotSupported("cam: no"), frames(3)).run()
    assert watched.capture.state is State.FAILED and not watched.clock.waits
    assert isinstance(watched.capture.error, SourceNotSupported)


def test_silence_is_told_while_it_lasts_and_after() -> None:
    seen: list[State] = []
    watched = Watched(
        [
            *frames(10),
            2.4,
            lambda: seen.append(watched.capture.state),
            *frames(3, first_s=3.4),
            lambda: seen.append(watched.capture.state),
        ]
    )
    watched.run()
    assert seen == [State.STALLED, State.LIVE]
    assert watched.outages[0].end_s - watched.outages[0].start_s == pytest.approx(2.5, abs=0.1)
    assert watched.outages[0].reason.startswith("no frame for 2.5 s")


def test_pauses_that_come_again_and_again_are_no_silence() -> None:
    """HLS hands out a segment at once, and then nothing for as long as the next one lasts."""
    seen: list[State] = []
    steps: list[Step] = []
    for segment in range(6):
        steps += [Raw(4.0 * segment + 0.1 * number) for number in range(40)]
        steps += [3.9, lambda: seen.append(watched.capture.state), 0.1]
    watched = Watched(steps)
    watched.run()
    assert seen[:2] == [State.STALLED] * 2 and set(seen[3:]) == {State.LIVE}


def test_a_wait_inside_ffmpeg_is_left_to_its_own_timeouts() -> None:
    sound: list[Step] = [0.1] * 5
    watched = Watched([*frames(5), 9.0, *sound, *frames(5, first_s=9.5)], stall_s=5.0).run()
    assert watched.capture.stats().reconnects == 0 and watched.capture.stats().seen == 10


def test_a_backlog_says_nothing_of_the_rate() -> None:
    rates: list[float] = []
    burst: list[Step] = [Raw(0.1 * number) for number in range(30)]
    steps = [*burst, *frames(20, first_s=3.0)]
    watched = Watched([*steps, lambda: rates.append(watched.capture.stats().fps)])
    watched.run()
    assert rates == [pytest.approx(10.0)]


def test_packets_without_pictures_are_given_up_like_silence() -> None:
    sound: list[Step] = [0.1] * 1000
    watched = Watched([*frames(5), *sound], frames(5), stall_s=3.0).run()
    assert watched.outages[0].reason.startswith(f"{watched.capture.address.shown}: no frame for")
    assert watched.outages[0].end_s - watched.outages[0].start_s == pytest.approx(3.3, abs=0.3)


def test_the_first_key_frame_may_take_longer_than_a_silence() -> None:
    sound: list[Step] = [0.1] * 100
    watched = Watched([*sound, *frames(5)], stall_s=3.0).run()
    assert watched.capture.stats().seen == 5 and not watched.outages[1:]
    never = Watched([0.1] * int(FIRST_FRAME_S * 11), stall_s=3.0).run()
    assert "no frame" in str(never.capture.error)


def test_only_what_is_kept_is_converted_and_the_counts_add_up() -> None:
    watched = Watched(frames(100), fps=1.0).run()
    stats = watched.capture.stats()
    assert stats.kept == 10 and stats.dropped == {"not sampled": 90}
    assert watched.cameras[0].converted == [16] * 10
    watched.newest.latest.frame()  # type: ignore[union-attr]
    assert watched.cameras[0].converted[-1] > 16  # who looks sees it in its own size


def test_impossible_pictures_are_dropped_by_reason_before_anything_is_converted() -> None:
    huge, broken = Raw(0.1, width=20_000, height=10_000), Raw(0.2, width=33)

    class Picky(Camera):
        def rgb(self, frame: Any, max_side: int) -> NDArray[np.uint8]:
            if frame.width == 33:
                raise ValueError("no such pixels")
            return super().rgb(frame, max_side)

    watched = Watched()
    camera = Picky(watched.clock, [huge, 0.1, broken, 0.1, Raw(0.3, is_corrupt=True)])
    opened = iter([camera])
    watched.capture._open_camera = lambda *_: next(opened, None) or watched._open(*_)
    watched.cameras.append(camera)
    stats = watched.run().capture.stats()
    assert stats.dropped == {"too large": 1, "not convertible": 1} and stats.kept == 1
    assert stats.corrupt == 1 and camera.converted == [16]


def test_nobody_sees_what_is_masked() -> None:
    masks = (Mask.parse("door:0,0 0.5,0 0.5,1 0,1"), Mask.parse("yard:0,0 1,0 1,1 0,1"))
    watched = Watched(frames(2), masks=masks).run()
    looked = watched.newest.latest
    assert looked is not None
    for image in (looked.frame().image, watched.mailbox.take()[0].image):
        half = image.shape[1] // 2
        assert not image[:, :half].any() and image[:, half + 2 :].all()


def test_a_slow_model_gets_fewer_frames_where_sampling_is_adaptive() -> None:
    nobody_takes = Watched(frames(400), fps=10.0, sampling="adaptive").run()
    assert nobody_takes.capture.stats().kept < 40
    steps: list[Step] = []
    for step in frames(400):
        steps += [step, lambda: taken.mailbox.take(10)]
    taken = Watched(steps, fps=10.0, sampling="adaptive")
    taken.run()
    assert taken.capture.stats().kept > 380


def test_old_frames_are_let_go() -> None:
    gone: list[weakref.ref[Raw]] = []

    class Many(Camera):
        def frames(self, keep_on: Callable[[], bool]) -> Iterator[Any]:
            for number in range(50):
                raw = Raw(0.1 * number)
                gone.append(weakref.ref(raw))
                yield raw
                del raw

    watched = Watched(fps=0.001)
    camera = Many(watched.clock, [])
    opened = iter([camera])
    watched.capture._open_camera = lambda *_: next(opened, None) or watched._open(*_)
    watched.cameras.append(camera)
    watched.run()
    gc.collect()
    assert sum(one() is not None for one in gone) <= 1


def test_an_error_holds_nothing_of_the_connection_that_it_ended() -> None:
    watched = Watched([*frames(3), SourceLost("cam: broke")], fps=0.001)
    watched.run()
    assert watched.capture.error is not None and watched.capture.error.__traceback__ is None


def test_a_recording_is_played_at_its_own_pace_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").touch()
    script: list[Step] = [Raw(7 + 0.5 * number) for number in range(5)]
    watched = Watched(script, address=str(tmp_path / "clip.mp4"), is_recorded=True, live=True)
    watched.run()
    assert watched.capture.state is State.ENDED and watched.capture.error is None
    assert watched.times() == pytest.approx([0.0, 0.5, 1.0, 1.5, 2.0])
    assert watched.clock.waits == pytest.approx([0.5] * 4) and not watched.outages


def test_a_recording_without_stamps_has_its_times_made_up(tmp_path: Path) -> None:
    (tmp_path / "clip.h264").touch()
    script: list[Step] = [Raw(None)] * 4
    watched = Watched(script, address=str(tmp_path / "clip.h264"), is_recorded=True, live=True)
    assert watched.run().times() == pytest.approx([0.0, 0.1, 0.2, 0.3])
    assert watched.capture.stats().clock == "made up"


def test_whatever_a_callback_raises_is_told_and_ends_it() -> None:
    def refuse(outage: Outage) -> None:
        raise RuntimeError("not for me")

    watched = Watched(frames(3), frames(3), on_outage=refuse).run()
    assert watched.capture.state is State.FAILED and "not for me" in str(watched.capture.error)


def test_a_callback_may_stop_it() -> None:
    watched = Watched(
        frames(3), frames(3), frames(3), on_outage=lambda _: watched.capture.stop(SOON_S)
    )
    watched.run()
    assert watched.capture.state is State.ENDED and watched.capture.stats().reconnects == 1


@pytest.mark.parametrize("place", ["opening", "reading", "never started"])
def test_stop_does_not_wait_for_what_blocks_and_nothing_is_touched_afterwards(place: str) -> None:
    blocked, release = threading.Event(), threading.Event()

    def block() -> None:
        blocked.set()
        assert release.wait(SOON_S)

    script: list[Step] = [*frames(3), block, *frames(5, first_s=1.0)]
    watched = Watched(script)
    if place == "opening":
        after = watched._open
        watched.capture._open_camera = lambda *_: (block(), after(*_))[1]
    if place == "never started":
        watched.capture.stop()
        assert watched.ended.is_set() and watched.capture.state is State.ENDED
        return
    watched.capture.start()
    assert blocked.wait(SOON_S)
    began_s = time.monotonic()
    watched.capture.stop(0.1)
    assert time.monotonic() - began_s < 1.5  # of 0.1: the machine may be busy
    assert watched.capture.state is State.ENDED and watched.newest.is_closed
    assert watched.ended.is_set()
    watched.ended.clear()
    before = watched.mailbox.received, watched.newest.latest, list(watched.outages)
    release.set()
    watched.capture._thread.join(SOON_S)
    assert not watched.capture.is_alive
    assert (watched.mailbox.received, watched.newest.latest, watched.outages) == before
    assert not watched.ended.is_set() and all(camera.is_closed for camera in watched.cameras)


def test_a_full_mailbox_that_holds_back_does_not_hold_up_the_stop() -> None:
    watched = Watched(frames(10))
    watched.mailbox.policy, watched.mailbox.capacity = "wait", 1
    watched.capture.start()
    while len(watched.mailbox) < 1:
        assert watched.capture.is_alive
    watched.capture.stop(SOON_S)
    assert not watched.capture.is_alive


@pytest.mark.parametrize("place", ["shown", "judged", "converted", "put"])
def test_what_was_forgotten_while_it_was_on_its_way_gets_nowhere(place: str) -> None:
    """At each station of the fourth frame of six everything up to now is forgotten."""
    watched = Watched(frames(6))
    capture, calls, threads = watched.capture, [0], list[threading.Thread]()
    handover = capture._handover
    stations: dict[str, tuple[Any, str]] = {
        "shown": (watched.newest, "put"),
        "judged": (handover, "_sampled"),
        "converted": (handover, "_put"),
        "put": (watched.mailbox, "put"),
    }
    owner, name = stations[place]
    go_on = getattr(owner, name)

    def forget_first(*given: Any) -> Any:
        calls[0] += 1
        if calls[0] == 4:
            thread = threading.Thread(target=capture.forget, args=(0.0, 1e9), daemon=True)
            thread.start()
            threads.append(thread)
            if place != "put":  # there it waits for the frame, and takes it out again
                thread.join(SOON_S)
        return go_on(*given)

    setattr(owner, name, forget_first)
    watched.run()
    threads[0].join(SOON_S)
    assert not threads[0].is_alive()
    dropped = watched.mailbox.dropped["forgotten"] + capture.stats().dropped.get("forgotten", 0)
    assert watched.times() == pytest.approx([0.5, 0.6]) and dropped == 4
    assert watched.newest.latest is not None and watched.newest.latest.number == 6


def test_what_is_forgotten_is_neither_shown_nor_compared_with() -> None:
    seen: list[Any] = []

    def forget() -> None:
        seen.extend([sampling._kept, sampling._seen, watched.newest.latest])
        watched.capture.forget(0.25, 100.0)
        seen.extend([sampling._kept, sampling._seen, watched.newest.latest])

    watched = Watched([*frames(3), forget, *frames(2, first_s=0.3)], still=0.001, scene=0.9)
    sampling = watched.capture._handover._sampling
    watched.capture._handover._gray = lambda raw: np.full(  # type: ignore
        (90, 160), int(100 * raw.stamp_s), np.uint8
    )
    watched.run()
    assert all(each is not None for each in seen[:3]) and seen[3:] == [None] * 3
    assert watched.times() == pytest.approx([0.1, 0.2, 0.4, 0.5])  # what was to come came
    assert sampling._kept is sampling._seen is None, "they outlive the capture"


def test_who_makes_room_may_forget_while_a_frame_waits_for_it() -> None:
    watched = Watched(frames(10))
    watched.mailbox.policy, watched.mailbox.capacity = "wait", 1
    watched.capture.start()
    is_second = watched.newest.wait(1, SOON_S)
    assert is_second is not None
    forgetting = threading.Thread(target=watched.capture.forget, args=(0.0, 100.0), daemon=True)
    forgetting.start()
    forgetting.join(SOON_S)
    assert not forgetting.is_alive()
    frame = watched.mailbox.take(1, SOON_S)[0]
    assert frame.pts_s > 0.2 and watched.mailbox.dropped["forgotten"] <= 1
    watched.capture.stop(SOON_S)
    assert not watched.capture.is_alive


def test_one_that_is_halted_ends_by_itself_and_loses_nothing_on_its_way() -> None:
    watched = Watched(frames(10))
    is_inside, may_go_on = threading.Event(), threading.Event()
    put = watched.mailbox.put

    def put_slowly(*given: Any) -> bool:
        is_inside.set()
        assert may_go_on.wait(SOON_S)
        return put(*given)

    watched.mailbox.put = put_slowly  # type: ignore[method-assign]
    watched.capture.start()
    assert is_inside.wait(SOON_S)
    watched.capture.halt()
    assert not watched.ended.is_set() and not watched.capture.state.is_final
    may_go_on.set()
    assert watched.ended.wait(SOON_S) and watched.capture.state is State.ENDED
    stats = watched.capture.stats()
    assert stats.seen == stats.kept == watched.mailbox.received == 1
    watched.capture.stop()
    assert watched.capture.error is None


def test_a_frame_that_is_being_handed_over_arrives_before_the_end_is_told() -> None:
    watched = Watched(frames(10))
    is_inside, received = threading.Event(), list[int]()
    put, on_end = watched.mailbox.put, watched.capture._on_end

    def put_late(*given: Any) -> bool:
        is_inside.set()
        assert watched.capture._gate.closed.wait(SOON_S)
        return put(*given)

    watched.mailbox.put = put_late  # type: ignore[method-assign]
    watched.capture._on_end = lambda: (received.append(watched.mailbox.received), on_end())[1]
    watched.capture.start()
    assert is_inside.wait(SOON_S)
    watched.capture.stop(0.0)
    assert received == [1] and watched.ended.is_set()


def test_one_that_is_halted_while_ffmpeg_blocks_is_ended_by_stop() -> None:
    is_blocked, release = threading.Event(), threading.Event()

    def block() -> None:
        is_blocked.set()
        assert release.wait(SOON_S)

    watched = Watched([*frames(3), block, *frames(5, first_s=1.0)])
    watched.capture.start()
    assert is_blocked.wait(SOON_S)
    watched.capture.halt()
    assert not watched.ended.is_set()
    watched.capture.stop(0.05)
    assert watched.ended.is_set() and watched.capture.state is State.ENDED
    watched.ended.clear()
    release.set()
    watched.capture._thread.join(SOON_S)
    assert not watched.ended.is_set() and watched.mailbox.received == 3


def test_one_blocked_camera_delays_no_other() -> None:
    release = threading.Event()
    frozen = Watched([*frames(1), lambda: release.wait(SOON_S)])
    frozen.capture.start()
    assert Watched(frames(500)).run().capture.stats().kept == 500
    assert frozen.capture.is_alive
    release.set()
    frozen.capture.stop(SOON_S)


def real(address: str, **settings: Any) -> tuple[Capture, Mailbox, Newest, threading.Event]:
    """A capture of what FFmpeg really opens."""
    mailbox, newest, ended = Mailbox(500, "newest"), Newest(), threading.Event()
    began_s = time.monotonic()
    config = CaptureConfig(allow=frozenset({"lavfi"}), **settings)
    capture = Capture(
        parse_address(address, config.allow),
        config,
        camera="",
        fps=1000.0,
        max_side=64,
        mailbox=mailbox,
        newest=newest,
        session_s=lambda at_s: at_s - began_s,
        on_end=ended.set,
    )
    return capture, mailbox, newest, ended


def test_a_local_camera_is_watched_and_stopped(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", seconds=0.5, fps=10)
    graph = f"lavfi:movie={clip}:loop=0,setpts=N/(40*TB),realtime"
    capture, mailbox, newest, ended = real(graph, still=0.001, scene=0.5)
    capture.start()
    still = newest.wait(20, SOON_S)
    assert still is not None and still.frame().image.shape == (48, 64, 3)
    stats = capture.stats()
    assert stats.state == "live" and stats.size == (64, 48) and stats.clock == "pts"
    assert not ended.is_set()
    capture.stop(SOON_S)
    assert ended.is_set() and not capture.is_alive
    times = [frame.pts_s for frame in mailbox.take(500)]
    assert times == sorted(times) and len(times) > 10


def test_a_file_is_played_as_a_camera(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", seconds=0.5, fps=20)
    capture, mailbox, _, ended = real(str(clip), live=True)
    capture.start()
    assert ended.wait(SOON_S)
    assert capture.state is State.ENDED and capture.stats().kept == 10
    times = [frame.pts_s for frame in mailbox.take(500)]
    assert times[-1] - times[0] == pytest.approx(0.45, abs=0.1)
    capture.stop()


def test_an_error_of_ffmpeg_brings_no_password_along() -> None:
    capture, _, _, ended = real("rtsp://anna:hunter2@127.0.0.1:9/cam?token=abc", reconnects=0)
    capture.start()
    assert ended.wait(SOON_S)
    error = capture.error
    assert isinstance(error, SourceLost) and "connection refused" in str(error)
    assert error.__cause__ is None and error.__context__ is None and error.filename is None
    told = f"{error!r} {capture!r} {capture.stats()}"
    assert "hunter2" not in told and "abc" not in told
    assert capture.state is State.FAILED
    capture.stop()


def test_stillness_is_judged_by_what_masks_leave() -> None:
    """What moves behind a mask is nothing new; the small gray picture is masked as the large."""
    from longtake.streaming.small_gray import SmallGray

    small = SmallGray()
    pixels = np.zeros((36, 64, 3), np.uint8)
    pixels[:, :32] = 255
    raw = av.VideoFrame.from_ndarray(pixels)
    raw.time_base = Fraction(1, 10)
    gray = small(raw)
    assert gray.shape == (90, 160) and gray[:, :70].min() > 200 and gray[:, 90:].max() < 50
