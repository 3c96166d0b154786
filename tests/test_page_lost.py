"""What a page says when its take, or its server, goes away, and how it comes back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import expect

from longtake.server.config import ServeConfig
from tests.rigs import browser, pages
from tests.rigs.api import show
from tests.rigs.browser import browsing
from tests.rigs.site import drawn_film, site

pytestmark = pytest.mark.skipif(bool(browser.missing()), reason=browser.missing())

COMMAND = Path(sys.executable).with_name("longtake")
LATER_MS = 30_000.0
FILM_S = 10
LOST = "connection to the server was lost"
CUT = ("Failed to load resource", "WebSocket connection", "ERR_", "Connection")  # the browser's


@contextmanager
def started(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`longtake serve` in a process of its own, and its address."""
    process = subprocess.Popen(
        [str(COMMAND), "serve", "--port", "0", "--json", "--quiet"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "XDG_CONFIG_HOME": str(folder), "XDG_STATE_HOME": str(folder)},
    )
    try:
        assert process.stdout is not None
        yield process, json.loads(process.stdout.readline())["url"]
    finally:
        process.kill()
        process.communicate()


def test_a_take_that_is_closed_is_said_to_whoever_looks_at_it(tmp_path: Path) -> None:
    with site() as served, browsing() as visitors:
        served.hall.open("short")
        with visitors.visit(served.page("short")) as visitor:
            pages.await_page(visitor.page)
            served.hall.remove("short", forget=True)
            notice = visitor.page.locator("#lt-live .lt-notice")
            expect(notice).to_contain_text("This take was closed")
            visitor.shoot("closed", tmp_path)
            notice.get_by_role("link", name="Look at live").click()
            pages.await_page(visitor.page)
            assert visitor.page.evaluate("() => window.longtake.take") == "live"
            visitor.assert_quiet("Failed to load resource", pages.LEAVING)


def test_a_server_that_dies_is_missed_and_found_again(tmp_path: Path) -> None:
    with browsing() as visitors, visitors.visit() as visitor:
        page, notice = visitor.page, visitor.page.locator("#lt-live .lt-notice")
        with started(tmp_path) as (process, url):
            page.goto(url)
            pages.await_page(page)
            expect(page.locator("#lt-live .lt-nothing")).to_be_visible()
            process.kill()
            expect(notice).to_contain_text(LOST)
            visitor.shoot("lost", tmp_path)
        with site(ServeConfig(port=int(url.rsplit(":", 1)[1]))) as served:
            expect(notice).to_be_hidden(timeout=LATER_MS)
            expect(page.locator("#lt-live .lt-nothing")).to_be_visible()
            show(served.take(), drawn_film(), FILM_S)
            expect(pages.ask(page, "What colour was the ring?")).to_contain_text("white")
            visitor.assert_quiet(*CUT)
