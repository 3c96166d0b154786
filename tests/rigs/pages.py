"""What a visitor does on the live page, and what he reads there; by the words that he sees.

What it should be is the tests' business.
"""

from __future__ import annotations

from typing import Any

import httpx
from playwright.sync_api import Locator, Page, expect

from longtake.server.takes.hosted import Hosted
from tests.rigs.browser import WAIT_MS
from tests.rigs.hosting import decode
from tests.rigs.watching import until

SOON_S = WAIT_MS / 1000
LEAVING = "signal is aborted without reason"  # said by Gradio's own script when a page is left
COUNT_COLOUR = """(canvas, name) => {
  const probe = document.createElement('canvas').getContext('2d');
  probe.fillStyle = getComputedStyle(canvas).getPropertyValue(name).trim();
  probe.fillRect(0, 0, 1, 1);
  const wanted = probe.getImageData(0, 0, 1, 1).data;
  const seen = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  let count = 0;
  for (let i = 0; i < seen.length; i += 4) {
    if ([0, 1, 2].every((k) => Math.abs(seen[i + k] - wanted[k]) < 12)) count += 1;
  }
  return count;
}"""


def button(page: Page | Locator, name: str) -> Locator:
    """The one that is seen first, of this name."""
    return page.get_by_role("button", name=name, exact=True).first


def await_page(page: Page) -> None:
    """The scripts stand, and the server has told how the take is."""
    page.locator("#lt-question textarea").wait_for()
    page.locator("#lt-live .lt-live").wait_for()
    page.locator("#lt-timeline canvas").wait_for()


def start_camera(page: Page, hosted: Hosted) -> None:
    """Until its frames have reached the model."""
    before = hosted.take.stats().frames
    button(page.locator("#lt-sources"), "Start camera").click()
    button(page.locator("#lt-sources"), "Stop camera").wait_for()
    until(lambda: hosted.take.stats().frames > before + 1, SOON_S, lambda: f"{hosted.state()}")


def ask(page: Page, question: str) -> Locator:
    """Type it, send it, and wait for the end of its answer; that answer."""
    count = page.locator("#lt-chat .lt-below").count()
    box = page.locator("#lt-question textarea")
    box.fill(question)
    box.press("Enter")
    expect(page.locator("#lt-chat .lt-below")).to_have_count(count + 1, timeout=WAIT_MS)
    return last_answer(page)


def last_answer(page: Page) -> Locator:
    return page.locator("#lt-chat .bot-row").last


def chat_words(page: Page) -> list[str]:
    """All that was asked and answered, as it is read."""
    turns = page.locator("#lt-chat .message-row")
    return [" ".join(words.split()) for words in turns.all_inner_texts()]


def open_tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name).click()


def timeline_legend(page: Page) -> list[str]:
    """What the timeline says that it shows."""
    return page.locator("#lt-timeline .lt-legend li").all_inner_texts()


def timeline_pixels(page: Page, colour: str) -> int:
    """How much of the timeline is drawn in a colour of the style sheet, such as ``ram``."""
    count: int = page.locator("#lt-timeline canvas").evaluate(COUNT_COLOUR, f"--lt-{colour}")
    return count


def drag_timeline(page: Page, start: float, end: float) -> None:
    """From one share of its width to another."""
    box = page.locator("#lt-timeline .lt-surface").bounding_box()
    assert box is not None
    y = box["y"] + 30
    page.mouse.move(box["x"] + start * box["width"], y)
    page.mouse.down()
    page.mouse.move(box["x"] + (start + end) / 2 * box["width"], y, steps=3)
    page.mouse.move(box["x"] + end * box["width"], y, steps=3)
    page.mouse.up()


def span(page: Page) -> Any:
    """The selected one, ``[start_s, end_s]``; None without one."""
    return page.evaluate("() => window.longtake.span()")


def picture_of(page: Page, image: Locator) -> Any:
    """RGB of what an ``<img>`` of the page shows; asked once more, with the page's address."""
    image.wait_for()
    image.scroll_into_view_if_needed()
    expect(image).to_have_js_property("complete", True)
    assert image.evaluate("(img) => img.naturalWidth") > 0, image.get_attribute("src")
    source = image.evaluate("(img) => img.src")
    return decode(httpx.get(source, timeout=SOON_S, trust_env=False).content)


def toast(page: Page, words: str) -> Locator:
    """Of the page's scripts or of its forms, with these words."""
    return page.locator("#lt-toasts .lt-toast, .toast-body").filter(has_text=words).first
