"""How soon a question can be typed: our page beside the least page that Gradio can show.

From the navigation's start to the first moment at which the box is drawn, enabled, and nothing lies
over it; each visit with an empty cache.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from longtake.bench.frame import Row, Say, compared, interleave, median
from longtake.bench.model import Model
from longtake.bench.serve_browser import browser
from longtake.bench.serve_child import Child, child, taking

if TYPE_CHECKING:
    from playwright.sync_api import Browser

OURS, EMPTY = "longtake's page", "empty Gradio page"
MOST_SHARE = 1.5
WORDS = "Who came in?"
WAIT_MS = 60_000.0
READY = """
  window.benchReady = null;
  const look = () => {
    const box = document.querySelector('SELECTOR');
    const area = box?.getBoundingClientRect();
    const isOn = area?.width > 0 && !box.disabled && !box.readOnly;
    const top = isOn && document.elementFromPoint(
      area.x + area.width / 2, area.y + area.height / 2);
    if (top && (top === box || box.contains(top))) window.benchReady = performance.now();
    else requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
"""


def rows(program: str, model: Model, repeats: int, say: Say) -> tuple[list[Row], str]:
    """Open both pages in turn; a first visit of each is not counted.

    Returns:
        Rows, and what was compared in words.
    """
    with (
        child("take", **taking(model)) as ours,
        child("empty") as empty,
        browser(program) as running,
    ):
        measured = interleave(
            {
                OURS: lambda: visit(running, ours, "#lt-question textarea"),
                EMPTY: lambda: visit(running, empty, "#box textarea, #box input"),
            },
            repeats,
            say,
        )
        version = running.version
    theirs = Row(f"until a question can be typed, {EMPTY}", median(measured[EMPTY]), "s")
    name = f"until a question can be typed, {OURS} [at most {MOST_SHARE:g} x]"
    return [compared(name, median(measured[OURS]), "s", theirs), theirs], (
        f"from the navigation's start, in Chromium {version} without a window, 1280 x 800, empty "
        f"cache; gr.Blocks with one Textbox, mounted and served in the same way; {repeats} each"
    )


def visit(running: Browser, server: Child, selector: str) -> float:
    """Seconds until the box could be typed into; then something is."""
    with running.new_context(viewport={"width": 1280, "height": 800}) as context:
        page = context.new_page()
        page.add_init_script(READY.replace("SELECTOR", selector))
        page.goto(server.url, wait_until="commit")
        page.wait_for_function("() => window.benchReady !== null", timeout=WAIT_MS)
        ready_ms = float(page.evaluate("() => window.benchReady"))
        page.locator(selector).first.press_sequentially(WORDS)
        typed = page.locator(selector).first.input_value()
    if typed != WORDS:
        raise RuntimeError(f"{server.url}: typed {WORDS!r}, the box holds {typed!r}")
    return ready_ms / 1e3
