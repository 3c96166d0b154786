"""How a take stands, in numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TakeStats:
    """A take at one moment."""

    frames: int  # seen by the model
    chunks: int
    newest_s: float
    waiting: int  # frames in the mailbox
    dropped: Mapping[str, int]  # frames that were not seen, by reason
    window_tokens: int
    device_bytes: int  # sink and window
    index_bytes: int  # search vectors, in RAM
    ram_bytes: int
    disk_bytes: int
    corrupt: int  # reads of chunks whose bytes had changed or are gone
