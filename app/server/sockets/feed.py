"""Events of a take to readers who wait for them: one look for news, however many wait.

Readers are told that there is news and read it from the take's log themselves, behind the number
that they have; so a slow one misses nothing that the log still holds.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator

from longtake.memory.events import Event
from longtake.server.routes.blocking import Blocking
from longtake.server.routes.errors import is_closed
from longtake.server.takes.hosted import Hosted
from longtake.streaming.errors import redact
from longtake.wording import one_line

LOOK_S = 0.25  # between two looks
MOST_AT_ONCE = 500  # events told at once

_log = logging.getLogger(__name__)


class Feeds:
    """Of one server; used from its event loop alone."""

    def __init__(self, blocking: Blocking) -> None:
        self._blocking = blocking
        self._feeds: dict[Hosted, _Feed] = {}

    async def follow(self, hosted: Hosted, after: int) -> AsyncGenerator[list[Event]]:
        """Events with numbers behind ``after``, as they come; ends with the take."""
        feed = self._feeds.get(hosted)
        if feed is None:
            feed = self._feeds[hosted] = _Feed(hosted, self._blocking)
        feed.readers += 1
        feed.begin()
        try:
            while True:
                seen = feed.newest
                events = await feed.read(after)
                if events is None:
                    return
                if events:
                    after = events[-1].number
                    for place in range(0, len(events), MOST_AT_ONCE):
                        yield events[place : place + MOST_AT_ONCE]
                elif not await feed.news(seen):
                    return
        finally:
            feed.readers -= 1
            if not feed.readers:
                feed.end()
                self._feeds.pop(hosted, None)


class _Feed:
    """Of one take, while somebody follows it."""

    def __init__(self, hosted: Hosted, blocking: Blocking) -> None:
        self._hosted, self._blocking = hosted, blocking
        self._changed = asyncio.Condition()
        self._looking: asyncio.Task[None] | None = None
        self.newest, self.readers, self._is_over = -1, 0, False

    def begin(self) -> None:
        if self._looking is None:
            self._looking = asyncio.ensure_future(self._look())

    def end(self) -> None:
        if self._looking is not None:
            self._looking.cancel()

    async def news(self, seen: int) -> bool:
        """Wait until there is more than was ``seen``; False when the take is no more."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.newest > seen or self._is_over)
            return not self._is_over

    async def read(self, after: int) -> list[Event] | None:
        """The next events in the order of their numbers; None when the take is no more."""
        if not self._is_there():
            return None
        try:
            events = await self._blocking.run(self._hosted.take.events, after=after)
        except RuntimeError:  # it was closed meanwhile
            if self._is_there():
                raise
            return None
        return sorted(events, key=lambda event: event.number)

    async def _look(self) -> None:
        while not self._is_over:
            newest = self._newest()
            if newest is None:
                self._is_over = True
            elif newest <= self.newest:
                await asyncio.sleep(LOOK_S)
                continue
            else:
                self.newest = newest
            async with self._changed:
                self._changed.notify_all()

    def _newest(self) -> int | None:
        """As far as it could be seen; None when the take is no more."""
        if not self._is_there():
            return None
        try:
            return self._hosted.last_event
        except Exception as error:  # one look fails, and not all that will be told
            if not self._is_there() or is_closed(error):
                return None
            _log.warning("events of take %s: %s", self._hosted.id, redact(one_line(error)))
            return self.newest

    def _is_there(self) -> bool:
        return self._hosted.closing is None
