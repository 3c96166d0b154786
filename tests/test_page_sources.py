"""What a visitor adds on the page is watched, or refused in words; lost cameras come back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from longtake.models.embedded.filming import write_film
from longtake.server.config import ServeConfig
from tests.rigs import browser, pages, rtsp
from tests.rigs.browser import Visitors, browsing
from tests.rigs.rtsp import RtspCamera
from tests.rigs.site import Site, drawn_film, site

pytestmark = pytest.mark.skipif(bool(browser.missing()), reason=browser.missing())

NAME = "longtake.test"  # of another machine, as a browser sees it: it is given no camera there
FILM_S = 12
REFUSED = {  # each in words of its own
    "http://169.254.169.254/latest": "169.254.169.254",
    "rtsp://192.168.7.7/cam": "192.168.7.7",
    "/etc/passwd": "files of the server's machine are not for visitors",
    "webcam:0": "webcam:0",
    "": "Type an address first",
}
ON_HTTP = "Cross-Origin-Opener-Policy header has been ignored"  # the browser's line on plain http


@pytest.fixture(scope="module")
def served() -> Iterator[Site]:
    config = ServeConfig(port=0, allow_sources=("127.0.0.0/8",), allow_hosts=(NAME,))
    with site(config) as made:
        yield made


@pytest.fixture(scope="module")
def visitors() -> Iterator[Visitors]:
    with browsing(None, f"--host-resolver-rules=MAP {NAME} 127.0.0.1") as made:
        yield made


def add(page: Page, address: str, name: str = "") -> None:
    if not page.locator("#lt-address").is_visible():
        page.get_by_role("button", name="Add a camera or video").click()
    page.get_by_label("Camera or stream").fill(address)
    page.get_by_label("Its name").fill(name)
    page.get_by_role("button", name="Add", exact=True).first.click()


@pytest.mark.skipif(bool(rtsp.missing()), reason=rtsp.missing())
def test_a_camera_that_is_unplugged_is_shown_so_and_comes_back(
    served: Site, visitors: Visitors, tmp_path: Path
) -> None:
    served.hall.open("door")
    with RtspCamera() as camera, visitors.visit(served.page("door")) as visitor:
        page, pill = visitor.page, visitor.page.locator("#lt-live .lt-pill")
        pages.await_page(page)
        page.get_by_role("button", name="Add a camera or video").click()
        page.get_by_label("Camera or stream").fill(camera.url())
        page.get_by_role("button", name="Test", exact=True).click()
        expect(page.locator("#lt-probed")).to_contain_text("320x240")
        visitor.shoot("probed", tmp_path)
        add(page, camera.url(), "door")
        expect(pill).to_have_text("LIVE")
        expect(page.locator("#lt-sources .lt-source")).to_contain_text("door")
        expect(page.locator("#lt-live .lt-frame")).not_to_have_class("lt-hollow")
        assert is_painted(page)
        visitor.shoot("rtsp", tmp_path)

        camera.kill()
        expect(pill).to_have_text("reconnecting")
        visitor.shoot("unplugged", tmp_path)
        camera.start()
        expect(pill).to_have_text("LIVE")

        pages.button(page.locator("#lt-sources"), "Stop door").click()
        expect(page.locator("#lt-sources .lt-source")).to_have_count(0)
        visitor.assert_quiet()


def is_painted(page: Page) -> bool:
    """Whether the picture has more than one colour."""
    painted: bool = page.locator("canvas.lt-picture").evaluate(
        """(canvas) => {
          const seen = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
          return new Set(new Uint32Array(seen.buffer)).size > 1;
        }"""
    )
    return painted


def test_a_file_is_sent_watched_and_asked_about(
    served: Site, visitors: Visitors, tmp_path: Path
) -> None:
    film = tmp_path / "film.mp4"
    write_film(drawn_film(FILM_S), film, fps=2)
    served.hall.open("file")
    with visitors.visit(served.page("file")) as visitor:
        page = visitor.page
        pages.await_page(page)
        page.get_by_role("button", name="Add a camera or video").click()
        page.locator("#lt-file").set_input_files(film)
        expect(page.locator("#lt-upload .lt-said")).to_have_text("film.mp4 is being watched.")
        row = page.locator("#lt-sources .lt-source")
        expect(row).to_contain_text("film.mp4")
        expect(row).to_contain_text("ended")
        expect(pages.ask(page, "What colour was the ring?")).to_contain_text("white")
        visitor.shoot("uploaded", tmp_path)
        visitor.assert_quiet()


def test_a_file_that_is_no_video_is_refused_in_words(
    served: Site, visitors: Visitors, tmp_path: Path
) -> None:
    (tmp_path / "notes.mp4").write_text("no video at all\n" * 100)
    served.hall.open("nofile")
    with visitors.visit(served.page("nofile")) as visitor:
        pages.await_page(visitor.page)
        visitor.page.get_by_role("button", name="Add a camera or video").click()
        visitor.page.locator("#lt-file").set_input_files(tmp_path / "notes.mp4")
        expect(visitor.page.locator("#lt-upload .lt-trouble")).to_contain_text(
            "no video that can be read"
        )
        assert served.take("nofile").sources() == []
        visitor.assert_quiet("Failed to load resource")  # the browser's own line on a refusal


def test_an_address_that_is_refused_is_answered_in_the_servers_words(
    served: Site, visitors: Visitors, tmp_path: Path
) -> None:
    with visitors.visit(served.url) as visitor:
        pages.await_page(visitor.page)
        for address, words in REFUSED.items():
            add(visitor.page, address)
            told = pages.toast(visitor.page, words)
            expect(told).to_be_visible()
            visitor.shoot("refused", tmp_path)
            told.get_by_role("button").last.click()
            expect(told).to_be_hidden()
        expect(visitor.page.locator("#lt-sources .lt-source")).to_have_count(0)
        visitor.assert_quiet()


def test_a_camera_that_is_not_allowed_is_said_with_a_way_out(
    served: Site, visitors: Visitors, tmp_path: Path
) -> None:
    with visitors.visit(served.url) as visitor:
        pages.await_page(visitor.page)
        pages.button(visitor.page.locator("#lt-sources"), "Start camera").click()
        expect(visitor.page.locator("#lt-live .lt-notice")).to_contain_text("Allow it")
        expect(pages.button(visitor.page.locator("#lt-live"), "Start camera")).to_be_visible()
        visitor.shoot("not_allowed", tmp_path)
        visitor.assert_quiet()


def test_a_page_that_came_without_encryption_says_three_ways_to_a_camera(
    served: Site, visitors: Visitors, tmp_path: Path
) -> None:
    port = served.url.rsplit(":", 1)[1]
    with visitors.visit(f"http://{NAME}:{port}/") as visitor:
        pages.await_page(visitor.page)
        assert visitor.page.evaluate("() => window.isSecureContext") is False
        banner = visitor.page.locator("#lt-live .lt-insecure")
        for words in ("--tls auto", f"ssh -L {port}:127.0.0.1:{port}", "chrome://flags"):
            expect(banner).to_contain_text(words)
        expect(visitor.page.get_by_role("button", name="Start camera")).to_have_count(0)
        visitor.shoot("insecure", tmp_path)
        visitor.assert_quiet(ON_HTTP)
