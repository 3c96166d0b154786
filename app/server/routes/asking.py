"""Waiting for an answer on behalf of someone who may go away: then his question is cancelled.

No thread waits; which route asked, and what its answer looks like, is not known here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, Protocol

from fastapi import Request

from longtake.answer import Answer
from longtake.server.routes.errors import Problem
from longtake.server.takes.hosted import Hosted


class Waiting(Protocol):
    """A question on its way, as `longtake.asking.Asking` is one."""

    def cancel(self) -> None: ...

    async def aresult(self) -> Answer: ...

    def __aiter__(self) -> Any: ...


class Gone(Problem):
    """Whoever asked is not there any more; nobody reads these words."""

    def __init__(self) -> None:
        super().__init__(499, "gone", "whoever asked has left")


async def ask(hosted: Hosted, question: str, options: dict[str, Any]) -> Waiting:
    """Put a question; raises what is wrong with it, or that too many wait."""
    return await hosted.ask(question, **options)


async def whole(request: Request, asking: Waiting) -> Answer:
    """The answer, once it is there.

    Raises:
        Gone: if the client left meanwhile; its question is cancelled.
        Exception: what went wrong while answering.
    """
    answer = asyncio.ensure_future(asking.aresult())
    gone = asyncio.ensure_future(_leaves(request))
    try:
        await asyncio.wait({answer, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            raise Gone
        return answer.result()
    finally:
        asking.cancel()
        for task in (answer, gone):
            task.cancel()
        await asyncio.gather(answer, gone, return_exceptions=True)  # also what nobody reads


async def pieces(asking: Waiting) -> AsyncGenerator[str | Answer]:
    """Pieces of text as they come, then the answer.  Closed early, the question is cancelled.

    Raises what went wrong while answering.
    """
    try:
        async for piece in asking:
            yield piece
        yield await asking.aresult()
    finally:
        asking.cancel()


async def _leaves(request: Request) -> None:
    """Returns when the client has closed its connection.  Its body must have been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
