"""Gradio opens an event loop for every lock that it makes outside of one, and closes none of them.
So its pages are made within one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def built(make: Callable[[], T]) -> T:
    """What `make` returns, which is called while an event loop runs in this thread.

    Locks that are made meanwhile belong to no loop before they are first waited for.
    """

    async def made() -> T:
        return make()

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        loop = asyncio.new_event_loop()
        try:
            return loop.run_until_complete(made())
        finally:
            loop.close()
    return make()
