"""A server whose take ``live`` has seen a short drawn film, and a client of it."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import cv2
import httpx

from longtake.engine import Engine
from longtake.models.decode import Decoding
from longtake.models.embedded import questions, world
from longtake.models.embedded.questions import Question
from longtake.server.app import create_app
from longtake.server.config import ServeConfig
from longtake.server.door.access import Access
from longtake.server.takes.engines import Engines
from longtake.server.takes.hall import Hall
from longtake.server.takes.hosted import Hosted
from longtake.settings import TakeConfig
from tests.rigs.serving import serving

SECONDS = 40
WAIT_S = 60.0
SEED = 901


@dataclass
class Api:
    """One server."""

    url: str
    http: httpx.Client
    hall: Hall
    film: world.Film
    app: Any

    @property
    def live(self) -> Hosted:
        return self.hall.find("live")

    def question(self) -> Question:
        """One that the film answers, about what left the window long ago."""
        rng = random.Random(SEED)
        for thing in self.film.things:
            if thing.end_s <= SECONDS - 12:
                for kind in ("color", "shape"):
                    asked = questions.ask_about(rng, self.film, thing, kind, SECONDS)
                    if asked is not None:
                        return asked
        raise AssertionError("the film holds nothing that can be asked about")


@contextmanager
def api(config: ServeConfig | None = None, access: Access | None = None) -> Iterator[Api]:
    """It ends with everything that was opened on it."""
    settled = ServeConfig(port=0) if config is None else config
    settings = TakeConfig(decoding=Decoding(max_tokens=24))
    engines = Engines(["embedded"], load=lambda name: Engine(name, device="cpu"))
    film = world.long_film(random.Random(SEED), SECONDS)
    with Hall(engines, settled, settings=settings) as hall:
        show(hall.open("live"), film)
        app = create_app(hall, Access.of() if access is None else access, settled)
        with (
            serving(app, settled) as url,
            httpx.Client(base_url=url, timeout=WAIT_S, trust_env=False) as http,
        ):
            yield Api(url, http, hall, film, app)


def show(hosted: Hosted, film: world.Film, seconds: int = SECONDS) -> None:
    """All of the film, seen."""
    for at_s, image in film.frames():
        if at_s >= seconds:
            break
        while hosted.take.stats().waiting > 40:
            hosted.take.drain()
        assert hosted.take.push(image, at_s).accepted
    hosted.take.drain()


def jpeg(image: Any) -> bytes:
    """RGB to a file's bytes."""
    done, data = cv2.imencode(".jpg", image[..., ::-1])
    assert done
    return data.tobytes()


@contextmanager
def busy(hosted: Hosted) -> Iterator[None]:
    """The engine's worker does something else meanwhile."""
    begun, over = threading.Event(), threading.Event()

    def hold() -> None:
        begun.set()
        assert over.wait(WAIT_S)

    engine = hosted.take._engine
    thread = threading.Thread(target=engine.run, args=(hold,), name="busy")
    thread.start()
    assert begun.wait(WAIT_S)
    try:
        yield
    finally:
        over.set()
        thread.join(WAIT_S)


def until(holds: Callable[[], bool], what: str) -> None:
    """Looks until it holds; it comes from another thread."""
    end_s = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < end_s, f"it never came that {what}"
        threading.Event().wait(0.005)
