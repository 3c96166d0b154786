"""``longtake bench ask``: how fast an answer comes, beside encoding the video again.

With streams of several lengths, how much longer it takes where more lies in memory: each question
goes to all of them in turn.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import torch

from longtake.bench.clip import SEED, check_minutes, draw, pour
from longtake.bench.frame import (
    Row,
    Say,
    check_repeats,
    compared,
    interleave,
    median,
    show,
    timed,
)
from longtake.bench.model import Model
from longtake.bench.plain import Plain
from longtake.memory.index import make_index
from longtake.memory.recall import shares
from longtake.models.base import Adapter
from longtake.models.embedded.questions import Question, ask_about
from longtake.models.embedded.world import Film

if TYPE_CHECKING:
    from longtake.take import Take

DRAWN_MINUTES = 60.0  # a longer stream is this film again and again: drawing takes RAM and time
Timed = dict[str, list[float]]  # seconds of each question, by what they were spent on


def run(model: Model, lengths_min: Sequence[float], repeats: int, as_json: bool, say: Say) -> None:
    """Ask about drawn streams in memory, beside encoding the first of them again.

    Args:
        lengths_min: of the streams.

    Raises: as `bench.ingest.run`.
    """
    _check(lengths_min, repeats)
    with TemporaryDirectory(prefix="longtake-bench-") as home, model.engine() as engine:
        clip, fps = Path(home) / "clip.mp4", engine.adapter.recipe.fps
        film = draw(clip, min(lengths_min[0], DRAWN_MINUTES), fps, say)
        plain = Plain(engine.adapter, model.name)
        with ExitStack() as stack:
            takes: dict[float, Take] = {}
            for minutes in lengths_min:
                say(f"taking in {minutes:g} min")
                memory = Path(home) / f"memory-{minutes:g}"
                takes[minutes] = stack.enter_context(engine.open(memory))
                pour(takes[minutes], clip, round(minutes * 60 * fps), say)
            asked = _questions(film, repeats)
            images = [image for _, image in film.frames(fps)]
            whole = plain.fitting(images, max(len(plain.prompt(q.text)) for q in asked))
            pixels = plain.pixels(whole)
            spent, plain_s = _ask_in_turn(takes, asked, partial(plain.first_token, pixels), say)
            chunks = {minutes: take.stats().chunks for minutes, take in takes.items()}
            top_k = takes[lengths_min[0]].pace.top_k
        search_s = _search(engine.adapter, chunks, top_k, repeats)
    sizes = {
        "stream": ", ".join(f"{m * 60:g} s ({n} chunks in memory)" for m, n in chunks.items())
        + f", at {fps:g} frames/s; {film.seconds} s drawn, again and again",
        "model": f"{model.name}, {engine.adapter.dtype}, {engine.adapter.device}",
        "threads": torch.get_num_threads(),
        "questions": f"{repeats}, interleaved with the plain twin; medians",
        "recalled": f"{top_k} chunks a layer",
        "plain": f"{len(whole)} of {len(images)} frames, evenly: all that fit into the "
        f"{engine.adapter.shape.trained_tokens} tokens that the model was trained for; "
        "pixels ready in RAM",
    }
    show("ask", sizes, _rows(spent, plain_s, search_s), as_json)


def _check(lengths_min: Sequence[float], repeats: int) -> None:
    for minutes in lengths_min:
        check_minutes(minutes)
    if len(set(lengths_min)) < len(lengths_min):
        raise ValueError(f"minutes={', '.join(f'{m:g}' for m in lengths_min)}: one comes twice")
    check_repeats(repeats)


def _rows(
    spent: Mapping[float, Timed], plain_s: Sequence[float], search_s: Mapping[float, float]
) -> list[Row]:
    """The first stream beside the plain twin, each other one beside the first."""
    again = Row("plain re-encoding, first token", median(plain_s) * 1e3, "ms")
    rows: list[Row] = []
    for minutes, timings in spent.items():
        said = f", {minutes:g} min" if len(spent) > 1 else ""
        beside = rows[0] if rows else again
        rows += [
            compared(f"first token{said}", median(timings["first"]) * 1e3, "ms", beside),
            Row(
                f"  blind pass, search, reads, prefill{said}", median(timings["recall"]) * 1e3, "ms"
            ),
            Row(f"    of it the search{said}", search_s[minutes] * 1e3, "ms"),
            Row(f"whole answer{said}", median(timings["total"]) * 1e3, "ms"),
        ]
    return [*rows, again]


def _questions(film: Film, count: int) -> list[Question]:
    """About things from all over the film; the same ones again where they do not suffice."""
    rng = random.Random(SEED)
    things = rng.sample(film.things, len(film.things))
    found = [q for t in things if (q := ask_about(rng, film, t, "exist", float(film.seconds)))]
    return [found[i % len(found)] for i in range(count)]


def _ask_in_turn(
    takes: Mapping[float, Take],
    asked: Sequence[Question],
    plain: Callable[[str], object],
    say: Say,
) -> tuple[dict[float, Timed], list[float]]:
    """Each question to every take, and each time to the plain twin; the first once more before,
    uncounted.

    So every answer comes behind the same work: what the twin leaves in the processor's caches
    costs a first token several ms.

    Returns:
        By length what the takes spent, and what the plain twin did.
    """
    names = ("first", "recall", "total")
    found: dict[float, Timed] = {minutes: {name: [] for name in names} for minutes in takes}
    plain_s: list[float] = []
    for i, question in enumerate((asked[0], *asked)):
        say(f"question {i} of {len(asked)}")
        for minutes, take in takes.items():
            spent = take.ask(question.text).timings
            took_s = timed(lambda text=question.text: plain(text))  # type: ignore[misc]
            if i == 0:
                continue
            parts = (spent.first_token_s, spent.recall_s, spent.total_s)
            for name, part_s in zip(names, parts, strict=True):
                found[minutes][name].append(part_s)
            plain_s.append(took_s)
    return found, plain_s


def _search(
    adapter: Adapter, chunks: Mapping[float, int], top_k: int, repeats: int
) -> dict[float, float]:
    """Seconds of the search alone, over as many vectors of the same size, at random."""
    jobs = {f"{m:g}": _search_of(adapter, count, top_k) for m, count in chunks.items()}
    found = interleave(jobs, repeats, lambda text: None)
    return {minutes: median(found[f"{minutes:g}"]) for minutes in chunks}


def _search_of(adapter: Adapter, chunks: int, top_k: int) -> Callable[[], float]:
    shape, recipe = adapter.shape, adapter.recipe
    width = shape.kv_heads * shape.head_dim
    index = make_index("auto", layers=shape.layers, width=width)  # on the CPU, as a take's
    generator = torch.Generator().manual_seed(SEED)
    index.extend(range(chunks), torch.randn(shape.layers, chunks, width, generator=generator))
    query = torch.randn(shape.layers, width, generator=generator)

    def search() -> object:
        if recipe.recall == "together":
            found = shares(index.scores(query), shape.head_dim, recipe.sharpness)
            return found.topk(min(top_k, chunks))
        return index.search(query, top_k)

    return lambda: timed(search)
