"""Paths of the API that are none, in its own words; a mounted page would answer otherwise."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match
from starlette.types import Scope

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]


def add_unknown(app: FastAPI) -> None:
    """Behind every route of ``/v1``: routes that are added later are not looked at."""
    routes = list(app.router.routes)

    async def unknown(request: Request) -> None:
        allowed = [method for method in METHODS if _fits(routes, request.scope, method)]
        if allowed:
            may = ", ".join(allowed)
            said = f"{request.method} is not known here; {may} is"
            raise HTTPException(405, said, {"Allow": may})
        raise HTTPException(404, "there is nothing here; /openapi.json says what there is")

    app.add_api_route("/v1/{rest:path}", unknown, methods=METHODS, include_in_schema=False)


def _fits(routes: Sequence[BaseRoute], scope: Scope, method: str) -> bool:
    return any(route.matches({**scope, "method": method})[0] is Match.FULL for route in routes)
