"""The drawn world: films of coloured shapes with exact ground truth, from a seed.

A film is a row of scenes of 4 to 10 seconds.  A scene has a background and one to three
things: a shape in a colour that stays or moves.  Anything can be asked of a film at any
time: the picture at ``t`` seconds, at any scale, and which things it showed when.

Knows nothing of questions, models or tensors.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

WORLD_VERSION = 1
SIZE = 96  # pixels a side at scale 1
SHAPES = ("circle", "square", "triangle", "star", "cross", "ring", "diamond", "heart")
COLORS: dict[str, tuple[int, int, int]] = {
    "red": (215, 35, 35),
    "green": (30, 170, 50),
    "blue": (40, 70, 225),
    "yellow": (240, 220, 40),
    "purple": (140, 40, 170),
    "orange": (245, 135, 20),
    "white": (250, 250, 250),
    "black": (12, 12, 12),
}
MOTIONS = ("left", "right", "up", "down", "still")

Image = NDArray[np.uint8]
Pair = tuple[str, str]  # (shape, colour)
PAIRS: tuple[Pair, ...] = tuple((s, c) for s in SHAPES for c in COLORS)

_SUBPIXEL_BITS = 3  # OpenCV draws at eighths of a pixel
_GRAIN = np.random.RandomState(0).randn(40, SIZE, SIZE, 3).astype(np.float32)


@dataclass(eq=False, slots=True)
class Thing:
    """A coloured shape, where it is and from when to when it is seen.  Pixels are at scale 1."""

    shape: str
    color: str
    radius: float
    motion: str
    start_s: float
    end_s: float  # first moment at which it is gone
    x: float = 0.0
    y: float = 0.0
    dx: float = 0.0  # pixels a second
    dy: float = 0.0

    def at(self, t_s: float) -> tuple[float, float]:
        """Centre at ``t_s``."""
        return self.x + self.dx * (t_s - self.start_s), self.y + self.dy * (t_s - self.start_s)

    def is_seen(self, t_s: float) -> bool:
        return self.start_s <= t_s < self.end_s


@dataclass(eq=False, slots=True)
class Background:
    """A plain, striped, chequered or graded wall."""

    base: tuple[float, float, float]
    kind: str
    amplitude: float
    frequency: float
    phase: float
    slope: tuple[float, float]

    def paint(self, scale: int) -> NDArray[np.float32]:
        """Float RGB ``[SIZE * scale, SIZE * scale, 3]``."""
        side = SIZE * scale
        image = np.empty((side, side, 3), np.float32)
        image[:] = self.base
        if self.kind == "plain":
            return image
        yy, xx = np.mgrid[0:side, 0:side].astype(np.float32) / scale
        if self.kind == "gradient":
            shade = (xx - SIZE / 2) * self.slope[0] + (yy - SIZE / 2) * self.slope[1]
        elif self.kind == "checks":
            shade = self.amplitude * np.sign(np.sin(yy * 0.3) * np.sin(xx * 0.3))
        else:
            axis = xx if self.kind == "columns" else yy
            shade = self.amplitude * np.sign(np.sin(axis * self.frequency + self.phase))
        image += shade[..., None]
        return image


@dataclass(eq=False, slots=True)
class Scene:
    start_s: float
    end_s: float
    background: Background
    grain: float  # standard deviation of the picture's noise, in grey levels
    things: list[Thing] = field(default_factory=list)
    _painted: dict[int, Image] = field(default_factory=dict)  # the background, by scale

    def forget(self) -> None:
        """Give the painted background back; it is painted again when it is needed."""
        self._painted.clear()

    def draw(self, t_s: float, scale: int = 1) -> Image:
        """The picture at ``t_s``: uint8 RGB ``[SIZE * scale, SIZE * scale, 3]``."""
        if scale not in self._painted:
            painted = np.clip(self.background.paint(scale), 0, 255).astype(np.uint8)
            self._painted[scale] = painted
        image = self._painted[scale].copy()
        for thing in self.things:
            if thing.is_seen(t_s):
                x, y = thing.at(t_s)
                _draw_shape(
                    image,
                    thing.shape,
                    COLORS[thing.color],
                    (x + 0.5) * scale - 0.5,
                    (y + 0.5) * scale - 0.5,
                    thing.radius * scale,
                )
        if self.grain:
            noise = _GRAIN[int(t_s * 1000 + 7 * self.start_s) % len(_GRAIN)] * self.grain
            if scale > 1:
                noise = np.tile(noise, (scale, scale, 1))
            image = np.clip(image + noise, 0, 255).astype(np.uint8)
        return image


class Film:
    """``seconds`` of scenes.

    Args:
        rng: every choice comes from it, so a seed makes a film.
        seconds: how long; the last scene is cut there.
        pairs: shapes with colours to show, its *end* first.  All, shuffled, where None.
        refill: what follows when ``pairs`` runs out; ``pairs`` itself where None.
    """

    def __init__(
        self,
        rng: random.Random,
        seconds: int,
        pairs: Sequence[Pair] | None = None,
        refill: Sequence[Pair] | None = None,
    ) -> None:
        if seconds < 1:
            raise ValueError(f"seconds={seconds}: a film needs at least one")
        self.seconds = seconds
        left = list(pairs) if pairs else rng.sample(PAIRS, len(PAIRS))
        again = list(refill or left)
        self.scenes: list[Scene] = []
        self._shown: Scene | None = None  # the one drawn last
        start = 0
        while start < seconds:
            if len(left) < 4:
                left = rng.sample(again, len(again))
            self.scenes.append(make_scene(rng, start, rng.randint(4, 10), left))
            start = int(self.scenes[-1].end_s)
        self.things = [t for scene in self.scenes for t in scene.things if t.start_s < seconds]
        for thing in self.things:
            thing.end_s = min(thing.end_s, float(seconds))

    def scene_at(self, t_s: float) -> Scene:
        for scene in self.scenes:
            if scene.start_s <= t_s < min(scene.end_s, self.seconds):
                return scene
        raise ValueError(f"t_s={t_s}: the film lasts from 0 to {self.seconds} s")

    def draw(self, t_s: float, scale: int = 1) -> Image:
        """The picture at ``t_s``: uint8 RGB ``[SIZE * scale, SIZE * scale, 3]``.

        The background of one scene is kept, so that a film of hours takes no more room.
        """
        scene = self.scene_at(t_s)
        if self._shown is not None and self._shown is not scene:
            self._shown.forget()
        self._shown = scene
        return scene.draw(t_s, scale)

    def frames(self, fps: float = 1.0, scale: int = 1) -> Iterator[tuple[float, Image]]:
        """Every picture at ``fps`` with its time, in order."""
        for i in range(round(self.seconds * fps)):
            yield i / fps, self.draw(i / fps, scale)


def long_film(rng: random.Random, seconds: int) -> Film:
    """A film whose first things have shapes and colours that never come back.

    So a question about them has one answer, however long the film is: what a test of memory
    needs.  Two shapes and two colours are kept for the first minute.
    """
    pairs = rng.sample(PAIRS, len(PAIRS))
    shapes, colors = rng.sample(SHAPES, 2), rng.sample(list(COLORS), 2)
    filler = [(s, c) for s, c in pairs if s not in shapes and c not in colors]
    early = [(s, rng.choice([c for c in COLORS if c not in colors])) for s in shapes]
    early += [(rng.choice([s for s in SHAPES if s not in shapes]), c) for c in colors]
    early += [filler.pop() for _ in range(8)]
    rng.shuffle(early)
    return Film(rng, seconds, pairs=filler + early, refill=filler)


def make_scene(rng: random.Random, start_s: int, length_s: int, pairs: list[Pair]) -> Scene:
    """One scene; takes what it shows from the end of ``pairs``, which is changed in place."""
    scene = Scene(start_s, start_s + length_s, _make_background(rng), rng.uniform(0, 7))
    for i in range(rng.choices((1, 2, 3), (0.4, 0.4, 0.2))[0]):
        if not pairs:
            break
        pair = pairs.pop()
        thing = _place(rng, scene, pair, whole=i == 0)
        if thing is None:
            pairs.insert(0, pair)
        else:
            scene.things.append(thing)
    return scene


def _make_background(rng: random.Random) -> Background:
    grey = rng.uniform(85, 165)
    return Background(
        base=tuple(grey + rng.uniform(-18, 18) for _ in range(3)),  # type: ignore[arg-type]
        kind=rng.choice(("plain", "columns", "rows", "checks", "gradient")),
        amplitude=rng.uniform(5, 14),
        frequency=rng.uniform(0.15, 0.5),
        phase=rng.uniform(0, 6),
        slope=(rng.uniform(-0.4, 0.4), rng.uniform(-0.4, 0.4)),
    )


def _place(rng: random.Random, scene: Scene, pair: Pair, whole: bool) -> Thing | None:
    """A thing on a straight path that touches no other, or None after 30 tries."""
    length = int(scene.end_s - scene.start_s)
    for _ in range(30):
        comes_late = not whole and length >= 6 and rng.random() >= 0.7
        start = scene.start_s + (rng.randint(1, length - 4) if comes_late else 0)
        thing = Thing(*pair, rng.uniform(9, 14), rng.choice(MOTIONS), start, scene.end_s)
        steps, margin = int(thing.end_s - start) - 1, thing.radius + 3
        travel = min(rng.uniform(4, 8) * steps, SIZE - 2 * margin)
        across = rng.uniform(margin, SIZE - margin)
        begin = rng.uniform(margin, SIZE - margin - travel)
        speed = travel / max(1, steps)
        forward = thing.motion in ("right", "down")
        along = begin if forward else begin + travel
        if thing.motion in ("left", "right"):
            thing.x, thing.y, thing.dx = along, across, speed if forward else -speed
        elif thing.motion in ("up", "down"):
            thing.x, thing.y, thing.dy = across, along, speed if forward else -speed
        else:
            thing.x, thing.y = across, rng.uniform(margin, SIZE - margin)
        if all(_is_free(thing, scene.things, start + i / 2) for i in range(2 * steps + 1)):
            return thing
    return None


def _is_free(thing: Thing, others: Sequence[Thing], t_s: float) -> bool:
    x, y = thing.at(t_s)
    for other in others:
        if other.is_seen(t_s):
            ox, oy = other.at(t_s)
            if (ox - x) ** 2 + (oy - y) ** 2 < (thing.radius + other.radius + 2) ** 2:
                return False
    return True


def _draw_shape(
    image: Image, shape: str, color: tuple[int, int, int], cx: float, cy: float, r: float
) -> None:
    unit = 1 << _SUBPIXEL_BITS
    center = (round(cx * unit), round(cy * unit))
    if shape == "circle":
        cv2.circle(image, center, round(r * unit), color, -1, cv2.LINE_AA, _SUBPIXEL_BITS)
    elif shape == "ring":
        thick = max(3, round(r * 0.38))
        cv2.circle(image, center, round(r * 0.8 * unit), color, thick, cv2.LINE_AA, _SUBPIXEL_BITS)
    else:
        points = np.rint(_outline(shape, cx, cy, r) * unit).astype(np.int32)
        cv2.fillPoly(image, [points], color, cv2.LINE_AA, _SUBPIXEL_BITS)


def _outline(shape: str, cx: float, cy: float, r: float) -> NDArray[np.float64]:
    """Corners ``[N, 2]`` of a shape that ``r`` about encloses."""
    if shape == "square":
        unit = [(-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)]
    elif shape == "triangle":
        unit = [(0.0, -1.0), (1.0, 0.8), (-1.0, 0.8)]
    elif shape == "diamond":
        unit = [(0.0, -1.1), (0.75, 0.0), (0.0, 1.1), (-0.75, 0.0)]
    elif shape == "star":
        angles = -np.pi / 2 + np.arange(10) * np.pi / 5
        reach = np.where(np.arange(10) % 2, 0.48, 1.15)
        return np.stack((cx + r * reach * np.cos(angles), cy + r * reach * np.sin(angles)), 1)
    elif shape == "cross":
        a, b = 0.36, 1.0
        unit = [(-a, -b), (a, -b), (a, -a), (b, -a), (b, a), (a, a)]
        unit += [(a, b), (-a, b), (-a, a), (-b, a), (-b, -a), (-a, -a)]
    elif shape == "heart":
        t = np.linspace(0, 2 * np.pi, 24)
        x = np.sin(t) ** 3
        y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)) / 16
        return np.stack((cx + r * x, cy + r * y), 1)
    else:
        raise ValueError(f"shape={shape!r}: known are {', '.join(SHAPES)}")
    return np.array([(cx + r * x, cy + r * y) for x, y in unit])
