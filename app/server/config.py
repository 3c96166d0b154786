"""How a server is reached and what bounds it: one checked set of settings.

What the bounds protect is known to the files that keep them; who may come in, to `access`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from longtake.streaming.errors import redact

MOST_PORT = 65535
_NAME = re.compile(r"\[?[0-9a-fA-F:.]+\]?|[A-Za-z0-9._-]+")
_ORIGIN = re.compile(r"https?://(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::\d{1,5})?")


@dataclass(frozen=True, kw_only=True, slots=True)
class ServeConfig:
    """Where a server listens, and how much of everything it takes.

    Raises:
        ValueError: names the setting, its value and what it may be.
    """

    host: str = "127.0.0.1"
    port: int = 7860  # 0: any that is free
    allow_sources: tuple[str, ...] = ()  # beyond public addresses: CIDR, host, private, loopback,
    # files (paths of this machine), devices (its cameras)
    allow_hosts: tuple[str, ...] = ()  # names in a request's Host beside this machine's own
    allow_origins: tuple[str, ...] = ()  # of other sites' pages that may call, scheme://host:port
    max_takes: int = 8  # open at the same time
    max_engines: int = 1  # models that are loaded at the same time
    max_sources: int = 16  # of one take
    max_sockets: int = 64  # viewers and pushing cameras, of all takes together
    max_message_bytes: int = 4 << 20  # one frame over a WebSocket
    max_json_bytes: int = 1 << 20  # of a request that holds neither a picture nor a video
    max_body_bytes: int = 32 << 20  # of a form with a picture
    max_upload_bytes: int = 4 << 30  # of a video
    max_upload_s: float = 24 * 3600.0  # how long an uploaded video may last
    max_picture_pixels: int = 50_000_000

    def __post_init__(self) -> None:
        object.__setattr__(self, "allow_sources", tuple(self.allow_sources))
        object.__setattr__(self, "allow_hosts", tuple(self.allow_hosts))
        object.__setattr__(self, "allow_origins", tuple(self.allow_origins))
        if not self.host.strip():
            raise ValueError("host: is empty; 127.0.0.1 is this machine alone, 0.0.0.0 all of it")
        if not 0 <= self.port <= MOST_PORT:
            raise ValueError(f"port={self.port}: must be 0 (any that is free) to {MOST_PORT}")
        for name in self.allow_hosts:
            if not _NAME.fullmatch(name):
                raise ValueError(
                    f"allow_hosts: {name!r} is no name of a host; write it without scheme and "
                    "port, as in house.local"
                )
        for origin in self.allow_origins:
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(
                    f"allow_origins: {redact(origin)!r} is no origin; write scheme, host and port "
                    "alone, as in https://house.local:8443"
                )
        for name in (
            "max_takes",
            "max_engines",
            "max_sources",
            "max_sockets",
            "max_message_bytes",
            "max_json_bytes",
            "max_body_bytes",
            "max_upload_bytes",
            "max_upload_s",
            "max_picture_pixels",
        ):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}={getattr(self, name)}: must be more than 0")
