"""Words are words, wherever they come from, and nothing that a page does leaves its server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.rigs import browser, pages
from tests.rigs.browser import Visitors, browsing
from tests.rigs.site import Site, site

pytestmark = pytest.mark.skipif(bool(browser.missing()), reason=browser.missing())

HARM = '<img src=x onerror="window.harmed=1"><script>window.harmed=1</script>'
MARKDOWN = "![a](http://evil.example/a.png) [b](javascript:window.harmed=1) **c**"


@pytest.fixture(scope="module")
def served() -> Iterator[Site]:
    with site() as made:
        yield made


@pytest.fixture(scope="module")
def visitors() -> Iterator[Visitors]:
    with browsing() as made:
        yield made


def test_words_that_look_like_html_or_markdown_are_shown_as_words(
    served: Site, visitors: Visitors, tmp_path: Path
) -> None:
    hosted = served.seen("words", 12)
    hosted.take.log("alert", f"name {HARM}", f"text {HARM}", start_s=2.0, end_s=4.0)
    with visitors.visit(served.page("words")) as visitor:
        page = visitor.page
        pages.await_page(page)
        pages.ask(page, f"{HARM} {MARKDOWN}")
        said = page.locator("#lt-chat .user-row")
        expect(said).to_contain_text(HARM)
        expect(said).to_contain_text("![a](http://evil.example/a.png)")
        expect(said.locator("img, a, script, strong")).to_have_count(0)

        page.locator("#lt-search textarea, #lt-search input").fill(HARM)
        page.locator("#lt-search textarea, #lt-search input").press("Enter")
        expect(page.locator("#lt-found .lt-empty, #lt-found .lt-hits")).to_be_visible()

        pages.open_tab(page, "Alerts")
        expect(page.locator("#lt-alerts .lt-fired")).to_contain_text(f"name {HARM}")
        page.locator("#lt-condition textarea").fill(HARM)
        page.locator("#lt-condition textarea").press("Enter")
        expect(page.locator("#lt-alerts .lt-alert b")).to_have_text(HARM)

        page.get_by_role("button", name="Add a camera or video").click()
        page.get_by_label("Camera or stream").fill(HARM)
        page.get_by_role("button", name="Test", exact=True).click()
        expect(page.locator(".toast-body.error")).to_contain_text("<img src=x")
        expect(page.locator(".toast-body img")).to_have_count(0)
        visitor.shoot("words", tmp_path)
        assert page.evaluate("() => window.harmed") is None
        visitor.assert_quiet()


def test_all_of_the_page_is_seen_without_asking_anybody_else(
    served: Site, visitors: Visitors, tmp_path: Path
) -> None:
    served.seen("all", 20)
    with visitors.visit(served.page("all")) as visitor:
        page = visitor.page
        pages.await_page(page)
        for name in ("Alerts", "Memory", "Settings", "Search"):
            pages.open_tab(page, name)
            visitor.shoot(f"tab_{name.lower()}", tmp_path)
        pages.open_tab(page, "Memory")
        expect(page.locator("#lt-meters")).to_contain_text("RAM")
        page.get_by_role("button", name="Camera does not start?").click()
        page.get_by_role("button", name="Add a camera or video").click()
        pages.ask(page, "What object was red?")
        visitor.shoot("all", tmp_path)
        assert len(visitor.asked) > 20
        assert any(each.startswith("ws://") for each in visitor.asked)
        visitor.assert_quiet()
