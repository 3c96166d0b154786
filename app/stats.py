"""How a take stands, in numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from longtake.memory.marks import Gap, Span
from longtake.streaming.capture import CaptureStats


@dataclass(frozen=True, slots=True)
class TakeStats:
    """A take at one moment."""

    received: int  # frames that came: those seen, those that wait and those dropped
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
    rungs: Mapping[str, int]  # chunks in the memory by codec, or "picture" where no more is left
    gaps: Sequence[Gap]  # what was seen and is not held, in time order
    kept: Sequence[Span]  # what never grows too old, in time order
    queue_bytes: int  # of chunks on their way to the disk
    refused: int  # chunks that a slow disk cost in this run; they are among the gaps
    cameras: Mapping[str, CaptureStats]  # that are, or were, watched live, by name
    degraded: int  # and those that were written with fewer bits for that reason
