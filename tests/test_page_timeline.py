"""The past on the page: spans, moments, search, what is kept and forgotten, what is masked."""

from __future__ import annotations

import random
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from longtake.models.embedded import world
from tests.rigs import browser, pages
from tests.rigs.browser import Visitors, browsing
from tests.rigs.fake_webcam import write_fake_webcam
from tests.rigs.hosting import decode
from tests.rigs.site import SECONDS, Site, site
from tests.rigs.watching import until

pytestmark = pytest.mark.skipif(bool(browser.missing()), reason=browser.missing())

DARK = 12  # of a masked pixel, at most: JPEG is not exact


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


def test_a_span_is_selected_asked_about_kept_forgotten_and_taken_home(
    served: Site, visitors: Visitors, tmp_path: Path
) -> None:
    hosted = served.seen("span")
    with visitors.visit(served.page("span"), accept_downloads=True) as visitor:
        page = visitor.page
        pages.await_page(page)
        chip = page.locator("#lt-span .lt-span")
        expect(page.locator("#lt-timeline .lt-legend")).to_contain_text("RAM")
        expect(chip).to_be_hidden()

        page.locator("#lt-timeline .lt-surface").click(position={"x": 200, "y": 30})
        expect(chip).to_be_visible()
        start_s, end_s = pages.span(page)
        assert 0 < end_s - start_s < 6
        expect(page.locator("#lt-question textarea")).to_be_focused()
        visitor.shoot("span", tmp_path)

        pages.drag_timeline(page, 0.0, 0.45)
        start_s, end_s = pages.span(page)
        assert start_s == 0 and 15 < end_s < 21
        answer = pages.ask(page, "What object was red?")  # from 13 to 23
        expect(answer).to_contain_text("triangle")
        expect(page.locator("#lt-chat .user-row")).to_contain_text(re.compile(r"\[0:00-0:1\d\]"))

        with page.expect_download() as downloading:
            page.locator("#lt-span a", has_text="Export").click()
        with zipfile.ZipFile(downloading.value.path()) as archive:
            assert archive.testzip() is None
            assert len(archive.namelist()) > 2

        pages.button(chip, "Keep").click()
        expect(pages.toast(page, "kept for good")).to_be_visible()
        expect(page.locator("#lt-timeline .lt-legend")).to_contain_text("kept")
        until(lambda: hosted.timeline()["kept"], what="what is kept")
        visitor.shoot("kept", tmp_path)

        pages.drag_timeline(page, 0.55, 0.75)
        start_s, end_s = pages.span(page)
        before = pages.timeline_pixels(page, "ram")
        pages.button(chip, "Forget").click()
        pages.button(page.locator("dialog"), "Cancel").click()
        assert held_in(hosted.timeline(), start_s, end_s)
        pages.button(chip, "Forget").click()
        visitor.shoot("forget", tmp_path)
        pages.button(page.locator("dialog"), "Forget it").click()
        expect(pages.toast(page, "is forgotten")).to_be_visible()
        expect(chip).to_be_hidden()
        until(lambda: not held_in(hosted.timeline(), start_s, end_s), what="what is forgotten")
        expect(page.locator("#lt-timeline .lt-legend")).to_contain_text("not seen")
        assert pages.timeline_pixels(page, "ram") < before
        visitor.shoot("forgotten", tmp_path)
        visitor.assert_quiet()


def held_in(timeline: dict[str, list[dict[str, float]]], start_s: float, end_s: float) -> bool:
    """Whether anything between two times, but for a second at each end, is held."""
    runs = timeline["held"]
    return any(run["start_s"] < end_s - 1 and run["end_s"] > start_s + 1 for run in runs)


def test_a_moment_opens_from_what_is_found_and_shows_what_was_around(
    served: Site, visitors: Visitors, tmp_path: Path
) -> None:
    served.seen("moment")
    with visitors.visit(served.page("moment")) as visitor:
        page = visitor.page
        pages.await_page(page)
        words = page.locator("#lt-search textarea, #lt-search input")
        words.fill("red triangle")
        words.press("Enter")
        hits = page.locator("#lt-found .lt-hits li")
        expect(hits.first).to_be_visible()
        pages.picture_of(page, hits.first.locator("img"))
        visitor.shoot("found", tmp_path)

        hits.first.locator("a").click()
        dialog = page.locator("#lt-moment")
        expect(dialog).to_be_visible()
        title = dialog.get_by_role("heading")
        first = title.inner_text()
        around = dialog.locator(".lt-around button")
        expect(around.nth(3)).to_be_visible()
        expect(dialog.locator('[aria-current="true"]')).to_have_count(1)
        visitor.shoot("moment_of_search", tmp_path)
        page.keyboard.press("ArrowLeft")
        expect(title).not_to_have_text(first)
        page.keyboard.press("Escape")
        expect(dialog).to_be_hidden()
        expect(hits.first.locator("a")).to_be_focused()

        hits.first.locator("a").click()
        pages.button(dialog, "Ask about this").click()
        expect(page.locator("#lt-span .lt-span")).to_be_visible()
        expect(page.locator("#lt-question textarea")).to_be_focused()
        visitor.assert_quiet()


def test_other_settings_open_a_new_take(served: Site, visitors: Visitors, tmp_path: Path) -> None:
    before = {each.id for each in served.hall.all()}
    with visitors.visit(served.url) as visitor:
        page = visitor.page
        pages.await_page(page)
        pages.open_tab(page, "Settings")
        page.get_by_label("Frames a second").fill("2")
        page.get_by_label("Window (s)").fill("4")
        visitor.shoot("settings", tmp_path)
        page.locator("#lt-open").click()
        page.wait_for_url("**/?take=*")
        pages.await_page(page)
        (new,) = (each for each in served.hall.all() if each.id not in before)
        assert page.url.endswith(f"take={new.id}")
        assert (new.take.pace.fps, new.take.pace.window_s) == (2.0, 4.0)
        expect(page.locator('.lt-take[aria-current="page"]')).to_contain_text(new.id)
        visitor.assert_quiet(pages.LEAVING)


def test_what_is_masked_on_the_picture_is_black_for_the_model(
    served: Site, visitors: Visitors, tmp_path: Path
) -> None:
    hosted = served.hall.open("masked")
    with visitors.visit(served.page("masked")) as visitor:
        page = visitor.page
        pages.await_page(page)
        pages.start_camera(page, hosted)
        assert pictures(served, "masked")[-1][:40].mean() > DARK
        page.locator("#lt-live .lt-stage").hover()
        page.locator("#lt-live").get_by_role("button", name="Mask").click()
        box = page.locator("#lt-live .lt-masks").bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + 2, box["y"] + 2)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] - 2, box["y"] + box["height"] / 2, steps=4)
        page.mouse.up()
        visitor.shoot("mask", tmp_path)
        pages.button(page.locator("#lt-live"), "Apply").click()
        expect(pages.toast(page, "One mask is in force")).to_be_visible()
        since_s = hosted.take.now_s
        until(lambda: hosted.take.frames(since_s + 1.0, 1e9), pages.SOON_S, "a frame after it")
        visitor.shoot("masked", tmp_path)
        newest = pictures(served, "masked")[-1]
        half = newest.shape[0] // 2
        assert newest[4 : half - 6, 4:-4].max() <= DARK
        assert newest[half + 6 :].mean() > DARK
        visitor.assert_quiet()


def pictures(served: Site, id: str) -> list[Any]:
    """RGB of all that the take keeps to be looked at, oldest first."""
    take = served.take(id).take
    return [decode(each.jpeg) for each in take.frames(0.0, 1e9) if each.jpeg is not None]


def test_keys_alone_select_a_span_and_look_through_it(served: Site, visitors: Visitors) -> None:
    served.seen("keys", SECONDS)
    with visitors.visit(served.page("keys")) as visitor:
        page = visitor.page
        pages.await_page(page)
        expect(page.locator("#lt-timeline .lt-legend")).to_contain_text("RAM")
        page.locator("#lt-timeline .lt-surface").focus()
        for key in ("Home", "Shift+PageUp", "Shift+ArrowRight"):
            page.keyboard.press(key)
        start_s, end_s = pages.span(page)
        assert start_s == 0 and end_s > 5
        page.keyboard.press("Enter")
        expect(page.locator("#lt-question textarea")).to_be_focused()
        page.locator("#lt-timeline .lt-surface").focus()
        page.keyboard.press("Escape")
        assert pages.span(page) is None
        visitor.assert_quiet()
