"""A visitor's walk, in a real browser: the camera is started, a minute passes, and what was seen
at its beginning is asked about.

In real time, with the model that ships and its own settings: a frame a second, a window of eight.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from playwright.sync_api import expect

from longtake.models.embedded import world
from tests.rigs import browser, pages
from tests.rigs.browser import browsing
from tests.rigs.fake_webcam import write_fake_webcam
from tests.rigs.site import Site, site
from tests.rigs.watching import until

pytestmark = pytest.mark.skipif(bool(browser.missing()), reason=browser.missing())

SECONDS = 90  # of film, before it begins anew
SEED = 907
QUESTION, ANSWER = "What object was purple?", "heart"
SHOWN_S = (0.0, 7.0)  # when the film has it
ALERT = "Is there a blue cross?"
ALERT_S = (33.0, 43.0)
LATER_S = 62.0  # from when it went to when it is asked about
WAITED_S = 90.0


@pytest.fixture(scope="module")
def film() -> world.Film:
    return world.long_film(random.Random(SEED), SECONDS)


@pytest.fixture(scope="module")
def served() -> Iterator[Site]:
    with site() as made:
        yield made


def test_what_was_seen_a_minute_ago_is_answered_and_shown(
    film: world.Film, served: Site, tmp_path: Path
) -> None:
    write_fake_webcam(film, tmp_path / "camera.mjpeg")
    live = served.take()
    with (
        browsing(tmp_path / "camera.mjpeg") as visitors,
        visitors.visit(served.url) as visitor,
    ):
        page = visitor.page
        pages.await_page(page)
        visitor.shoot("empty", tmp_path)
        pages.start_camera(page, live)
        began_s = live.take.frames(0.0, 1e9)[0].start_s
        expect(page.locator("#lt-live .lt-pill")).to_have_text("LIVE")
        expect(page.locator("#lt-live .lt-rec")).to_be_visible()

        pages.open_tab(page, "Settings")
        pages.button(page, "Say what is seen").click()
        expect(page.locator("#lt-live .lt-caption")).not_to_be_empty()

        pages.open_tab(page, "Alerts")
        page.locator("#lt-condition textarea").fill(ALERT)
        page.locator("#lt-condition textarea").press("Enter")
        expect(page.locator("#lt-alerts .lt-alert")).to_contain_text("watching")
        assert live.take.events(kind="alert") == []
        visitor.shoot("alert_waits", tmp_path)

        fired = page.locator("#lt-alerts .lt-fired li")
        expect(fired).to_have_count(1, timeout=1000 * ALERT_S[1])
        expect(pages.toast(page, f"▲ {ALERT}")).to_be_visible()
        visitor.shoot("alert_fired", tmp_path)
        assert closest_s(film, pages.picture_of(page, fired.locator("img"))) in Span(*ALERT_S)

        until(lambda: live.take.now_s - began_s > SHOWN_S[1] + LATER_S, WAITED_S, "a minute later")
        answer = pages.ask(page, QUESTION)
        expect(answer).to_contain_text(ANSWER)
        best = answer.locator(".lt-evidence li").first
        assert closest_s(film, pages.picture_of(page, best.locator("img"))) in Span(*SHOWN_S)

        held = {run["place"] for run in live.timeline()["held"]}
        assert held == {"window", "ram"}
        expect(page.locator("#lt-timeline .lt-legend")).to_contain_text("questions")
        legend = pages.timeline_legend(page)
        for word in ("window", "RAM", "scenes", "captions", "alerts", "questions"):
            assert word in legend
        in_ram, in_window = (pages.timeline_pixels(page, each) for each in ("ram", "window"))
        assert in_ram > 4 * in_window > 0  # a minute to eight seconds
        visitor.shoot("answered", tmp_path)

        best.locator("a").click()
        dialog = page.locator("#lt-moment")
        shown = pages.picture_of(page, dialog.locator("figure img"))
        assert closest_s(film, shown) in Span(*SHOWN_S)
        visitor.shoot("moment", tmp_path)
        page.keyboard.press("Escape")
        expect(dialog).to_be_hidden()
        visitor.assert_quiet()


class Span:
    """Seconds of the film; one more on either side, for what a chunk holds."""

    def __init__(self, start_s: float, end_s: float) -> None:
        self.start_s, self.end_s = start_s - 1.0, end_s + 1.0

    def __contains__(self, at_s: float) -> bool:
        return self.start_s <= at_s < self.end_s

    def __repr__(self) -> str:
        return f"{self.start_s:g} to {self.end_s:g} s"


def closest_s(film: world.Film, picture: Any) -> float:
    """The second of the film that a picture of it shows: the one that is drawn most alike."""
    small = cv2.resize(picture, (48, 48), interpolation=cv2.INTER_AREA).astype(np.float32)

    def unlike(at_s: int) -> float:
        drawn = cv2.resize(film.draw(float(at_s), 1), (48, 48), interpolation=cv2.INTER_AREA)
        return float(np.abs(drawn - small).mean())

    return float(min(range(SECONDS), key=unlike))
