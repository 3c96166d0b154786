"""``longtake serve``: its flags."""

from __future__ import annotations

from typing import Annotated

from longtake.cli import capture_flags, flags, serve_flags
from longtake.cli.flag_groups import Given, grouped


@grouped
def serve(
    sources: serve_flags.SourcesArgument = None,
    *,
    serving: Annotated[Given, serve_flags.SERVE],
    kept: Annotated[Given, serve_flags.KEPT],
    model: Annotated[Given, flags.MODEL],
    recalling: Annotated[Given, flags.RECALL],
    stream: Annotated[Given, flags.STREAM],
    store: Annotated[Given, flags.STORE],
    decoding: Annotated[Given, flags.DECODING],
    capture: Annotated[Given, capture_flags.CAPTURE],
    as_json: flags.JsonOption = False,
) -> int:
    """Serve takes over HTTP: the page, an API in OpenAI's format, WebSockets, metrics.

    longtake serve

    longtake serve rtsp://cam.local/main --memory runs/door --allow-source 192.168.1.0/24

    longtake serve --host 0.0.0.0 --token-file tokens.txt --tls auto

    One take, `live`, is open from the beginning; visitors may open more.  Ends with Ctrl-C or
    SIGTERM, when all that was seen is written.
    """
    from longtake.cli import run_serve

    request = serve_flags.request(
        sources, serving, kept, capture, **model, **recalling, **stream, **store, **decoding
    )
    return run_serve.run(request, as_json=as_json)
