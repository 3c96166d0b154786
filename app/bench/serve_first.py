"""How much later the first token comes over HTTP than from the engine itself.

The same question, in turn: as a stream over HTTP, from another process, and by `Take.stream` in the
server's own.
"""

from __future__ import annotations

import time

import httpx

from longtake.bench.frame import Row, Say, compared, median
from longtake.bench.live_rows import bounded, percentile
from longtake.bench.model import Model
from longtake.bench.serve_child import Child, child, taking

FILM_S = 40.0
QUESTION = "What colour was the ring?"
MOST_MS = 10.0
WARM = 3
WAIT_S = 120.0


def rows(model: Model, questions: int, say: Say) -> tuple[list[Row], str]:
    """Ask so many times each way.

    Returns:
        Rows, and what was asked in words.
    """
    over_http, directly = [], []
    with (
        child("take", **taking(model, FILM_S)) as server,
        httpx.Client(base_url=server.url, timeout=WAIT_S, trust_env=False) as http,
    ):
        say(f"first: {questions} questions each way, in turn")
        for turn in range(-WARM, questions):
            ways = [streamed_s(http), direct_s(server)]
            if turn >= 0:
                over_http.append(ways[0] * 1e3)
                directly.append(ways[1] * 1e3)
    return _rows(over_http, directly), (
        f'"{QUESTION}" to a take that has seen {FILM_S:g} s and rests; POST /v1/takes/live/ask '
        "with stream, from another process over a connection that is open, to the first event "
        f"`piece`; take.stream in the server's process to its first piece; {questions} each"
    )


def streamed_s(http: httpx.Client) -> float:
    """To the first piece over HTTP; the rest is read, too."""
    first_s: float | None = None
    begun_s = time.perf_counter()
    body = {"question": QUESTION, "stream": True}
    with http.stream("POST", "/v1/takes/live/ask", json=body) as reply:
        if reply.status_code != 200:
            raise RuntimeError(f"first: {reply.status_code} {reply.read().decode()[:200]}")
        for line in reply.iter_lines():
            if first_s is None and line == "event: piece":
                first_s = time.perf_counter() - begun_s
    if first_s is None:
        raise RuntimeError("first: the answer had no piece")
    return first_s


def direct_s(server: Child) -> float:
    """To the first piece without HTTP."""
    return float(server.ask("first_piece", question=QUESTION))


def _rows(over_http: list[float], directly: list[float]) -> list[Row]:
    engine = Row("first token, take.stream, p50", median(directly), "ms")
    share = bounded("server's own share of the first token", "at most", MOST_MS, "ms")
    late = Row("first token, take.stream, p95", percentile(directly, 95), "ms")
    return [
        Row(share, median(over_http) - median(directly), "ms"),
        compared("first token, HTTP, p50", median(over_http), "ms", engine),
        engine,
        compared("first token, HTTP, p95", percentile(over_http, 95), "ms", late),
        late,
    ]
