"""Two visitors at once: neither notices what the other does, but for his camera in the list."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from longtake.models.embedded import world
from longtake.server.takes.hosted import Hosted
from tests.rigs import browser, pages
from tests.rigs.browser import Visitors, browsing
from tests.rigs.fake_webcam import write_fake_webcam
from tests.rigs.site import Site, site
from tests.rigs.watching import until

pytestmark = pytest.mark.skipif(bool(browser.missing()), reason=browser.missing())

FREE_S = 5.0  # a camera's name, after its visitor has left


@pytest.fixture(scope="module")
def served() -> Iterator[Site]:
    with site() as made:
        yield made


@pytest.fixture(scope="module")
def visitors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visitors]:
    camera = tmp_path_factory.mktemp("camera") / "camera.mjpeg"
    write_fake_webcam(world.long_film(random.Random(907), 20), camera)
    with browsing(camera) as made:
        yield made


def names(hosted: Hosted) -> list[str]:
    """Of the cameras whose pictures come."""
    return sorted(each.camera for each in hosted.sources() if each.state == "live")


def test_the_page_of_one_is_as_it_was_whatever_another_does(
    served: Site, visitors: Visitors, tmp_path: Path
) -> None:
    live = served.take()
    with visitors.visit(served.url) as first:
        pages.await_page(first.page)
        pages.start_camera(first.page, live)
        assert names(live) == [""]
        pages.ask(first.page, "Was there a purple heart?")
        said = pages.chat_words(first.page)

        def assert_as_it_was() -> None:
            assert pages.chat_words(first.page) == said
            expect(first.page.locator("#lt-live .lt-pill")).to_have_text("LIVE")
            expect(first.page.locator("#lt-live video")).to_be_visible()

        with visitors.visit(served.url) as second:
            pages.await_page(second.page)
            assert pages.chat_words(second.page) == []
            pages.start_camera(second.page, live)
            until(lambda: names(live) == ["", "camera 2"], what=lambda: f"{live.sources()}")
            pages.ask(second.page, "Was there a green ring?")
            assert_as_it_was()
            expect(first.page.locator("#lt-sources .lt-source")).to_have_count(2)
            second.shoot("second_visitor", tmp_path)
            first.shoot("first_of_two_visitors", tmp_path)

            second.page.reload()
            pages.await_page(second.page)
            until(lambda: names(live) == [""], FREE_S, lambda: f"{live.sources()}")
            expect(second.page.locator("#lt-chat")).to_contain_text("green ring")
            assert_as_it_was()
            pages.start_camera(second.page, live)
            until(lambda: names(live) == ["", "camera 2"], what=lambda: f"{live.sources()}")
            second.assert_quiet(pages.LEAVING)

        until(lambda: names(live) == [""], FREE_S, lambda: f"{live.sources()}")
        with live.claim() as camera:
            assert camera.camera == "camera 2"
        assert_as_it_was()
        first.assert_quiet()


def test_a_page_that_is_loaded_again_is_as_it_was(served: Site, visitors: Visitors) -> None:
    served.seen("again", 20)
    with visitors.visit(served.page("again")) as visitor:
        page = visitor.page
        pages.await_page(page)
        pages.ask(page, "What object was purple?")
        expect(page.locator("#lt-timeline .lt-legend")).to_contain_text("questions")
        said, legend = pages.chat_words(page), pages.timeline_legend(page)
        page.reload()
        pages.await_page(page)
        expect(page.locator("#lt-chat .lt-below")).to_have_count(1)
        expect(page.locator("#lt-timeline .lt-legend")).to_contain_text("questions")
        assert pages.chat_words(page) == said
        assert pages.timeline_legend(page) == legend
        assert page.evaluate("() => window.longtake.take") == "again"
        visitor.assert_quiet(pages.LEAVING)
