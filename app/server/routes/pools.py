"""Threads for work of different length, so that what is short never stands behind what is long.

What is done on them is known to the routes and the page.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import partial

from longtake.server.routes.blocking import Blocking


@dataclass(frozen=True, slots=True)
class Pools:
    """Of one server; used from its event loop alone.  Threads begin when they are needed."""

    # what may wait for the engine's worker, a camera, or a disk
    blocking: Blocking = field(default_factory=Blocking)
    # what never waits for long: looks
    quick: Blocking = field(default_factory=partial(Blocking, 4))
    # what ends or halts something: not behind the very work that it is to end
    acts: Blocking = field(default_factory=partial(Blocking, 4))
    # pictures that are shown, each decoded in some milliseconds
    frames: Blocking = field(default_factory=partial(Blocking, 4))
    # a take with its model, which may take minutes
    opens: Blocking = field(default_factory=partial(Blocking, 2, 16))
    # a whole memory
    exports: Blocking = field(default_factory=partial(Blocking, 2, 16))

    def close(self) -> None:
        """Returns at once; see `Blocking.close`."""
        for each in fields(self):
            pool: Blocking = getattr(self, each.name)
            pool.close()
