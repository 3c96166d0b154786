"""A server with its page, in this process, and takes that have seen a drawn film already."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from longtake.engine import Engine
from longtake.models.embedded import world
from longtake.server.app import create_app
from longtake.server.config import ServeConfig
from longtake.server.door.access import Access
from longtake.server.page.page import Page
from longtake.server.takes.engines import Engines
from longtake.server.takes.hall import Hall
from longtake.server.takes.hosted import Hosted
from longtake.settings import TakeConfig
from tests.rigs.api import show
from tests.rigs.hosting import adapter
from tests.rigs.serving import serving

SEED = 901
SECONDS = 40


def drawn_film(seconds: int = SECONDS) -> world.Film:
    """The one that takes of this file have seen."""
    return world.long_film(random.Random(SEED), seconds)


@dataclass
class Site:
    """One server."""

    url: str
    hall: Hall

    def take(self, id: str = "live") -> Hosted:
        return self.hall.find(id)

    def seen(self, id: str, seconds: int = SECONDS) -> Hosted:
        """A new take that has seen the drawn film, a frame a second."""
        hosted = self.hall.open(id)
        show(hosted, drawn_film(), seconds)
        return hosted

    def page(self, id: str = "live") -> str:
        """Where a take is looked at."""
        return f"{self.url}/?take={id}"


@contextmanager
def site(config: ServeConfig | None = None, settings: TakeConfig | None = None) -> Iterator[Site]:
    """With the take ``live``, that has seen nothing yet."""
    config = config or ServeConfig(port=0)
    engines = Engines(["embedded"], load=lambda name: Engine(adapter()))
    with Hall(engines, config, settings=settings or TakeConfig()) as hall:
        hall.open("live")
        with serving(create_app(hall, Access.of(), config, Page(hall)), config) as url:
            yield Site(url, hall)
