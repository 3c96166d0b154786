"""What every route needs, in one hand: the takes, the bounds, threads for work that waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar

from longtake.server.config import ServeConfig
from longtake.server.routes.answers import ErrorBody
from longtake.server.routes.errors import refused
from longtake.server.routes.metrics import Spent
from longtake.server.routes.pools import Pools
from longtake.server.takes.hall import Hall

P = ParamSpec("P")
T = TypeVar("T")

NO_STORE = {"Cache-Control": "no-store"}
_WORDS = {
    400: "A value that makes no sense, or a body that is no JSON.",
    403: "An address that visitors may not name.",
    404: "No such take, or nothing there.",
    409: "It cannot be done as things stand.",
    413: "More bytes than this server takes.",
    422: "A field that is not as this description says.",
    429: "Too many at once; Retry-After says when to come back.",
    500: "Something failed inside; the log says what, under the number in the message.",
    503: "The server is ending, or its model cannot be used.",
    507: "The disk is full.",
}


@dataclass(frozen=True, slots=True)
class Face:
    """Of one server."""

    hall: Hall
    config: ServeConfig
    pools: Pools
    spent: Spent
    ending: asyncio.Event = field(default_factory=asyncio.Event)  # set when the server is to end

    async def verb(self, job: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Do it off the loop; where a take refuses it as things stand, its words are told."""
        try:
            return await self.pools.blocking.run(job, *args, **kwargs)
        except RuntimeError as error:
            raise refused(error) from error


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """How a route may fail, for its description; schema, load and bugs are always among them."""
    every = sorted({400, 422, 429, 500, 503, *statuses})
    return {s: {"model": ErrorBody, "description": _WORDS[s]} for s in every}
