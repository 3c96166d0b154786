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

Every layer gets the chosen chunks, and the window, but in blind and full.  Counting is in
`needle_score`, streams and questions are in `needle_streams`.
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

from longtake.bench.clip import SCALE
from longtake.bench.frame import Say
from longtake.bench.model import Model
from longtake.bench.needle_full import SPOKEN, WholeStream
from longtake.bench.needle_score import TOGETHER, Ranked, Tally, Verdict
from longtake.bench.needle_streams import Grid, Needle, Plan, Stream, make_streams
from longtake.bench.plain import FAMILY
from longtake.engine import Engine
from longtake.hardware import machine
from longtake.memory.index import best_of
from longtake.memory.recall import shares
from longtake.models.base import Adapter, ModelError
from longtake.models.embedded.filming import write_film
from longtake.models.embedded.world import WORLD_VERSION
from longtake.recalling import blind_vectors
from longtake.scope import Scope, When, settle
from longtake.settings import Pace, TakeConfig
from longtake.streaming.sources import open_source

if TYPE_CHECKING:
    from longtake.session import Session
    from longtake.take import Take

SCHEMA = "longtake.bench.needle/1"


def run(model: Model, plan: Plan, as_json: bool, say: Say) -> None:
    """Ask about needles, and print what was right.

    An interrupt prints what is known of the streams that are done, and goes on to the caller.

    Raises:
        ModelError: if the model does not know the world as it is drawn today.
        ValueError: if ``top_k`` chunks do not fit into its context.
    """
    interrupt: KeyboardInterrupt | None = None
    with model.engine() as engine:
        check_world(engine.adapter, model.name)
        bench = Bench(engine, plan)
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

    def __init__(self, engine: Engine, plan: Plan) -> None:
        self.adapter, self.plan = engine.adapter, plan
        self._engine, self._config = engine, TakeConfig(top_k=plan.top_k, decoding=SPOKEN)
        recipe, shape = self.adapter.recipe, self.adapter.shape
        pace = Pace.settle(self._config, recipe, self.adapter.step_tokens, shape)
        window = math.ceil(round(pace.window_s * pace.fps / recipe.frames_per_step, 6))
        self.fps, self.grid = pace.fps, Grid(1 / pace.fps, recipe.frames_per_step, window)
        self._whole: WholeStream | None = None
        if self.adapter.family == FAMILY:
            self._whole = WholeStream(self.adapter, self.adapter.name)

    def judge(self, stream: Stream) -> tuple[list[Verdict], list[Ranked]]:
        """Film one stream, see it, and ask everything in every condition."""
        with TemporaryDirectory(prefix="longtake-needle-") as folder:
            clip = Path(folder) / "film.mp4"
            write_film(stream.film, clip, fps=self.fps, scale=SCALE)
            with self._engine.open(config=self._config) as take:
                take.watch(clip).wait()
                verdicts: list[Verdict] = []
                ranked: list[Ranked] = []
                for i, needle in enumerate(stream.needles):
                    rng = random.Random(f"needle {self.plan.seed} {stream.number} {i}")
                    verdicts += ask(take, needle, self.plan.top_k, rng)
                    ranked.append(self._rank(take, needle))
            verdicts += self._in_full(clip, stream.needles)
        return verdicts, ranked

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
        side = max(self.adapter.frame_side, self._config.memory.thumbnail_px)  # as a take reads
        with open_source(clip, fps=self.fps, max_side=side) as source:
            whole.begin([frame.image for frame in islice(source.frames(), frames)])
        return [Verdict(needle, "full", whole.answer(needle)) for needle in asked]


# -------------------------------------------------------------------- conditions

Choice = Callable[[range], Sequence[int]]  # of the chunks before the window


def ask(take: Take, needle: Needle, k: int, rng: random.Random) -> Iterator[Verdict]:
    """One question in all conditions but full, ``k`` chunks each."""
    right = rng.sample(needle.right, min(k, len(needle.right)))
    choices: dict[str, Choice] = {
        "oracle": lambda past: right,
        "random": lambda past: rng.sample(past, min(k, len(past))),
        "uniform": lambda past: spread(past, k),
        "recent": lambda past: past[-k:],
        "window": lambda past: (),
    }

    def said(**options: Any) -> str:
        return take.ask(needle.text, at_s=needle.at_s, **options).text

    yield Verdict(needle, "recall", said())
    for condition, choose in choices.items():
        yield Verdict(needle, condition, said(select=given(needle, choose)))
    blind = given(needle, choices["window"])
    yield Verdict(needle, "blind", said(select=blind, with_window=False))


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
    scores = session.index.scores(blind, known.first, known.last)
    numbers = session.index.numbers(known.first, known.last)
    rankings = {str(i): numbers[row].tolist() for i, row in enumerate(best_of(scores, top_k))}
    rankings[TOGETHER] = []
    if len(numbers):
        share = shares(scores, session.adapter.shape.head_dim, session.adapter.recipe.sharpness)
        best = share.topk(min(top_k, len(numbers))).indices.cpu()
        rankings[TOGETHER] = numbers[best].tolist()
    right = set(needle.right)
    places = {
        name: next((i for i, number in enumerate(row, 1) if number in right), None)
        for name, row in rankings.items()
    }
    return Ranked(needle, places, len(numbers))


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


def _show(bench: Bench, tally: Tally, is_complete: bool, as_json: bool) -> None:
    about = {"machine": machine(), "model": _model(bench.adapter), "settings": _settings(bench)}
    planned = bench.plan.questions
    if as_json:
        print(json.dumps({"schema": SCHEMA} | about | tally.as_json(is_complete, planned)))
        return
    for group in about.values():
        for name, value in group.items():
            print(f"- {name}: {value}")
    print(f"- questions: {tally.questions} of {planned} planned")
    if not is_complete:
        print(f"\nPartial: interrupted; this is what {tally.streams} streams say.")
    print(f"\n{tally.tables()}")
