"""A server with everything behind one door, whose takes a client may reach; quick to begin."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np

from longtake.server.app import create_app
from longtake.server.config import ServeConfig
from longtake.server.door.access import Access
from longtake.server.running import Certificate
from longtake.server.takes.hall import Hall
from longtake.server.takes.hosted import Hosted
from longtake.streaming.capture_config import CaptureConfig
from tests.rigs.hosting import SETTINGS, hall
from tests.rigs.serving import serving

EVERY = replace(SETTINGS, capture=CaptureConfig(policy="every"))  # no frame is too many


@dataclass(frozen=True)
class Far:
    """One server."""

    url: str
    hall: Hall

    @property
    def live(self) -> Hosted:
        return self.hall.find("live")


def see(hosted: Hosted) -> None:
    """Let a take see enough to be asked."""
    for number in range(2):
        hosted.take.push(np.full((48, 64, 3), 80, np.uint8), 0.1 * number)
    hosted.take.drain()


@contextmanager
def far(
    config: ServeConfig | None = None,
    access: Access | None = None,
    certificate: Certificate | None = None,
) -> Iterator[Far]:
    """With a take `live` that has seen nothing."""
    settled = ServeConfig(port=0) if config is None else config
    with hall(settled, settings=EVERY) as made:
        made.open("live")
        app = create_app(made, Access.of() if access is None else access, settled)
        with serving(app, settled, certificate) as url:
            try:
                yield Far(url, made)
            finally:
                made.announce()  # as a server that ends does: streams and sockets are told
