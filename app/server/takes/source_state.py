"""How one source of a take stands, whatever kind it is of."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import PurePath
from typing import Any

from longtake.streaming.addresses import has_scheme
from longtake.streaming.errors import redact


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceState:
    """One look at a source; nothing in it holds a login."""

    id: str  # "s1"
    camera: str
    kind: str  # rtsp, http, udp, device, lavfi, file, folder, stdin, pipe, push
    address: str  # redacted; of an upload its name
    state: str  # connecting, live, stalled, reconnecting, ended, failed
    error: str = ""
    fps: float = 0.0  # that come
    seen: int = 0  # came
    kept: int = 0  # for the model
    dropped: int = 0
    lag_s: float = 0.0
    size: tuple[int, int] | None = None  # width, height
    is_mine: bool = False

    @property
    def is_over(self) -> bool:
        """Nothing more will come of it."""
        return self.state in ("ended", "failed")

    def as_json(self) -> dict[str, Any]:
        found = asdict(self)
        found["size"] = None if self.size is None else list(self.size)
        found["fps"], found["lag_s"] = round(self.fps, 2), round(self.lag_s, 3)
        return found


def shown_address(address: str) -> str:
    """As visitors see it: without credentials, and of a file of this machine its name alone."""
    if has_scheme(address) or address.startswith("/dev/"):
        return redact(address)
    return redact(PurePath(address).name or address)
