"""Gradio's own scripts and styles, compressed once and held in memory.

Gradio reads and compresses them anew for each visitor.  Their names change with what is in them, so
a browser may keep them for ever.  Whatever is asked in another way is Gradio's to answer.
"""

from __future__ import annotations

import gzip
import re
from pathlib import Path

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

MOST_FILES = 256
MOST_FILE_BYTES = 1 << 20
_NAME = re.compile(r"/assets/([A-Za-z0-9_][A-Za-z0-9_.-]*-[A-Za-z0-9_-]{8}[.](js|css))")
_TYPES = {"js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8"}


class Assets:
    """In front of Gradio's application.

    Args:
        folder: where they lie; nothing else is read.
    """

    def __init__(self, app: ASGIApp, folder: Path) -> None:
        self._app, self._folder = app, folder
        self._held: dict[str, bytes] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (response := self._found(scope)) is None:
            await self._app(scope, receive, send)
        else:
            await response(scope, receive, send)

    def _found(self, scope: Scope) -> Response | None:
        if scope["type"] != "http" or scope["method"] != "GET":
            return None
        named = _NAME.fullmatch(scope["path"])
        if named is None or "gzip" not in Headers(scope=scope).get("accept-encoding", ""):
            return None
        body = self._compressed(named[1])
        if body is None:
            return None
        headers = {
            "Content-Encoding": "gzip",
            "Vary": "Accept-Encoding",
            "Cache-Control": "public, max-age=31536000, immutable",
        }
        return Response(body, headers=headers, media_type=_TYPES[named[2]])

    def _compressed(self, name: str) -> bytes | None:
        if (held := self._held.get(name)) is not None:
            return held
        file = self._folder / name
        if not file.is_file() or file.stat().st_size > MOST_FILE_BYTES:
            return None
        body = gzip.compress(file.read_bytes(), 6, mtime=0)
        if len(self._held) < MOST_FILES:
            self._held[name] = body
        return body
