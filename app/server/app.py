"""The whole HTTP face as one application: routes, sockets, page and files, behind one door.

What each route does stands in its own file, and who may come in is known to `guard`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Protocol

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse
from fastapi.telemetry import TelemetryConfig

from longtake.server.config import ServeConfig
from longtake.server.door.access import Access
from longtake.server.door.guard import Guard
from longtake.server.in_order import InOrder
from longtake.server.routes import alerts, ask, completions, events, health, memory, sources, takes
from longtake.server.routes.errors import add_handlers
from longtake.server.routes.face import Face
from longtake.server.routes.metrics import Spent
from longtake.server.routes.pools import Pools
from longtake.server.routes.static_files import add_static_files
from longtake.server.routes.unknown import add_unknown
from longtake.server.sockets import pushing, viewing
from longtake.server.takes.closing import SERVER_ENDING, Closing
from longtake.server.takes.hall import Hall

TITLE = "longtake"
ENDING_S = 0.5  # for short work, once the server is told to end
OPENAPI = "/openapi.json"
OPEN_PATHS = ("/healthz", "/readyz")
_ABOUT = """Takes watch video streams without end, and are asked about any moment of them.

Times are seconds of session time, from a stream's first frame on. An answer carries its evidence:
moments with pictures. `/v1/chat/completions` is OpenAI's, so its clients work; `take` in the body
(`extra_body`) names the take. Frames of a camera come over the WebSocket
`/v1/takes/{take}/frames?camera=NAME`, previews and state go over `/v1/takes/{take}/view`."""
_TAGS = [
    {"name": "takes", "description": "Open, close, and how they stand."},
    {
        "name": "sources",
        "description": "Cameras and files that are watched, frames that are shown.",
    },
    {"name": "questions", "description": "Ask."},
    {"name": "OpenAI", "description": "Ask, in OpenAI's format."},
    {"name": "alerts", "description": "Standing questions."},
    {"name": "events", "description": "What happened."},
    {"name": "memory", "description": "Pictures, search, keep, forget, export."},
    {"name": "server", "description": "Health and numbers."},
]
_NO_TELEMETRY: TelemetryConfig = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "auto_configure": False,
}


class Page(Protocol):
    """What people see at ``/``."""

    def mount(self, app: FastAPI) -> FastAPI:
        """Add it to an application, behind every other route."""
        ...


def create_app(hall: Hall, access: Access, config: ServeConfig, page: Page | None = None) -> Guard:
    """An ASGI application.  Closing the hall is up to whoever opened it."""
    face = Face(hall, config, Pools(), Spent())
    hall.each(face.spent.listen)
    app = FastAPI(
        title=TITLE,
        version=_version(),
        description=_ABOUT,
        openapi_tags=_TAGS,
        openapi_url=None,
        docs_url=None,  # they load their scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        telemetry=_NO_TELEMETRY,
        lifespan=_lifespan(face),
    )
    add_handlers(app)
    app.add_middleware(InOrder)
    for part in (
        takes,
        ask,
        alerts,
        events,
        sources,
        memory,
        completions,
        health,
    ):
        app.include_router(part.router(face))
    app.include_router(pushing.router(hall))
    app.include_router(viewing.router(hall))
    _describe(app, access)
    add_unknown(app)
    add_static_files(app)
    if page is not None:
        app = page.mount(app)
    return Guard(app, access, config)


def _lifespan(face: Face) -> Any:
    """What waits for threads, or sends a whole memory, is let go soon after the server said that it
    is about to end, and so are threads that are at work."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()

        def end() -> None:
            face.ending.set()
            loop.call_later(ENDING_S, face.pools.close)

        def told(closing: Closing) -> None:
            if closing is SERVER_ENDING:
                with suppress(RuntimeError):  # the loop has ended
                    loop.call_soon_threadsafe(end)

        face.hall.each(lambda hosted: hosted.on_close.add(told))
        try:
            yield
        finally:
            face.pools.close()

    return lifespan


def _describe(app: FastAPI, access: Access) -> None:
    """``/openapi.json``, made when it is first asked for."""

    def describe() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = described(app, is_open=access.is_open)
        return app.openapi_schema

    app.openapi = describe  # type: ignore[method-assign]

    async def openapi() -> JSONResponse:
        return JSONResponse(describe(), headers={"Cache-Control": "no-cache"})

    app.add_api_route(OPENAPI, openapi, include_in_schema=False)


def described(app: FastAPI, *, is_open: bool) -> dict[str, Any]:
    """The OpenAPI description; with how to come in, where somebody is asked who he is."""
    told = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        tags=app.openapi_tags,
    )
    # Errors are of our own shape: FastAPI's belongs to nothing here.
    schemas = told.get("components", {}).get("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    told.setdefault("components", {})["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer", "description": "One of the server's tokens."}
    }
    if not is_open:
        told["security"] = [{"token": []}]
        for path in OPEN_PATHS:
            told["paths"][path]["get"]["security"] = []
    return told


def _version() -> str:
    try:
        return version("longtake")
    except PackageNotFoundError:  # a checkout that is not installed
        return "0"
