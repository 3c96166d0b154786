"""``longtake bench serve``: what the server adds, beside what it could be built on instead.

Five parts, in files of their own: how old a browser's camera is when Python has it, what further
viewers cost, many questions at the same time, the server's share of the first token, and how soon
the page can be used.  Each measures a server in a process of its own (`serve_host`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

from longtake.bench import (
    serve_browser,
    serve_first,
    serve_page,
    serve_questions,
    serve_viewers,
    serve_webcam,
)
from longtake.bench.frame import Row, Say, check_repeats, show
from longtake.bench.model import Model

PARTS = ("webcam", "viewers", "questions", "first", "page")
LONG_S = 20.0
QUESTIONS = 60  # each way, where so long is measured
ROUNDS = 3  # at most, of what takes long
LEAST_S = 1.0
LIBRARIES = ("gradio", "fastapi", "uvicorn", "websockets", "httpx")

Part = Callable[[], tuple[list[Row], str]]


def run(
    model: Model,
    parts: Sequence[str],
    seconds: float,
    repeats: int,
    seed: int,
    browser: Path | None,
    as_json: bool,
    say: Say,
) -> None:
    """Measure some parts, or all; each row with a target says it.

    Args:
        parts: some of PARTS.  Those that need a browser are told as not measured without one.
        seconds: how long each camera and each viewer is measured each time.
        browser: a Chromium; None: the one on the ``PATH``.
        seed: draws the pictures that viewers see.

    Raises:
        ValueError: for an unknown part, or a number that makes no sense.
        ModelError: if the model cannot be used.
        RuntimeError: if nothing of what was wanted can be measured, or a part fails.
    """
    _check(parts, seconds, repeats)
    rounds = min(repeats, ROUNDS)
    questions = max(1, round(QUESTIONS * min(1.0, seconds / LONG_S)))
    found: list[Row] = []
    about: dict[str, object] = {}

    def measure(name: str, part: Part) -> None:
        if name not in parts:
            return
        try:
            rows, about[name] = part()
        except serve_browser.NoBrowser as error:
            about[name] = f"not measured: {error}"
            say(f"{name}: {about[name]}")
        else:
            found.extend(rows)

    def program() -> str:
        return serve_browser.found(browser)

    measure("webcam", lambda: serve_webcam.rows(program(), model, seconds, rounds, say))
    measure("viewers", lambda: serve_viewers.rows(model, seconds, rounds, seed, say))
    measure("questions", lambda: serve_questions.rows(model, rounds, say))
    measure("first", lambda: serve_first.rows(model, questions, say))
    measure("page", lambda: serve_page.rows(program(), model, repeats, say))
    if not found:
        raise RuntimeError("; ".join(f"{name}: {words}" for name, words in about.items()))
    sizes = {
        "parts": ", ".join(part for part in PARTS if part in parts),
        "repeats": f"{repeats} of page, {rounds} of the others, in turn; seed {seed}",
        "versions": ", ".join(f"{name} {version(name)}" for name in LIBRARIES),
        "model": f"{model.name}, device {model.device}, dtype {model.dtype}",
    }
    show("serve", sizes | about, found, as_json)


def _check(parts: Sequence[str], seconds: float, repeats: int) -> None:
    check_repeats(repeats)
    for part in parts:
        if part not in PARTS:
            raise ValueError(f"--only {part}: must be some of {', '.join(PARTS)}")
    if not (math.isfinite(seconds) and seconds >= LEAST_S):
        raise ValueError(f"--seconds {seconds:g}: must be at least {LEAST_S:g}")
