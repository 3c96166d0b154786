"""The page for whoever comes: on a phone, without a mouse, in the dark, read aloud."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from longtake.models.embedded import world
from tests.rigs import browser, pages
from tests.rigs.access import faint, nameless
from tests.rigs.browser import PHONE, Visitors, browsing
from tests.rigs.fake_webcam import write_fake_webcam
from tests.rigs.site import Site, site

pytestmark = pytest.mark.skipif(bool(browser.missing()), reason=browser.missing())

LEAST_TOUCH = 43.5  # pixels; 44, but for rounding
MOST_KEYS = 80
TABS = ("Search", "Alerts", "Memory", "Settings")

FOCUSED = """() => {
  const e = document.activeElement;
  const style = getComputedStyle(e);
  return { words: (e.getAttribute('aria-label') || e.innerText || e.placeholder || '').trim(),
    href: e.getAttribute('href') ?? '', tag: e.tagName, id: e.closest('[id^=lt-]')?.id ?? '',
    isShown: style.outlineStyle !== 'none' || style.boxShadow !== 'none' };
}"""


@pytest.fixture(scope="module")
def served() -> Iterator[Site]:
    with site() as made:
        made.seen("seen", 30)
        yield made


@pytest.fixture(scope="module")
def visitors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visitors]:
    camera = tmp_path_factory.mktemp("camera") / "camera.mjpeg"
    write_fake_webcam(world.long_film(random.Random(907), 20), camera)
    with browsing(camera) as made:
        yield made


def tab_to(page: Page, words: str, place: str) -> dict[str, Any]:
    """Press the tab key until what has the focus says so, within a place; what it is."""
    for _ in range(MOST_KEYS):
        page.keyboard.press("Tab")
        here: dict[str, Any] = page.evaluate(FOCUSED)
        if words in here["words"] + here["href"] and here["id"] == place:
            assert here["isShown"], f"nobody sees that {here} has the focus"
            return here
    raise AssertionError(f"{words!r} in {place} was not reached by {MOST_KEYS} presses of Tab")


def test_on_a_phone_nothing_is_cut_off_and_all_is_reached(
    served: Site, visitors: Visitors, tmp_path: Path
) -> None:
    phone = {"viewport": PHONE, "has_touch": True, "is_mobile": True}
    with visitors.visit(served.page("seen"), **phone) as visitor:
        page = visitor.page
        pages.await_page(page)
        expect(page.locator("#lt-timeline .lt-legend")).to_contain_text("RAM")
        visitor.shoot("phone_top", tmp_path)
        places = ["#lt-live", "#lt-timeline", "#lt-question", "#lt-tabs", "#lt-sources"]
        top = "(element) => element.getBoundingClientRect().top"
        tops = [page.locator(each).evaluate(top) for each in places]
        assert tops == sorted(tops)
        for name in TABS:
            page.get_by_role("tab", name=name).tap()
            assert page.evaluate("() => document.documentElement.scrollWidth") <= PHONE["width"]
            visitor.page.locator("#lt-tabs").scroll_into_view_if_needed()
            visitor.shoot(f"phone_{name.lower()}", tmp_path)
        answer = pages.ask(page, "What object was red?")
        expect(answer).to_contain_text("triangle")
        assert page.evaluate("() => document.documentElement.scrollWidth") <= PHONE["width"]
        visitor.shoot("phone_answer", tmp_path)
        answer.locator(".lt-evidence a").first.tap()
        expect(page.locator("#lt-moment")).to_be_visible()
        visitor.shoot("phone_moment", tmp_path)
        page.locator("#lt-moment").get_by_role("button", name="Close").tap()

        surface = page.locator("#lt-timeline .lt-surface")
        surface.scroll_into_view_if_needed()
        surface.tap(position={"x": 150, "y": 30})
        assert pages.span(page) is not None
        pages.button(page.locator("#lt-sources"), "Start camera").tap()
        expect(page.locator("#lt-live .lt-pill")).to_have_text("LIVE")
        visitor.shoot("phone_live", tmp_path)
        small = page.locator("#lt-page button:visible, #lt-page a:visible").evaluate_all(
            """(all, least) => all.filter((e) => !e.closest('.visually-hidden, [tabindex="-1"]'))
              .map((e) => [e, e.getBoundingClientRect()])
              .filter(([, box]) => Math.min(box.width, box.height) < least)
              .map(([e]) => e.outerHTML.slice(0, 160))""",
            LEAST_TOUCH,
        )
        assert small == []
        visitor.assert_quiet()


def test_with_keys_alone_the_camera_is_started_a_question_asked_and_its_evidence_opened(
    served: Site, visitors: Visitors
) -> None:
    hosted = served.seen("by-keys", 30)
    with visitors.visit(served.page("by-keys")) as visitor:
        page = visitor.page
        pages.await_page(page)
        tab_to(page, "Start camera", "lt-sources")
        page.keyboard.press("Enter")
        expect(page.locator("#lt-live .lt-pill")).to_have_text("LIVE")
        assert [each.state for each in hosted.sources() if each.state == "live"]
        page.keyboard.press("/")
        expect(page.locator("#lt-question textarea")).to_be_focused()
        page.keyboard.type("What object was red?")
        page.keyboard.press("Enter")
        expect(page.locator("#lt-chat .bot-row")).to_contain_text("triangle")
        expect(page.locator("#lt-chat .lt-evidence a")).not_to_have_count(0)
        page.locator("#lt-question textarea").focus()
        for _ in range(MOST_KEYS):
            page.keyboard.press("Shift+Tab")
            if page.evaluate(FOCUSED)["href"].startswith("#moment="):
                break
        page.keyboard.press("Enter")
        expect(page.locator("#lt-moment")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.locator("#lt-moment")).to_be_hidden()
        assert page.evaluate(FOCUSED)["href"].startswith("#moment=")
        visitor.assert_quiet()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_has_a_name_and_stands_out_from_its_ground(
    served: Site, visitors: Visitors, tmp_path: Path, scheme: str
) -> None:
    with visitors.visit(served.page("seen"), color_scheme=scheme) as visitor:
        page = visitor.page
        pages.await_page(page)
        pages.ask(page, "What object was red?")
        page.locator("#lt-timeline .lt-surface").click(position={"x": 200, "y": 30})
        page.get_by_role("button", name="Add a camera or video").click()
        for name in TABS:
            pages.open_tab(page, name)
            expect(page.get_by_role("tabpanel").filter(visible=True)).not_to_be_empty()
            visitor.shoot(f"{scheme}_{name.lower()}", tmp_path)
            assert nameless(page) == []
            assert faint(page) == {}
        page.locator("#lt-chat .lt-evidence a").first.click()
        visitor.shoot(f"{scheme}_moment", tmp_path)
        assert page.locator("img:not([alt])").count() == 0
        assert page.evaluate("() => document.documentElement.lang") == "en"
        visitor.assert_quiet()
