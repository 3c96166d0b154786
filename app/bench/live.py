"""``longtake bench live``: whether what is shown is now, and whether the loop that feeds it waits.

Four parts, in files of their own: how old the newest frame of a camera is, what a push costs, how
soon an answer begins while frames come in, and how many of them come in while it is spoken.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch

from longtake.bench import live_age, live_ask, live_push
from longtake.bench.frame import Row, Say, check_repeats, show
from longtake.bench.model import Model

PARTS = ("age", "push", "ask", "ingest")
STRETCH_S = 10.0  # at most, of what is no camera
QUESTIONS = 20  # each time
LEAST_S = 1.0

Part = Callable[[], tuple[list[Row], str]]


def run(
    model: Model,
    parts: Sequence[str],
    seconds: float,
    repeats: int,
    seed: int,
    as_json: bool,
    say: Say,
) -> None:
    """Measure some parts, or all; each row with a target says it.

    Args:
        parts: some of PARTS.
        seconds: how long the camera is watched each time; the others take `STRETCH_S` at most.
        seed: draws pictures, and the moments of looks and questions.

    Raises:
        ValueError: for an unknown part, or a number that makes no sense.
        ModelError: if the model cannot be used.
        RuntimeError: if the camera on loopback shows no picture.
    """
    _check(parts, seconds, repeats)
    stretch_s = min(seconds, STRETCH_S)
    questions = (
        QUESTIONS if seconds >= STRETCH_S else max(1, round(QUESTIONS * seconds / STRETCH_S))
    )
    found: list[Row] = []
    about: dict[str, object] = {}

    def measure(name: str, part: Part) -> None:
        if name in parts:
            rows, about[name] = part()
            found.extend(rows)

    with model.engine() as engine:
        measure("age", lambda: live_age.rows(engine, seconds, repeats, seed, say))
        measure("push", lambda: live_push.rows(engine, stretch_s, repeats, seed, say))
        measure("ask", lambda: live_ask.first_token(engine, questions, repeats, seed, say))
        measure("ingest", lambda: live_ask.ingest(engine, stretch_s, repeats, seed, say))
        about["model"] = f"{model.name}, {engine.adapter.dtype}, {engine.adapter.device}"
    sizes = {
        "parts": ", ".join(part for part in PARTS if part in parts),
        "repeats": f"{repeats}, interleaved; seed {seed}",
        "threads": torch.get_num_threads(),
    }
    show("live", sizes | about, found, as_json)


def _check(parts: Sequence[str], seconds: float, repeats: int) -> None:
    check_repeats(repeats)
    for part in parts:
        if part not in PARTS:
            raise ValueError(f"--only {part}: must be some of {', '.join(PARTS)}")
    if not (math.isfinite(seconds) and seconds >= LEAST_S):
        raise ValueError(f"--seconds {seconds:g}: must be at least {LEAST_S:g}")
