"""``longtake bench needle``: does memory find what left the window long ago, and does it help?

Streams of the drawn world are written as video files and taken in as any other.  Every question is
asked `at_s`, as if nothing later had been seen, in eight conditions over one and the same memory:

    oracle    the right chunks, at most top-k of them, and nothing else; where the answer is no
              there are none
    recall    what the model recalls
    random    top-k chunks at random
    uniform   top-k chunks, evenly spread
    recent    the newest top-k before the window
    window    nothing recalled
    blind     no video at all
    full      the unmodified model over the whole stream so far, where that fits its context

Every layer gets the chosen chunks, and the window, but in blind and full.  Where chunks are written
by a lossy codec, recall is asked once more over a memory of the same film that is lossless.
Counting is in `needle_score`, streams and questions are in `needle_streams`, how the memory is
kept and chosen from in `needle_setup`.
"""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import torch

from longtake.answer import Answer
from longtake.bench.clip import SCALE
from longtake.bench.frame import Say
from longtake.bench.model import Model
from longtake.bench.needle_full import WholeStream
from longtake.bench.needle_score import REFERENCE, TOGETHER, Ranked, Tally, Verdict
from longtake.bench.needle_setup import Setup, bytes_per_token
from longtake.bench.needle_streams import Grid, Needle, Plan, Stream, make_streams
from longtake.bench.plain import FAMILY
from longtake.candidates import Candidates
from longtake.engine import Engine
from longtake.hardware import machine
from longtake.memory.recall import shares
from longtake.memory.selection import Selection
from longtake.models.base import Adapter, ModelError
from longtake.models.embedded.filming import write_film
from longtake.models.embedded.world import WORLD_VERSION
from longtake.recalling import blind_vectors
from longtake.scope import Scope, When, settle
from longtake.settings import Pace
from longtake.streaming.sources import open_source
from longtake.windows import read_window

if TYPE_CHECKING:
    from longtake.session import Session
    from longtake.take import Take

SCHEMA = "longtake.bench.needle/1"


def run(model: Model, plan: Plan, setup: Setup, as_json: bool, say: Say) -> None:
    """Ask about needles, and print what was right.

    An interrupt prints what is known of the streams that are done, and goes on to the caller.

    Raises:
        ModelError: if the model does not know the world as it is drawn today.
        ValueError: if ``top_k`` chunks do not fit into its context.
    """
    interrupt: KeyboardInterrupt | None = None
    with model.engine() as engine:
        check_world(engine.adapter, model.name)
        bench = Bench(engine, plan, setup)
        tally = Tally(plan.distances_s, engine.adapter.shape.layers, plan.top_k)
        try:
            for stream in make_streams(plan, bench.grid):
                begun = time.monotonic()
                tally.add(*bench.judge(stream))
                spent = f"{time.monotonic() - begun:.0f} s for one stream"
                say(f"{tally.questions} of {plan.questions} questions, {spent}")
        except KeyboardInterrupt as error:
            interrupt = error
    if interrupt is None and tally.questions < plan.questions:
        say(
            f"only {tally.questions} of {plan.questions} questions could be made: no place was "
            "left for the others in these streams; try another seed, or fewer distances"
        )
    if tally.streams or interrupt is None:
        _show(bench, tally, interrupt is None, as_json)
    if interrupt is not None:
        raise interrupt


def check_world(adapter: Adapter, name: str) -> None:
    known = adapter.recipe.world_version
    if known == WORLD_VERSION:
        return
    said = "names none: it was not trained on it" if known is None else f"knows version {known}"
    raise ModelError(
        f"{name}: the needles are of version {WORLD_VERSION} of the drawn world, and this model "
        f"{said}. Use 'embedded', or weights trained on version {WORLD_VERSION}"
    )


class Bench:
    """One model, and what is the same for all streams."""

    def __init__(self, engine: Engine, plan: Plan, setup: Setup | None = None) -> None:
        self.adapter, self.plan, self.setup = engine.adapter, plan, setup or Setup()
        self._engine = engine
        recipe, shape = self.adapter.recipe, self.adapter.shape
        config = Setup().config(plan.top_k)  # streams are cut alike in every mode
        pace = Pace.settle(config, recipe, self.adapter.step_tokens, shape)
        self.config = self.setup.config(plan.top_k, pace)
        self._lossless = self.setup.config(plan.top_k, pace, lossless=True)
        self.bytes_per_token: float | None = None  # of the codec, once there is a chunk
        window = math.ceil(round(pace.window_s * pace.fps / recipe.frames_per_step, 6))
        self.fps, self.grid = pace.fps, Grid(1 / pace.fps, recipe.frames_per_step, window)
        self._whole: WholeStream | None = None
        if self.adapter.family == FAMILY:
            self._whole = WholeStream(self.adapter, self.adapter.name)

    def judge(self, stream: Stream) -> tuple[list[Verdict], list[Ranked]]:
        """Film one stream, see it, and ask everything in every condition.

        Of a lossy codec what is asked once more without it comes last, as `REFERENCE`.
        """
        with TemporaryDirectory(prefix="longtake-needle-") as folder:
            clip = Path(folder) / "film.mp4"
            write_film(stream.film, clip, fps=self.fps, scale=SCALE)
            with self._engine.open(config=self.config) as take:
                self._see(take, clip)
                self._measure_codec(take)
                verdicts: list[Verdict] = []
                ranked: list[Ranked] = []
                for i, needle in enumerate(stream.needles):
                    rng = random.Random(f"needle {self.plan.seed} {stream.number} {i}")
                    verdicts += ask(take, needle, self.plan.top_k, rng, self.grid)
                    ranked.append(self._rank(take, needle))
            verdicts += self._in_full(clip, stream.needles)
            verdicts += self._without_loss(clip, stream.needles)
        return verdicts, ranked

    def _see(self, take: Take, clip: Path) -> None:
        """Until all of it is written: what waits for the disk is read as it came."""
        take.watch(clip).wait()
        self._engine.run(take._session.save)

    def _measure_codec(self, take: Take) -> None:
        if self.bytes_per_token is None:
            session, codec = take._session, self.setup.codec
            self.bytes_per_token = self._engine.run(
                lambda: bytes_per_token(codec, session.window.chunks()[-1])
            )

    def _without_loss(self, clip: Path, needles: Sequence[Needle]) -> list[Verdict]:
        if not self.setup.is_lossy:
            return []
        with self._engine.open(config=self._lossless) as take:
            self._see(take, clip)
            return [
                Verdict(needle, REFERENCE, take.ask(needle.text, at_s=needle.at_s).text)
                for needle in needles
            ]

    def _rank(self, take: Take, needle: Needle) -> Ranked:
        session = take._session  # read on the worker alone: there is no verb for rankings yet
        return self._engine.run(lambda: rank(session, needle, self.plan.top_k))

    def _in_full(self, clip: Path, needles: Sequence[Needle]) -> list[Verdict]:
        """The questions whose stream so far fits into the context the model was trained for."""
        whole = self._whole
        asked = [needle for needle in needles if whole is not None and whole.fits(needle)]
        if whole is None or not asked:
            return []
        frames = max(needle.chunks for needle in asked) * self.grid.frames
        side = max(self.adapter.frame_side, self.config.memory.thumbnail_px)  # as a take reads
        with open_source(clip, fps=self.fps, max_side=side) as source:
            whole.begin([frame.image for frame in islice(source.frames(), frames)])
        return [Verdict(needle, "full", whole.answer(needle)) for needle in asked]


# -------------------------------------------------------------------- conditions

Choice = Callable[[range], Sequence[int]]  # of the chunks before the window


def ask(take: Take, needle: Needle, k: int, rng: random.Random, grid: Grid) -> Iterator[Verdict]:
    """One question in all conditions but full, ``k`` chunks each."""
    right = rng.sample(needle.right, min(k, len(needle.right)))
    choices: dict[str, Choice] = {
        "oracle": lambda past: right,
        "random": lambda past: rng.sample(past, min(k, len(past))),
        "uniform": lambda past: spread(past, k),
        "recent": lambda past: past[-k:],
        "window": lambda past: (),
    }

    def said(**options: Any) -> Answer:
        return take.ask(needle.text, at_s=needle.at_s, **options)

    recalled = said()
    yield Verdict(needle, "recall", recalled.text, shown(recalled, needle, grid))
    for condition, choose in choices.items():
        yield Verdict(needle, condition, said(select=given(needle, choose)).text)
    blind = given(needle, choices["window"])
    yield Verdict(needle, "blind", said(select=blind, with_window=False).text)


def shown(answer: Answer, needle: Needle, grid: Grid) -> int | None:
    """At which place, from 1, the evidence has a moment that holds a right chunk."""
    slack_s = grid.frame_s / 2
    for place, moment in enumerate(answer.evidence, 1):
        for number in needle.right:
            begin_s, end_s = number * grid.chunk_s, (number + 1) * grid.chunk_s
            if moment.start_s < end_s - slack_s and moment.end_s > begin_s - slack_s:
                return place
    return None


def given(needle: Needle, choose: Choice) -> Callable[[Scope, int], list[list[int]]]:
    """The same chunks for every layer."""

    def select(known: Scope, layers: int) -> list[list[int]]:
        if known.last != needle.edge:
            raise RuntimeError(
                f"asked at {needle.at_s:g} s the window begins with chunk {known.last}, not with "
                f"{needle.edge}: the stream was not cut as the questions suppose"
            )
        return [list(choose(range(known.first, known.last)))] * layers

    return select


def spread(past: range, k: int) -> list[int]:
    """``k`` of them, each in the middle of an equal part; all where there are no more."""
    if len(past) <= k:
        return list(past)
    return [past[(2 * i + 1) * len(past) // (2 * k)] for i in range(k)]


@torch.inference_mode()
def rank(session: Session, needle: Needle, top_k: int) -> Ranked:
    """Where the first right chunk comes; on the engine's worker."""
    live = len(session.window.infos)
    known = settle(When(at_s=needle.at_s), session.past(), live, session.window_shape)
    blind = blind_vectors(session, session.adapter.prompt(needle.text))
    selection = Selection.of(session.config.scores, session.config.diversity_s)
    window = read_window(session, known)
    candidates = Candidates(session, known, known.first, window, selection, top_k)
    scored = candidates.scores(blind)
    offered = scored.scores[:, : scored.archived]
    rankings = {str(i): row for i, row in enumerate(candidates.best(scored, offered, top_k))}
    share = shares(offered, session.adapter.shape.head_dim, session.adapter.recipe.sharpness)
    (rankings[TOGETHER],) = candidates.best(scored, share[None], top_k)
    right = set(needle.right)
    places = {
        name: next((i for i, n in enumerate(row.tolist(), 1) if n in right), None)
        for name, row in rankings.items()
    }
    return Ranked(needle, places, candidates.archived)


# -------------------------------------------------------------------- what is shown


def _settings(bench: Bench) -> dict[str, Any]:
    plan, grid = bench.plan, bench.grid
    return {
        "seed": plan.seed,
        "episodes": plan.episodes,
        "distances_s": list(plan.distances_s),
        "top_k": plan.top_k,
        "window_s": grid.window * grid.chunk_s,
        "chunk_s": grid.chunk_s,
        "fps": bench.fps,
        "phrases": "held out",
        **bench.setup.as_json(),
        "threads": torch.get_num_threads(),
    }


def _model(adapter: Adapter) -> dict[str, Any]:
    return {
        "name": adapter.name,
        "family": adapter.family,
        "fingerprint": adapter.fingerprint,
        "world_version": adapter.recipe.world_version,
        "recall": adapter.recipe.recall,
        "dtype": str(adapter.dtype).removeprefix("torch."),
        "device": str(adapter.device),
    }


def _codec(bench: Bench, tally: Tally) -> dict[str, Any]:
    """What the codec costs; what it changed is null where it is lossless."""
    size = bench.bytes_per_token
    paired = tally.paired.as_json() if bench.setup.is_lossy else None
    return {
        "name": bench.setup.codec,
        "bytes_per_token": None if size is None else round(size, 1),
        "identical": None if paired is None else paired["identical"],
        "mcnemar": None if paired is None else paired["mcnemar"],
    }


def _show(bench: Bench, tally: Tally, is_complete: bool, as_json: bool) -> None:
    about = {"machine": machine(), "model": _model(bench.adapter), "settings": _settings(bench)}
    planned = bench.plan.questions
    if as_json:
        told = tally.as_json(is_complete, planned)
        print(json.dumps({"schema": SCHEMA} | about | {"codec": _codec(bench, tally)} | told))
        return
    for group in about.values():
        for name, value in group.items():
            print(f"- {name}: {value}")
    print(f"- questions: {tally.questions} of {planned} planned")
    if bench.bytes_per_token is not None:
        print(f"- codec: {bench.setup.codec}, {bench.bytes_per_token:.0f} bytes a token")
    if not is_complete:
        print(f"\nPartial: interrupted; this is what {tally.streams} streams say.")
    print(f"\n{tally.tables()}")
