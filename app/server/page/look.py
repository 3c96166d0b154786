"""A short look at an address that a visitor names, by the rules of what he may watch.

What is measured is known to `longtake.streaming.probing`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from longtake.busy import Busy
from longtake.server.config import ServeConfig
from longtake.server.routes.shown import plain
from longtake.server.takes import visitors
from longtake.streaming.capture_config import CaptureConfig
from longtake.streaming.probed import Probed
from longtake.streaming.probing import probe

LOOK_S = 2.0  # of stream
MOST = 2  # looks at the same time


class Looks:
    """Of one server; any thread may call.

    Args:
        capture: how cameras are opened.
        look: takes an address and how it is opened.
    """

    def __init__(
        self,
        config: ServeConfig,
        capture: CaptureConfig,
        look: Callable[[str, CaptureConfig, float], Probed] = probe,
    ) -> None:
        self._config, self._capture, self._look = config, capture, look
        self._places = threading.Semaphore(MOST)

    def at(self, address: str) -> dict[str, Any]:
        """What is there, as JSON.  Waits for it.

        Raises:
            Busy: if others are being looked at.
            SourceError: if it may not be named, or not one picture comes.
            ValueError: if it is no address.
        """
        visitors.check_address(address, self._config.allow_sources)
        address, settings = address.strip(), visitors.as_visitor(self._capture)
        if not self._places.acquire(blocking=False):
            raise Busy(f"{MOST} sources are being looked at already: try again in a moment")
        try:
            if not visitors.is_network(address):
                return _json(self._look(address, settings, LOOK_S))
            from longtake.streaming.passage import Passage, Rules

            with Passage(Rules(visitors.network_rules(self._config.allow_sources))) as passage:
                return _json(self._look(address, replace(settings, passage=passage), LOOK_S))
        finally:
            self._places.release()


def _json(found: Probed) -> dict[str, Any]:
    told: dict[str, Any] = plain(asdict(found))
    return told | {"warnings": list(found.warnings)}
