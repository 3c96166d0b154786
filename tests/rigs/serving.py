"""A real server on loopback, in a thread of this process, for as long as a test needs it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from longtake.server.config import ServeConfig
from longtake.server.running import Certificate, Serving, listen, url_of

WAIT_S = 20.0


@contextmanager
def serving(
    app: Any, config: ServeConfig | None = None, certificate: Certificate | None = None
) -> Iterator[str]:
    """Its address, such as ``http://127.0.0.1:41234``.

    Args:
        app: ASGI.
        config: port 0 of loopback, unless it names another address.
    """
    config = config or ServeConfig(port=0)
    ready, listener = threading.Event(), listen(config)
    server = Serving(app, config, certificate=certificate, on_ready=ready.set)
    thread = threading.Thread(target=server.serve_on, args=([listener],), name="serving")
    thread.start()
    try:
        assert ready.wait(WAIT_S), "the server did not begin to answer"
        yield url_of(listener, is_tls=certificate is not None)
    finally:
        server.stop()
        thread.join(WAIT_S)
        listener.close()
    assert not thread.is_alive(), "the server did not end"
