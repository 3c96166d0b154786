"""``longtake bench ask``: how fast an answer comes, beside encoding the video again."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import torch

from longtake.bench.clip import SEED, draw
from longtake.bench.frame import Row, compared, median, show, timed
from longtake.bench.plain import Plain
from longtake.cli.common import say
from longtake.engine import Engine
from longtake.memory.index import make_index
from longtake.models.base import Adapter
from longtake.models.embedded.questions import Question, ask_about
from longtake.models.embedded.world import Film

if TYPE_CHECKING:
    from longtake.take import Take


def run(model: str, minutes: float, repeats: int, as_json: bool) -> None:
    """Ask about a long drawn stream in memory, beside encoding the video again.

    Raises: as `bench.ingest.run`.
    """
    if repeats < 1:
        raise ValueError(f"repeats={repeats}: must be at least 1")
    with TemporaryDirectory(prefix="longtake-bench-") as home, Engine(model) as engine:
        clip, fps = Path(home) / "clip.mp4", engine.adapter.recipe.fps
        film = draw(clip, minutes, fps)
        plain = Plain(engine.adapter, model)
        say(f"taking in {film.seconds} s")
        with engine.open(Path(home) / "memory") as take:
            take.watch(clip).wait()
            asked = _questions(film, repeats)
            images = [image for _, image in film.frames(fps)]
            whole = plain.fitting(images, max(len(plain.prompt(q.text)) for q in asked))
            pixels = plain.pixels(whole)
            timings = _ask_in_turn(take, asked, partial(plain.first_token, pixels))
            chunks, top_k = take.stats().chunks, take.pace.top_k
        search_ms = _search_ms(engine.adapter, chunks, top_k, repeats)
    again = Row("plain re-encoding, first token", median(timings["plain"]) * 1e3, "ms")
    rows = [
        compared("first token", median(timings["first"]) * 1e3, "ms", again),
        Row("  blind pass, search, layout", median(timings["recall"]) * 1e3, "ms"),
        Row("    of it the search", search_ms, "ms"),
        Row("  prefill", median(timings["prefill"]) * 1e3, "ms"),
        Row("whole answer", median(timings["total"]) * 1e3, "ms"),
        again,
    ]
    sizes = {
        "stream": f"{film.seconds} s at {fps:g} frames/s, {chunks} chunks in memory",
        "model": f"{model}, {engine.adapter.dtype}, {engine.adapter.device}",
        "threads": torch.get_num_threads(),
        "questions": f"{repeats}, interleaved with the plain twin; medians",
        "recalled": f"{top_k} chunks a layer",
        "plain": f"{len(whole)} of {len(images)} frames, evenly: all that fit into the "
        f"{engine.adapter.shape.trained_tokens} tokens that the model was trained for; "
        "pixels ready in RAM",
    }
    show("ask", sizes, rows, as_json)


def _questions(film: Film, count: int) -> list[Question]:
    """About things from all over the film; the same ones again where they do not suffice."""
    rng = random.Random(SEED)
    things = rng.sample(film.things, len(film.things))
    found = [q for t in things if (q := ask_about(rng, film, t, "exist", float(film.seconds)))]
    return [found[i % len(found)] for i in range(count)]


def _ask_in_turn(
    take: Take, asked: Sequence[Question], plain: Callable[[str], object]
) -> dict[str, list[float]]:
    """Each question to the take, then to the plain twin; the first once more before, uncounted."""
    found: dict[str, list[float]] = {
        name: [] for name in ("first", "recall", "prefill", "total", "plain")
    }
    for i, question in enumerate((asked[0], *asked)):
        say(f"question {i} of {len(asked)}")
        spent = take.ask(question.text).timings
        plain_s = timed(lambda text=question.text: plain(text))  # type: ignore[misc]
        if i == 0:
            continue
        found["first"].append(spent.first_token_s)
        found["recall"].append(spent.recall_s)
        found["prefill"].append(spent.first_token_s - spent.recall_s)
        found["total"].append(spent.total_s)
        found["plain"].append(plain_s)
    return found


def _search_ms(adapter: Adapter, chunks: int, top_k: int, repeats: int) -> float:
    """The search alone, over as many vectors of the same size, at random."""
    shape = adapter.shape
    width = shape.kv_heads * shape.head_dim
    index = make_index("auto", layers=shape.layers, width=width, device=adapter.device)
    generator = torch.Generator().manual_seed(SEED)
    index.extend(range(chunks), torch.randn(shape.layers, chunks, width, generator=generator))
    query = torch.randn(shape.layers, width, generator=generator).to(adapter.device)
    times = [timed(lambda: index.search(query, top_k)) for _ in range(repeats + 1)]
    return median(times[1:]) * 1e3
