"""Many questions to one take at the same time: whether all are answered, in order, and what stays.

All connections are open before the first question is put, and one follows the other by a moment, so
that their order is known; whole answers, over HTTP.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

import httpx

from longtake.bench.frame import Row, Say, compared, median
from longtake.bench.live_rows import bounded, percentile
from longtake.bench.model import Model
from longtake.bench.serve_child import Child, child, taking

AT_ONCE = 50
FILM_S = 40.0
ALONE = 10  # questions one after the other, each time
QUESTION = "What colour was the ring?"
APART_S = 0.01  # less than an answer takes; sent at once a client mixes them up itself
WAIT_S = 600.0
MIB = 1 << 20


@dataclass(slots=True)
class Crowd:
    """What many questions at the same time found."""

    waits_s: list[float] = field(default_factory=list)  # in the order of sending, all rounds
    worst_s: list[float] = field(default_factory=list)  # of each round
    answered: list[int] = field(default_factory=list)
    moved: list[int] = field(default_factory=list)  # places from the own one, at most
    spread: list[float] = field(default_factory=list)  # the whole round beside one alone
    alone_s: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def rows(model: Model, repeats: int, say: Say) -> tuple[list[Row], str]:
    """Ask one after the other, then many at once, so many times.

    Returns:
        Rows, and what was asked in words.
    """
    found = Crowd()
    with child("take", **taking(model, FILM_S)) as server:
        before: int | None = None
        for turn in range(-1, repeats):
            say(f"questions: {'warm-up' if turn < 0 else f'run {turn + 1} of {repeats}'}")
            asyncio.run(round_of(server, found if turn >= 0 else Crowd()))
            if turn < 0:
                before = server.ask("resident_bytes")
        after: int | None = server.ask("resident_bytes")
    for failure in sorted(set(found.failures)):
        say(f"questions: {failure}")
    return _rows(found, repeats, before, after), (
        f"{AT_ONCE} at the same time ({APART_S * 1e3:g} ms apart) on a take that has seen "
        f'{FILM_S:g} s, POST /v1/takes/live/ask "{QUESTION}", {repeats} times; {ALONE} one '
        "after the other before each; memory before and after all of them, a first round before"
    )


async def round_of(server: Child, found: Crowd) -> None:
    """Some alone, and all at once."""
    limits = httpx.Limits(max_connections=AT_ONCE, max_keepalive_connections=AT_ONCE)
    async with httpx.AsyncClient(
        base_url=server.url, limits=limits, timeout=WAIT_S, trust_env=False
    ) as http:
        await asyncio.gather(*(http.get("/healthz") for _ in range(AT_ONCE)))
        alone = [(await _ask(http))[0] for _ in range(ALONE)]
        said = await asyncio.gather(*(_ask(http, place * APART_S) for place in range(AT_ONCE)))
    found.alone_s += alone
    waits = [wait_s for wait_s, _, failure in said if not failure]
    found.failures += [failure for _, _, failure in said if failure]
    found.answered.append(len(waits))
    if not waits:
        raise RuntimeError(f"questions: none was answered; {said[0][2]}")
    found.waits_s += waits
    found.worst_s.append(max(waits))
    found.spread.append(max(waits) / (AT_ONCE * median(alone)))
    ended = [ended_s for _, ended_s, failure in said if not failure]
    found.moved.append(farthest(ended))


async def _ask(http: httpx.AsyncClient, after_s: float = 0.0) -> tuple[float, float, str]:
    """Seconds that it took, when it was answered, and why it was not."""
    await asyncio.sleep(after_s)
    begun_s = time.perf_counter()
    try:
        reply = await http.post("/v1/takes/live/ask", json={"question": QUESTION})
    except httpx.HTTPError as error:
        return 0.0, 0.0, f"{type(error).__name__} {error}"
    ended_s = time.perf_counter()
    if reply.status_code != 200 or "text" not in reply.json():
        return 0.0, 0.0, f"{reply.status_code} {reply.text[:200]}"
    return ended_s - begun_s, ended_s, ""


def farthest(ended_s: list[float]) -> int:
    """How many places the one that moved most was answered before or after its turn."""
    order = sorted(range(len(ended_s)), key=lambda place: ended_s[place])
    return max((abs(turn - place) for turn, place in enumerate(order)), default=0)


def _rows(found: Crowd, repeats: int, before: int | None, after: int | None) -> list[Row]:
    alone = Row("one question alone, p50", percentile(found.alone_s, 50), "s")
    slowest = bounded(f"slowest of {AT_ONCE}", "at most", AT_ONCE, "x one alone")
    made = [
        Row(
            bounded(f"answered of {AT_ONCE}, fewest", "at least", AT_ONCE, "questions"),
            float(min(found.answered)),
            "questions",
        ),
        alone,
        Row("one question alone, p95", percentile(found.alone_s, 95), "s"),
        compared(f"of {AT_ONCE} at once, p50", percentile(found.waits_s, 50), "s", alone),
        compared(f"of {AT_ONCE} at once, p95", percentile(found.waits_s, 95), "s", alone),
        compared(slowest, max(found.worst_s), "s", alone),
        Row("  that of its round, of its share of time", max(found.spread), "x"),
        Row("  farthest from its turn", float(max(found.moved)), "places"),
    ]
    if before is not None and after is not None:
        held = Row("memory of the server before", before / MIB, "MiB")
        asked = repeats * (AT_ONCE + ALONE)
        made += [held, compared(f"memory after {asked} questions", after / MIB, "MiB", held)]
    return made
