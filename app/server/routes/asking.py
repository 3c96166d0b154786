"""Waiting for an answer on behalf of someone who may go away: then his question is cancelled.

No thread waits; which route asked, and what its answer looks like, is not known here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from fastapi import Request

from longtake.answer import Answer
from longtake.server.routes.errors import problem_of
from longtake.server.routes.metrics import Spent
from longtake.server.takes.hosted import Hosted


class Waiting(Protocol):
    """A question on its way, as `longtake.asking.Asking` is one."""

    def cancel(self) -> None: ...

    async def aresult(self) -> Answer: ...

    def __aiter__(self) -> Any: ...


class Gone(Exception):
    """Whoever asked is not there any more."""


async def ask(spent: Spent, hosted: Hosted, question: str, options: dict[str, Any]) -> Waiting:
    """Put a question; raises what is wrong with it, or that too many wait."""
    spent.listen(hosted)
    with _counting(spent):
        asking: Waiting = await hosted.ask(question, **options)
    return asking


async def whole(spent: Spent, request: Request, asking: Waiting) -> Answer:
    """The answer, once it is there.

    Raises:
        Gone: if the client left meanwhile; its question is cancelled.
        Exception: what went wrong while answering.
    """
    answer = asyncio.ensure_future(asking.aresult())
    gone = asyncio.ensure_future(_leaves(request))
    spent.asking.inc()
    try:
        await asyncio.wait({answer, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            raise Gone
        with _counting(spent):
            return answer.result()
    finally:
        spent.asking.dec()
        asking.cancel()
        for task in (answer, gone):
            task.cancel()
        await asyncio.wait({answer, gone})


async def pieces(spent: Spent, asking: Waiting) -> AsyncGenerator[str | Answer]:
    """Pieces of text as they come, then the answer.  Closed early, the question is cancelled.

    Raises what went wrong while answering.
    """
    spent.asking.inc()
    try:
        with _counting(spent):
            async for piece in asking:
                yield piece
            told = await asking.aresult()
        yield told
    finally:
        spent.asking.dec()
        asking.cancel()


@contextmanager
def _counting(spent: Spent) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        spent.fail(problem_of(error).code)
        raise


async def _leaves(request: Request) -> None:
    """Returns when the client has closed its connection.  Its body must have been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
