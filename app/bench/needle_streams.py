"""Drawn streams that hold needles, and what is asked about them at which distance.

Each stream shows twelve things that come once and never again, a random while after its start,
and then goes on with others.  A question about one of them is asked when the window's edge is a
given distance behind the last chunk that shows it.  Everything comes from a seed.

Knows the world and how a stream is cut into chunks; nothing of models or of answers.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from longtake.models.embedded.questions import Question, ask_about, ask_absent
from longtake.models.embedded.world import COLORS, PAIRS, SHAPES, Film, Pair, Thing

KINDS = ("color", "shape", "exist")
A_STREAM = 2  # questions of a kind, at each distance; of exist one yes and one no
BEFORE_THINGS = 24  # at most so many things come before the first needle
LEAD_S = 240  # by then all needles have come, in nearly every stream
TRIES = 300  # at a question whose answer is no


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What was asked for.

    Raises:
        ValueError: if it makes no sense.
    """

    seed: int
    episodes: int  # questions of a kind at each distance
    distances_s: tuple[float, ...]  # rising
    top_k: int

    def __post_init__(self) -> None:
        for name, value in (("episodes", self.episodes), ("top_k", self.top_k)):
            if value < 1:
                raise ValueError(f"{name}={value}: must be at least 1")

    @property
    def pairs(self) -> int:
        """Questions of exist whose answer is yes; as many have no."""
        return -(-self.episodes // 2)

    @property
    def questions(self) -> int:
        return 2 * len(self.distances_s) * (self.episodes + self.pairs)


@dataclass(frozen=True, slots=True)
class Grid:
    """How a stream becomes chunks."""

    frame_s: float  # from one frame to the next
    frames: int  # a chunk
    window: int  # chunks that it holds

    @property
    def chunk_s(self) -> float:
        return self.frames * self.frame_s

    def showing(self, start_s: float, end_s: float) -> range:
        """Chunks with a frame from ``start_s`` to before ``end_s``."""
        first = math.ceil(round(start_s / self.frame_s, 6))
        last = math.ceil(round(end_s / self.frame_s, 6)) - 1
        return range(first // self.frames, last // self.frames + 1)

    def asked_s(self, edge: int) -> float:
        """When the window begins with chunk ``edge``."""
        return (edge + self.window) * self.chunk_s

    def steps(self, distance_s: float) -> int:
        """Whole chunks that cover a distance."""
        return math.ceil(round(distance_s / self.chunk_s, 6))


@dataclass(frozen=True, slots=True)
class Needle:
    """One question at one distance, with the chunks that hold its answer."""

    kind: str  # of KINDS
    text: str
    answer: str
    distance_s: float
    edge: int  # the window's first chunk
    chunks: int  # seen when it is asked, those of the window too
    at_s: float  # between the last frame that may be known and the next one
    right: tuple[int, ...]  # chunk numbers; none where the answer is no


@dataclass(frozen=True, slots=True)
class Stream:
    number: int
    film: Film
    needles: tuple[Needle, ...]  # in the order in which they are asked


def make_streams(plan: Plan, grid: Grid) -> Iterator[Stream]:
    """Streams until each kind has as many questions at each distance as planned.

    A stream in which a needle found no place gives fewer; a quarter more streams are made to
    replace what is missing, not more.
    """
    missing: Counter[tuple[str, float]] = Counter()
    for distance_s in plan.distances_s:
        missing.update({(kind, distance_s): plan.episodes for kind in KINDS})
        missing["exist", distance_s] = 2 * plan.pairs
    for number in range(plan.pairs + 1 + plan.pairs // 4):
        if not missing:
            return
        stream = make_stream(plan.seed, number, missing, grid)
        missing -= Counter((needle.kind, needle.distance_s) for needle in stream.needles)
        if stream.needles:
            yield stream


def make_stream(seed: int, number: int, missing: Counter[tuple[str, float]], grid: Grid) -> Stream:
    """One stream with at most `A_STREAM` of the missing questions in each place."""
    rng = random.Random(f"needle {seed} {number}")
    furthest_s = max(distance_s for _, distance_s in missing)
    seconds = math.ceil(LEAD_S + furthest_s + (grid.window + 2) * grid.chunk_s)
    film, things = needle_film(rng, seconds)
    needles: list[Needle] = []
    for (kind, distance_s), count in sorted(missing.items()):
        found = _pair if kind == "exist" else _about
        needles += found(rng, film, things, kind, distance_s, grid)[: min(A_STREAM, count)]
    needles.sort(key=lambda needle: (needle.chunks, needle.distance_s, needle.kind, needle.text))
    if needles:  # nothing is asked about what comes after the last question
        film.seconds = math.ceil(needles[-1].chunks * grid.chunk_s)
    return Stream(number, film, tuple(needles))


def needle_film(rng: random.Random, seconds: int) -> tuple[Film, list[Thing]]:
    """A film, and its things that have shapes, colours or pairs of both that never come back.

    Like `world.long_film`, but other things may come first: how long a stream is says little
    about the distance then.
    """
    shapes, colors = rng.sample(SHAPES, 2), rng.sample(list(COLORS), 2)
    pairs = rng.sample(PAIRS, len(PAIRS))
    filler = [(s, c) for s, c in pairs if s not in shapes and c not in colors]
    needles: list[Pair] = [(s, rng.choice([c for c in COLORS if c not in colors])) for s in shapes]
    needles += [(rng.choice([s for s in SHAPES if s not in shapes]), c) for c in colors]
    needles += [filler.pop() for _ in range(8)]
    rng.shuffle(needles)
    before = rng.sample(filler, rng.randint(0, BEFORE_THINGS))
    after = [pair for pair in filler if pair not in before]
    film = Film(rng, seconds, pairs=after + needles + before, refill=filler)
    wanted = set(needles)
    return film, [thing for thing in film.things if (thing.shape, thing.color) in wanted]


def _about(
    rng: random.Random,
    film: Film,
    things: Sequence[Thing],
    kind: str,
    distance_s: float,
    grid: Grid,
) -> list[Needle]:
    """Questions that are about one thing alone, each about another."""
    found = []
    for thing in rng.sample(things, len(things)):
        edge = grid.showing(thing.start_s, thing.end_s)[-1] + 1 + grid.steps(distance_s)
        asked_s = grid.asked_s(edge)
        if asked_s > film.seconds:
            continue
        question = ask_about(rng, film, thing, kind, asked_s, held_out=True)
        if question is not None and len(question.spans) == 1:
            found.append(_needle(question, distance_s, edge, grid))
    return found


def _pair(
    rng: random.Random,
    film: Film,
    things: Sequence[Thing],
    kind: str,
    distance_s: float,
    grid: Grid,
) -> list[Needle]:
    """One whose answer is yes, and one with no that is asked at the same time."""
    for present in _about(rng, film, things, kind, distance_s, grid):
        for _ in range(TRIES):
            question = ask_absent(rng, film, kind, grid.asked_s(present.edge), held_out=True)
            if question is not None:
                return [present, _needle(question, distance_s, present.edge, grid)]
    return []


def _needle(question: Question, distance_s: float, edge: int, grid: Grid) -> Needle:
    return Needle(
        kind=question.kind,
        text=question.text,
        answer=question.answer,
        distance_s=distance_s,
        edge=edge,
        chunks=edge + grid.window,
        at_s=question.asked_s - grid.frame_s / 2,
        right=tuple(n for start_s, end_s in question.spans for n in grid.showing(start_s, end_s)),
    )
