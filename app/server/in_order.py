"""An application whose end comes in order also where the loop under it is cut off: at a second
Ctrl-C its server waits for nothing, and tells it nothing.
"""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class InOrder:
    """Around an ASGI application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def told() -> Message:
            try:
                return await receive()
            except asyncio.CancelledError:
                return {"type": "lifespan.shutdown"}

        await self._app(scope, told if scope["type"] == "lifespan" else receive, send)
