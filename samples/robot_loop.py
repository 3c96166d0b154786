"""A robot's control loop that longtake watches along: ``robot_loop.py --seconds 15``.

A simulated arm moves over a table at 50 Hz.  In each tick its three cameras (wrist, front, side)
push a picture.  `push` never waits, so the loop keeps its time whatever the model is doing.  On
its way the arm asks whether its goal lies there, with a deadline and two choices, and acts on
fresh answers alone.  An alert stops it when something comes onto the table that does not belong
there.

What lies on the table and when is decided by ``--seed``; how fast answers come, by the machine.
The table is drawn in the world that the embedded model knows.  Nothing here knows a real robot:
put your own cameras, arm and question in place of `Table`, `Arm` and `Goal`.
"""

from __future__ import annotations

import argparse
import math
import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

import longtake
from longtake.models.embedded.world import COLORS, SHAPES, SIZE, Background, Scene, Thing

HZ = 50.0
SEEN_HZ = 5.0  # pictures a second that the model sees of each camera
CAMERAS = ("wrist", "front", "side")
SCALE = 4  # pictures of 384 x 384 pixels
INTRUDER = ("ring", "red")
FRESH_S = 0.5  # an answer about an older moment is not acted on
DEADLINE_S = 1.0
STEEL = (105, 108, 112)
Point = tuple[float, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=15.0, help="how long the arm works")
    parser.add_argument("--seed", type=int, default=1, help="another number, another table")
    parser.add_argument("--model", default="embedded", help="a checkpoint; it sees drawn shapes")
    chosen = parser.parse_args()
    table, arm, loop = Table(chosen.seed, chosen.seconds), Arm(), Loop(HZ)
    # of each camera the newest picture alone waits for the model, and some a second are enough
    newest = longtake.CaptureConfig(policy="newest")
    with longtake.open(model=chosen.model, fps=SEEN_HZ, window_s=2.0, capture=newest) as take:
        try:
            work(take, table, arm, loop, chosen.seconds)
        except KeyboardInterrupt:
            print("stopped by hand")
        take.drain()
        report(take, table, arm, loop)


def work(take: longtake.Take, table: Table, arm: Arm, loop: Loop, seconds: float) -> None:
    """The control loop: move, look, ask, act."""

    def stop_arm(event: longtake.AlertEvent) -> None:  # in the alert's own thread
        print(f"  alert: {event.condition} ({event.probability:.0%}) seen at {event.at_s:.2f} s")
        arm.stop()

    take.alert(f"is there {named(*INTRUDER)}?", stop_arm, every_s=0.2, confirm=2, name="intruder")
    goal = Goal(take, table.goal)
    print(f"the arm looks for {named(table.goal.shape, table.goal.color)}")
    for t_s in loop.ticks(seconds):
        arm.move(t_s)
        for camera in CAMERAS:
            picture = table.look(camera, t_s, arm.tip)
            with loop.pushing():
                take.push(picture, t_s, camera=camera)
        if arm.target is None and goal.is_there(t_s):
            arm.target = table.goal.at(t_s)
            print(f"{t_s:5.2f} s: goes there")


class Goal:
    """Asks whether a thing is there until a fresh answer says so.  Never waits."""

    def __init__(self, take: longtake.Take, thing: Thing) -> None:
        self._take, self._next_s = take, 1.0
        self._question = f"is there {named(thing.shape, thing.color)}?"
        self._asking: longtake.Asking | None = None

    def is_there(self, t_s: float) -> bool:
        """Whether an answer that came since the last tick says yes and may be acted on."""
        if self._asking is None and t_s >= self._next_s:
            self._asking = self._take.submit(
                self._question, choices=("yes", "no"), deadline_s=DEADLINE_S
            )
        if self._asking is None or not self._asking.done():
            return False
        answer, self._asking, self._next_s = self._asking.result(), None, t_s + 1.0
        late_s = t_s - answer.as_of_s  # what it saw last is so old now
        if answer.partial or answer.staleness_s > FRESH_S or late_s > FRESH_S:
            print(f"{t_s:5.2f} s: {self._question} an answer of {late_s:.2f} s ago: too old")
            return False
        best = answer.choices[0]
        print(
            f"{t_s:5.2f} s: {self._question} {best.text} ({best.probability:.0%}), "
            f"as of {answer.as_of_s:.2f} s, {answer.staleness_s * 1000:.0f} ms behind the cameras"
        )
        return best.text == "yes"


class Table:
    """What lies there: the arm's goal, something else, and later what does not belong there."""

    def __init__(self, seed: int, seconds: float) -> None:
        rng = random.Random(seed)
        shapes = rng.sample([s for s in SHAPES if s != INTRUDER[0]], 2)
        colors = rng.sample([c for c in COLORS if c not in (INTRUDER[1], "black")], 2)
        spots = rng.sample([(26.0, 28.0), (70.0, 30.0), (28.0, 70.0), (68.0, 68.0)], 3)
        self.intruder_s = seconds * rng.uniform(0.5, 0.7)
        begins = (0.0, 0.0, self.intruder_s)
        pairs = (*zip(shapes, colors, strict=True), INTRUDER)
        self.things = [
            Thing(*pair, 12.0, "still", begin, math.inf, *spot)
            for pair, begin, spot in zip(pairs, begins, spots, strict=True)
        ]
        self.goal = self.things[0]
        wall = Background((126.0, 120.0, 112.0), "checks", 7.0, 0.3, 0.0, (0.0, 0.0))
        self._scene = Scene(0.0, math.inf, wall, 0.0)

    def look(self, camera: str, t_s: float, tip: Point) -> NDArray[np.uint8]:
        """What a camera sees, uint8 RGB ``[384, 384, 3]``; the arm ends at ``tip``."""
        self._scene.things = [self._seen_by(camera, thing, tip) for thing in self.things]
        picture = self._scene.draw(t_s, SCALE)
        bars: list[tuple[Point, Point]]
        if camera == "wrist":
            bars = [((30.0, SIZE), (40.0, 84.0)), ((66.0, SIZE), (56.0, 84.0))]
        else:
            x, y = self._place(camera, tip, tip)
            elbow = ((x + SIZE / 2) / 2 + 8, (y + SIZE) / 2)
            bars = [((SIZE / 2, SIZE), elbow), (elbow, (x, y))]
        for begin, end in bars:
            cv2.line(picture, _pixel(begin), _pixel(end), STEEL, 3 * SCALE, cv2.LINE_AA)
        return picture

    def _seen_by(self, camera: str, thing: Thing, tip: Point) -> Thing:
        x, y = self._place(camera, (thing.x, thing.y), tip)
        seen = (thing.radius, thing.motion, thing.start_s, thing.end_s)
        return Thing(thing.shape, thing.color, *seen, x, y)

    @staticmethod
    def _place(camera: str, point: Point, tip: Point) -> Point:
        """Where a point of the table is in a camera's picture, at scale 1."""
        x, y = point
        if camera == "wrist":  # hangs above the gripper and moves with it
            return SIZE / 2 + x - tip[0], SIZE / 2 + y - tip[1]
        return (SIZE - x, y) if camera == "side" else (x, y)


class Arm:
    """Sweeps over the table, goes to a target, stops when told; moved by the loop alone."""

    def __init__(self) -> None:
        self.tip: Point = (SIZE / 2, SIZE / 2)
        self.target: Point | None = None
        self.stopped_s: float | None = None
        self._is_told = threading.Event()

    def stop(self) -> None:
        """From any thread; the next tick obeys."""
        self._is_told.set()

    def move(self, t_s: float) -> None:
        if self._is_told.is_set():
            if self.stopped_s is None:
                self.stopped_s = t_s
                print(f"{t_s:5.2f} s: the arm has stopped")
            return
        sweep = (SIZE / 2 + 24 * math.cos(t_s), SIZE / 2 + 16 * math.sin(2 * t_s))
        aim = self.target or sweep
        x, y = (here + 0.06 * (there - here) for here, there in zip(self.tip, aim, strict=True))
        self.tip = (x, y)


@dataclass
class Loop:
    """Ticks at a fixed rate, and how well they were kept."""

    hz: float
    late_s: list[float] = field(default_factory=list)
    push_s: list[float] = field(default_factory=list)
    missed: int = 0

    def ticks(self, seconds: float) -> Iterator[float]:
        """Seconds since the first tick; one that is a whole period late is left out, counted."""
        begun, tick = time.monotonic(), 0
        while tick < seconds * self.hz:
            time.sleep(max(0.0, begun + tick / self.hz - time.monotonic()))
            now_s = time.monotonic() - begun
            self.late_s.append(now_s - tick / self.hz)
            yield now_s
            following = max(tick + 1, math.floor((time.monotonic() - begun) * self.hz))
            self.missed += following - tick - 1
            tick = following

    def pushing(self) -> _Timer:
        return _Timer(self.push_s)


class _Timer:
    """Adds how long its block took to a list."""

    def __init__(self, into: list[float]) -> None:
        self._into = into

    def __enter__(self) -> None:
        self._begun = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._into.append(time.perf_counter() - self._begun)


def report(take: longtake.Take, table: Table, arm: Arm, loop: Loop) -> None:
    """How it went, in milliseconds."""
    stats = take.stats()
    dropped = sum(stats.dropped.values())
    print(f"\n{len(loop.late_s)} ticks at {loop.hz:g} Hz, {loop.missed} missed")
    for name, seconds in (("push", loop.push_s), ("a tick's lateness", loop.late_s)):
        p50, p99 = np.percentile(seconds or [0.0], [50, 99]) * 1000
        print(f"{name:<18} p50 {p50:6.2f} ms   p99 {p99:6.2f} ms")
    fates = f"{stats.frames} seen, {stats.waiting} waiting, {dropped} not needed"
    fates = f"{stats.frames} seen, {stats.waiting} waiting, {dropped} not needed"
    print(f"{'frames':<18} {len(loop.push_s)} pushed: {fates}")
    if arm.stopped_s is not None:
        took_s = arm.stopped_s - table.intruder_s
        print(f"{'stopped':<18} {took_s:.2f} s after the {INTRUDER[0]} came onto the table")


def named(shape: str, color: str) -> str:
    return f"{'an' if color[0] in 'aeiou' else 'a'} {color} {shape}"


def _pixel(point: Point) -> tuple[int, int]:
    return round(point[0] * SCALE), round(point[1] * SCALE)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:  # before there was anything to stop
        raise SystemExit(130) from None
