"""Of Gradio's many paths those that our page uses; every other one is not there.

Among the others are uploads to the server's disk, files read from it, and a proxy to other hosts.
Methods and paths alone are looked at; who may come in is known to `guard`.
"""

from __future__ import annotations

import re

from starlette.types import ASGIApp, Receive, Scope, Send

from longtake.server.door.denial import Denial

_HASH = "[A-Za-z0-9]{1,64}"
_READ = re.compile(
    "/|/config|/theme[.]css|/robots[.]txt|/favicon[.]ico|/manifest[.]json"
    "|/assets/[A-Za-z0-9_./-]+|/svelte/[A-Za-z0-9_./-]+"
    f"|/gradio_api/heartbeat/{_HASH}|/gradio_api/queue/data|/gradio_api/startup-events"
    "|/gradio_api/theme[.]css"
)
_SENT = re.compile(
    f"/gradio_api/queue/join|/gradio_api/cancel|/gradio_api/reset"
    f"|/gradio_api/stream/{_HASH}(/close)?"
)
_NOTHING = Denial(404, "there is nothing here; /openapi.json says what there is", "no_such_path")
_BY_METHOD = {"GET": _READ, "HEAD": _READ, "POST": _SENT}


class OnlyNeeded:
    """Around the application that Gradio made; mounted at the root."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or is_needed(scope):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 4404, "reason": "nothing is here"})
        else:
            await _NOTHING.say(scope, receive, send)


def is_needed(scope: Scope) -> bool:
    """Whether our page asks for it."""
    if scope["type"] != "http" or ".." in scope["path"]:
        return False
    known = _BY_METHOD.get(scope["method"])
    return known is not None and known.fullmatch(scope["path"]) is not None
