"""``longtake ui``: its flags."""

from __future__ import annotations

from typing import Annotated

import typer

from longtake.cli import capture_flags, flags, serve_flags
from longtake.cli.flag_groups import Given, grouped


@grouped
def ui(
    sources: serve_flags.SourcesArgument = None,
    *,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="open the page when it is there")
    ] = True,
    serving: Annotated[Given, serve_flags.SERVE],
    kept: Annotated[Given, serve_flags.KEPT],
    model: Annotated[Given, flags.MODEL],
    recalling: Annotated[Given, flags.RECALL],
    stream: Annotated[Given, flags.STREAM],
    store: Annotated[Given, flags.STORE],
    decoding: Annotated[Given, flags.DECODING],
    capture: Annotated[Given, capture_flags.CAPTURE],
) -> int:
    """Open the live page: a camera, a question, an answer with pictures of its moment.

    longtake ui

    longtake ui webcam:0 --memory runs/desk

    longtake ui street.mp4

    The same server as `longtake serve`, with your browser opened on it.
    """
    from longtake.cli import run_serve

    request = serve_flags.request(
        sources, serving, kept, capture, **model, **recalling, **stream, **store, **decoding
    )
    return run_serve.run(request, opens_browser=browser)
