"""How much of the past is kept where, and how: the one configuration of this room."""

import math
from dataclasses import dataclass

from longtake.memory.ladder import Ladder

INDEX_NAMES = ("auto", "exact", "faiss", "staged")
CODEC_NAMES = ("raw", "int8", "kivi4", "kivi2")
BACK_PRESSURES = ("block", "degrade", "drop")
DEFAULT_LADDER = "int8,kivi4,kivi2,picture,gone"


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryConfig:
    """Budgets and habits of a memory.  Changing any of them never makes an old folder unreadable.

    Raises:
        ValueError: if a value makes no sense; the message names it and the rule.
    """

    ram_bytes: int = 4 << 30  # chunks kept in RAM beside the disk; 0: read every one from disk
    disk_bytes: int | None = None  # the whole folder; None: until the disk is full
    codec: str = "raw"  # how new chunks are written: one of CODEC_NAMES
    ladder: str = DEFAULT_LADDER  # what becomes of old chunks (`ageing.Ladder`); "none": nothing
    queue_bytes: int = 256 << 20  # chunks on their way to the disk; 0: each is waited for
    back_pressure: str = "block"  # when the queue is full: one of BACK_PRESSURES
    index: str = "auto"  # who searches: one of INDEX_NAMES
    index_device_bytes: int = 0  # of the index on the model's device; beyond, it is in RAM
    segment_bytes: int = 256 << 20  # a log file is closed and the next begun at this size
    thumbnail_px: int = 320  # longer side of the pictures shown as evidence
    commit_s: float = 1.0  # a crash loses at most what came in this time; 0: nothing

    def __post_init__(self) -> None:
        for name in ("ram_bytes", "queue_bytes", "index_device_bytes"):
            value = getattr(self, name)
            if value < 0:
                raise ValueError(f"{name}={value}: must be 0 (none) or more")
        if self.disk_bytes is not None and self.disk_bytes <= 0:
            raise ValueError(
                f"disk_bytes={self.disk_bytes}: must be positive, or None for no limit"
            )
        for name, known in (
            ("codec", CODEC_NAMES),
            ("back_pressure", BACK_PRESSURES),
            ("index", INDEX_NAMES),
        ):
            value = getattr(self, name)
            if value not in known:
                raise ValueError(f"{name}={value!r}: must be one of {', '.join(known)}")
        Ladder.parse(self.ladder)  # says what it does not understand
        for name in ("segment_bytes", "thumbnail_px"):
            value = getattr(self, name)
            if value <= 0:
                raise ValueError(f"{name}={value}: must be positive")
        if not (math.isfinite(self.commit_s) and self.commit_s >= 0):
            raise ValueError(f"commit_s={self.commit_s}: must be 0 (commit every chunk) or more")
