"""A real browser: Debian's Chromium without a screen, driven by playwright, with a camera of ours.

Everything that its pages ask for, and every error they tell, is written down, so that a test can
say that there was none.  What the pages are is not known here.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

CHROMIUM = "/usr/bin/chromium"
FLAGS = ("--no-sandbox", "--disable-dev-shm-usage", "--disable-background-networking")
CAMERA_FLAGS = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")
DESK = {"width": 1400, "height": 900}
PHONE = {"width": 390, "height": 844}
WAIT_MS = 20_000.0
OWN = ("data:", "blob:")  # of the page itself: asked of nobody
ARTEFACTS = os.environ.get("LONGTAKE_ARTEFACTS")  # a folder for pictures of windows

expect.set_options(timeout=WAIT_MS)  # a limit for what comes at once on an idle machine


@functools.cache
def missing() -> str:
    """Why there can be no browser on this machine, in words; empty where there can."""
    return "" if Path(CHROMIUM).exists() else f"there is no {CHROMIUM}"


@dataclass
class Visitor:
    """One window of somebody who looks at a page; nobody else has his storage.

    `asked` are the addresses that left it, `troubles` what it complained of.
    """

    page: Page
    asked: list[str] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(WAIT_MS)
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("websocket", lambda socket: self.asked.append(socket.url))
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("console", self._heard)

    def _heard(self, said: ConsoleMessage) -> None:
        if said.type == "error":
            self.troubles.append(f"{said.text} {said.location.get('url', '')}")

    def strangers(self) -> list[str]:
        """Addresses that were asked for at any other server than the page's own."""
        home = urlsplit(self.page.url).netloc
        return [u for u in self.asked if not u.startswith(OWN) and urlsplit(u).netloc != home]

    def assert_quiet(self, *expected: str) -> None:
        """Nothing went wrong in this window, but for troubles that hold one of these words."""
        odd = [t for t in self.troubles if not any(words in t for words in expected)]
        assert odd == [], "\n".join(odd)
        assert self.strangers() == [], "\n".join(self.strangers())

    def shoot(self, name: str, folder: Path) -> None:
        """A picture of the window, for people; in the folder for artefacts, where there is one."""
        target = Path(ARTEFACTS or folder)
        target.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=target / f"{name}.png")


class Visitors:
    """Windows of one browser; each visitor has a profile of his own."""

    def __init__(self, browser: Browser) -> None:
        self.browser = browser

    @contextmanager
    def visit(self, url: str = "", **settings: Any) -> Iterator[Visitor]:
        """A window that is closed at the end.

        Args:
            url: opened at once; empty: nothing yet.
            settings: of playwright's ``new_context``.
        """
        context = self.browser.new_context(**{"viewport": DESK, **settings})
        try:
            visitor = Visitor(context.new_page())
            if url:
                visitor.page.goto(url)
            yield visitor
        finally:
            context.close()


@contextmanager
def browsing(camera: Path | None = None, *flags: str) -> Iterator[Visitors]:
    """A browser of its own.

    Args:
        camera: Motion JPEG or YUV4MPEG2 that its camera shows to whoever asks; None: a camera
            is there, and nobody is let at it.
    """
    given = [*FLAGS, *flags]
    if camera is not None:
        given += [*CAMERA_FLAGS, f"--use-file-for-fake-video-capture={camera.resolve()}"]
    else:
        given += ["--use-fake-device-for-media-stream"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=given)
        try:
            yield Visitors(browser)
        finally:
            browser.close()
