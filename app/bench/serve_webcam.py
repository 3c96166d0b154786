"""How old a browser's camera picture is when Python has it: our page beside `gr.Image.stream`.

A picture's age runs from the moment at which the page itself shows it to the moment at which Python
holds it decoded.  Ours is the whole page with all that it does; the peer is a page with nothing
but the camera, once with `stream_every` at the camera's rate and once with its default.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from longtake.bench.frame import Row, Say, compared
from longtake.bench.live_rows import percentile
from longtake.bench.model import Model
from longtake.bench.serve_browser import FPS, HEIGHT, WATCH, WIDTH, bars, browser, film
from longtake.bench.serve_child import Child, child, taking

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

OURS, FASTEST, DEFAULT = "longtake", f"gr.Image every 1/{FPS} s", "gr.Image by default"
MOST_SHARE = 0.5  # of the peer's age
START_MS = 60_000.0
LOOK_S = 0.01  # between two looks for the newest picture

Moment = tuple[float, int]  # seconds since the epoch, number in the picture


@dataclass(slots=True)
class Came:
    """What reached Python over one way."""

    age_ms: list[float] = field(default_factory=list)  # when they came
    newest_ms: list[float] = field(default_factory=list)  # of the newest, whenever it is looked at
    fps: list[float] = field(default_factory=list)


def rows(
    program: str, model: Model, seconds: float, repeats: int, say: Say
) -> tuple[list[Row], str]:
    """Open each page in turn and film for so long, so many times.

    Returns:
        Rows, and what was compared in words.

    Raises:
        RuntimeError: if no picture arrives.
    """
    found = {name: Came() for name in (OURS, FASTEST, DEFAULT)}
    with TemporaryDirectory() as folder:
        camera = Path(folder) / "camera.y4m"
        film(camera)
        with (
            child("take", **taking(model)) as ours,
            child("stream", every_s=1 / FPS) as fastest,
            child("stream", every_s=None) as default,
            browser(program, camera) as running,
        ):
            ways: dict[str, tuple[Child, Callable[[Page], str]]] = {
                OURS: (ours, start_ours),
                FASTEST: (fastest, start_gradio),
                DEFAULT: (default, start_gradio),
            }
            for turn in range(repeats):
                for name, (server, start) in ways.items():
                    say(f"webcam, {name}: run {turn + 1} of {repeats}")
                    shown, came = filmed(running, server, start, seconds)
                    add(found[name], shown, came, name)
            version = running.version
    return _rows(found), (
        f"{WIDTH} x {HEIGHT} at {FPS} frames/s in Chromium {version} without a window; our whole "
        "page (JPEG 0.8 over its WebSocket), and a page with gr.Image alone (type numpy, not "
        "mirrored, time_limit None); from shown in the page to decoded in Python; "
        f"{repeats} times {seconds:g} s each, in turn"
    )


def filmed(
    running: Browser, server: Child, start: Callable[[Page], str], seconds: float
) -> tuple[list[Moment], list[Moment]]:
    """One visit: pictures as the page showed them, and as they came to Python."""
    with running.new_context(viewport={"width": 1100, "height": 800}) as context:
        page = context.new_page()
        page.goto(server.url)
        selector = start(page)
        page.wait_for_function("s => document.querySelector(s)?.videoWidth > 0", arg=selector)
        page.evaluate(WATCH, [selector, *bars()])
        _await_first(page, server)
        page.wait_for_timeout(seconds * 1e3)
        shown: list[Any] = page.evaluate("() => window.benchShown")
        came = server.ask("frames")
    return [(at_s, number) for at_s, number in shown], [(at_s, number) for at_s, number in came]


def start_ours(page: Page) -> str:
    """The camera of our page.  Returns where it is shown."""
    page.click('#lt-sources button:has-text("Start camera")', timeout=START_MS)
    return "#lt-live video"


def start_gradio(page: Page) -> str:
    """That of `gr.Image`."""
    page.click('#cam button:has-text("Click to Access Webcam")', timeout=START_MS)
    page.wait_for_function("() => document.querySelector('#cam video')?.videoWidth > 0")
    page.click('#cam button[aria-label="capture photo"]', timeout=START_MS)
    return "#cam video"


def _await_first(page: Page, server: Child) -> None:
    """Returns when pictures arrive; those until then are not counted."""
    end_s = time.monotonic() + START_MS / 1e3
    while not server.ask("frames"):
        if time.monotonic() > end_s:
            raise RuntimeError("webcam: no picture reached Python; does the browser give a camera?")
        page.wait_for_timeout(20)


# ------------------------------------------------------------------------ numbers


def add(found: Came, shown: Sequence[Moment], came: Sequence[Moment], name: str) -> None:
    """Match what came with what was shown.

    Numbers begin anew when the camera's film does: it is the last showing before its arrival.

    Raises:
        RuntimeError: if none of them matches.
    """
    showings: defaultdict[int, list[float]] = defaultdict(list)
    for at_s, number in shown:
        showings[number].append(at_s)
    taken: list[tuple[float, float]] = []  # when it came, when it was shown
    for at_s, number in came:
        place = bisect_right(showings[number], at_s)
        if place:
            taken.append((at_s, showings[number][place - 1]))
    if len(taken) < 2:
        raise RuntimeError(f"webcam, {name}: {len(taken)} pictures of {len(came)} were recognised")
    found.age_ms += [(at_s - shown_s) * 1e3 for at_s, shown_s in taken]
    found.fps.append((len(taken) - 1) / (taken[-1][0] - taken[0][0]))
    found.newest_ms += newest(taken)


def newest(taken: Sequence[tuple[float, float]]) -> list[float]:
    """The age in ms of the newest picture in Python, looked at again and again."""
    ages: list[float] = []
    for (at_s, shown_s), (next_s, _) in pairwise(taken):
        looks = max(1, round((next_s - at_s) / LOOK_S))
        ages += [(at_s + look * LOOK_S - shown_s) * 1e3 for look in range(looks)]
    return ages


def _rows(found: dict[str, Came]) -> list[Row]:
    when = {name: came.age_ms for name, came in found.items()}
    newest_ms = {name: came.newest_ms for name, came in found.items()}
    rate = {name: sum(came.fps) / len(came.fps) for name, came in found.items()}
    made: list[Row] = []
    for share in (50, 95):
        ages = {name: percentile(each, share) for name, each in when.items()}
        target = f" [at most {MOST_SHARE:g} x]"
        made += _beside(f"picture's age when it comes, p{share}", ages, "ms", target)
    for share in (50, 95):
        ages = {name: percentile(each, share) for name, each in newest_ms.items()}
        made += _beside(f"newest picture's age at any time, p{share}", ages, "ms")
    return made + _beside("pictures that come", rate, "frames/s")


def _beside(what: str, values: dict[str, float], unit: str, target: str = "") -> list[Row]:
    """A row for each way; what the others are compared with is the fastest of Gradio's."""
    theirs = Row(f"{what}, {FASTEST}", values[FASTEST], unit)
    return [
        compared(f"{what}, {OURS}{target}", values[OURS], unit, theirs),
        theirs,
        compared(f"{what}, {DEFAULT}", values[DEFAULT], unit, theirs),
    ]
