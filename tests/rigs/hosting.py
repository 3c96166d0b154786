"""Takes on a server without its HTTP face: a hall, its two sockets, and pictures to send."""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from typing import Any

import cv2
import numpy as np
from fastapi import FastAPI
from websockets.sync.client import ClientConnection, connect

from longtake.engine import Engine
from longtake.models.base import Adapter
from longtake.models.decode import Decoding
from longtake.models.loader import load
from longtake.server.config import ServeConfig
from longtake.server.running import Serving, listen, url_of
from longtake.server.sockets import pushing, viewing
from longtake.server.sockets.protocol import SocketProtocol
from longtake.server.takes.engines import Engines
from longtake.server.takes.hall import Hall
from longtake.settings import TakeConfig
from longtake.streaming.capture_config import CaptureConfig

LONG_S = 30.0
SETTINGS = TakeConfig(
    fps=5.0,
    window_s=4.0,
    top_k=2,
    decoding=Decoding(max_tokens=3),
    capture=CaptureConfig(policy="newest"),
)
# the operator's own test pictures; no visitor may name such a graph
LAVFI = replace(SETTINGS, capture=CaptureConfig(allow=frozenset({"lavfi"}), backoff_s=0.2))
GRAPH = "lavfi:testsrc=size=64x48:rate=20,realtime"


@cache
def adapter() -> Adapter:
    """The model, loaded once."""
    return load("embedded", device="cpu")


@contextmanager
def hall(config: ServeConfig | None = None, **more: Any) -> Iterator[Hall]:
    """Without a take yet."""
    engines = Engines(["embedded"], load=lambda name: Engine(adapter()))
    settings = more.pop("settings", SETTINGS)
    with Hall(engines, config or ServeConfig(port=0), settings=settings, **more) as made:
        yield made


def jpeg(width: int = 64, height: int = 48, seed: int = 0, quality: int = 90) -> bytes:
    """Noise."""
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return encode(noise, quality)


def encode(image: Any, quality: int = 90) -> bytes:
    """RGB to a file's bytes."""
    done, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    return bytes(data)


def decode(data: bytes) -> Any:
    """A file's bytes to RGB."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return image[..., ::-1]


def message(picture: bytes, taken_s: float, number: int = 1, age_ms: int = 0) -> bytes:
    """As a browser sends a frame; 0: it does not say how old it is."""
    return struct.pack("<dII", taken_s, number, age_ms) + picture


@contextmanager
def sockets(hall: Hall) -> Iterator[str]:
    """A real server with both sockets alone: ``ws://127.0.0.1:PORT/v1/takes``."""
    app = FastAPI()
    app.include_router(pushing.router(hall))
    app.include_router(viewing.router(hall))
    ready, listener = threading.Event(), listen(hall.config)
    server = Serving(app, hall.config, on_ready=ready.set)
    server.config.ws = SocketProtocol
    thread = threading.Thread(target=server.serve_on, args=([listener],), name="serving")
    thread.start()
    try:
        assert ready.wait(LONG_S)
        yield f"{url_of(listener).replace('http', 'ws')}/v1/takes"
    finally:
        server.stop()
        thread.join(LONG_S)
        listener.close()
    assert not thread.is_alive(), "the server did not end"


def open_socket(url: str, **more: Any) -> ClientConnection:
    """As a browser does, without compression; it answers pings."""
    return connect(url, compression=None, open_timeout=LONG_S, proxy=None, **more)
