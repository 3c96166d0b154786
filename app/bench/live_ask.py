"""What asking and seeing cost one another.

The first token while frames come in, beside idle; the rate at which they come in while answers are
spoken, beside alone.
"""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from longtake.asking import Asking
from longtake.bench.frame import Row, Say, compared, median, timed
from longtake.bench.live_feed import Feed, Talkative, drawn
from longtake.bench.live_rows import percentile
from longtake.engine import Engine
from longtake.models.decode import Decoding
from longtake.models.embedded.world import Image
from longtake.settings import TakeConfig
from longtake.take import Take

QUESTIONS = (
    "was there a red star?",
    "what color was the circle?",
    "what shape was blue?",
    "was there a green square?",
)
LONG_TOKENS, SHORT_TOKENS = 256, 16  # at most, of an answer without end and of a usual one
ASKERS = 2  # threads that ask back to back
PAUSE_S = 0.1  # at most, between two questions: they come at any moment of a step
STEPS = 20  # that are timed alone, each turn
SHARE = 0.6
CONFIG = TakeConfig()
IDLE, BUSY = "idle", "ingesting"
ALONE, SPEAKING, ASKING = "alone", "while an answer is spoken", f"while {ASKERS} threads ask"

# -------------------------------------------------------------------- first token


def first_token(
    engine: Engine, questions: int, repeats: int, seed: int, say: Say
) -> tuple[list[Row], str]:
    """So many questions to a take that rests and to one that takes in at full speed, in turn.

    Returns:
        Rows, and what was asked in words.
    """
    found: dict[str, list[float]] = {IDLE: [], BUSY: []}
    steps_s: list[float] = []
    with engine.open(config=CONFIG) as take:
        film, rng = drawn(seed, take.pace.fps), random.Random(seed)
        for turn in range(-1, repeats):
            say(f"first token: {'warm-up' if turn < 0 else f'run {turn + 1} of {repeats}'}")
            with Feed(take, film, CONFIG.mailbox_frames):
                busy = _first_tokens(take, questions if turn >= 0 else 1, rng)
            idle = _first_tokens(take, questions if turn >= 0 else 1, rng)
            alone = [_step_s(take, film) for _ in range(STEPS if turn >= 0 else 1)]
            if turn >= 0:
                found[BUSY] += busy
                found[IDLE] += idle
                steps_s += alone
    frames = engine.adapter.recipe.frames_per_step
    return _token_rows(found, steps_s, frames), (
        f"{len(found[IDLE])} each, from the call to the first piece of the answer; a step is "
        f"{frames} frames, from push to seen by a model that does nothing else"
    )


def _token_rows(found: dict[str, list[float]], steps_s: Sequence[float], frames: int) -> list[Row]:
    step = Row(f"one step ({frames} frames), alone", median(steps_s) * 1e3, "ms")
    made: list[Row] = []
    for share in (50, 95):
        idle, busy = (percentile(found[when], share) * 1e3 for when in (IDLE, BUSY))
        reference = Row(f"first token, {IDLE}, p{share}", idle, "ms")
        more = f"  more than idle, p{share}"
        if share == 50:
            more += " [at most one step]"
        made += [
            compared(f"first token, {BUSY}, p{share}", busy, "ms", reference),
            reference,
            compared(more, busy - idle, "ms", step),
        ]
    return [*made, step]


def _first_tokens(take: Take, questions: int, rng: random.Random) -> list[float]:
    found = []
    for question in itertools.islice(itertools.cycle(QUESTIONS), questions):
        time.sleep(rng.uniform(0, PAUSE_S))
        begun = time.perf_counter()
        asking = take.stream(question)
        next(iter(asking), None)
        found.append(time.perf_counter() - begun)
        asking.result()
    return found


def _step_s(take: Take, film: Sequence[Image]) -> float:
    """Seconds of one step, where the worker has nothing else to do."""
    frames, at_s = take.adapter.recipe.frames_per_step, take.stats().newest_s
    times_s = [at_s + (2 + i) / take.pace.fps for i in range(frames)]

    def see() -> None:
        for image, pts_s in zip(film[:frames], times_s, strict=True):
            take.push(image, pts_s)
        take.drain()

    return timed(see)


# -------------------------------------------------------------------- rate


@dataclass(slots=True)
class Spoken:
    """What was answered in a while."""

    answers: int = 0
    tokens: int = 0


def ingest(
    engine: Engine, seconds: float, repeats: int, seed: int, say: Say
) -> tuple[list[Row], str]:
    """The rate at which frames are taken in, alone and while answers are spoken, in turn.

    Returns:
        Rows, and what was said meanwhile in words.
    """
    talkative = Talkative(engine.adapter)
    rates: dict[str, list[float]] = {ALONE: [], SPEAKING: [], ASKING: []}
    spoken = {name: Spoken() for name in rates}
    with Engine(talkative.as_adapter()) as other, other.open(config=CONFIG) as take:
        film = drawn(seed, take.pace.fps)
        for turn in range(repeats):
            for name in rates:
                say(f"ingest {name}: run {turn + 1} of {repeats}")
                talkative.is_endless = name == SPEAKING
                askers = {ALONE: 0, SPEAKING: 1, ASKING: ASKERS}[name]
                tokens = LONG_TOKENS if talkative.is_endless else SHORT_TOKENS
                with (
                    Feed(take, film, CONFIG.mailbox_frames),
                    asked(take, askers, tokens, spoken[name]),
                ):
                    rates[name].append(rate(take, seconds))
    return _rate_rows(rates, spoken, seconds * repeats), (
        f"answers of {LONG_TOKENS} tokens one after the other, for which the model's end tokens "
        f"are taken from it (its own answers have a word or two); and short answers to {ASKERS} "
        f"threads that ask again at once, {SHORT_TOKENS} tokens at most"
    )


def _rate_rows(
    rates: dict[str, list[float]], spoken: dict[str, Spoken], seconds: float
) -> list[Row]:
    alone = Row(f"ingest {ALONE}", median(rates[ALONE]), "frames/s")
    target = f"ingest {SPEAKING} [at least {SHARE:g} of alone]"
    return [
        alone,
        compared(target, median(rates[SPEAKING]), "frames/s", alone),
        Row("  spoken meanwhile", spoken[SPEAKING].tokens / seconds, "tokens/s"),
        compared(f"ingest {ASKING}", median(rates[ASKING]), "frames/s", alone),
        Row("  answered meanwhile", spoken[ASKING].answers / seconds, "answers/s"),
    ]


def rate(take: Take, seconds: float) -> float:
    """Frames a second that the model has seen."""
    before, begun = take.stats().frames, time.monotonic()
    time.sleep(seconds)
    return (take.stats().frames - before) / (time.monotonic() - begun)


@contextmanager
def asked(take: Take, askers: int, tokens: int, spoken: Spoken) -> Iterator[None]:
    """Threads that ask without a pause, until the block ends; their last answers are cut short."""
    over, lock = threading.Event(), threading.Lock()
    open_ones: dict[int, Asking] = {}
    failures: list[BaseException] = []

    def ask(place: int) -> None:
        try:
            for question in itertools.cycle(QUESTIONS):
                asking = take.submit(question, decoding=Decoding(max_tokens=tokens))
                with lock:
                    open_ones[place] = asking
                if over.is_set():
                    asking.cancel()
                answer = asking.result()
                with lock:
                    spoken.answers += not over.is_set()
                    spoken.tokens += answer.timings.tokens
                if over.is_set():
                    return
        except BaseException as error:  # raised where the block ends
            failures.append(error)

    threads = [
        threading.Thread(target=ask, args=(i,), name=f"longtake-bench-ask-{i}", daemon=True)
        for i in range(askers)
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        with lock:
            for asking in open_ones.values():
                asking.cancel()
        for thread in threads:
            thread.join()
    if failures:
        raise failures[0]
