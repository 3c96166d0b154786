"""How much of the past is kept where: the one configuration of this room."""

import math
from dataclasses import dataclass

INDEX_NAMES = ("auto", "exact", "faiss")


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryConfig:
    """Budgets and habits of a memory.  Changing any of them never makes an old folder unreadable.

    Raises:
        ValueError: if a value makes no sense; the message names it and the rule.
    """

    ram_bytes: int = 4 << 30  # chunks kept in RAM beside the disk; 0: read every one from disk
    disk_bytes: int | None = None  # the whole folder; None: until the disk is full
    index: str = "auto"  # who searches: one of INDEX_NAMES
    segment_bytes: int = 256 << 20  # a log file is closed and the next begun at this size
    thumbnail_px: int = 320  # longer side of the pictures shown as evidence
    commit_s: float = 1.0  # a crash loses at most what came in this time; 0: nothing

    def __post_init__(self) -> None:
        if self.ram_bytes < 0:
            raise ValueError(f"ram_bytes={self.ram_bytes}: must be 0 (no cache) or more")
        if self.disk_bytes is not None and self.disk_bytes <= 0:
            raise ValueError(
                f"disk_bytes={self.disk_bytes}: must be positive, or None for no limit"
            )
        if self.index not in INDEX_NAMES:
            raise ValueError(f"index={self.index!r}: must be one of {', '.join(INDEX_NAMES)}")
        if self.segment_bytes <= 0:
            raise ValueError(f"segment_bytes={self.segment_bytes}: must be positive")
        if self.thumbnail_px <= 0:
            raise ValueError(f"thumbnail_px={self.thumbnail_px}: must be positive")
        if not (math.isfinite(self.commit_s) and self.commit_s >= 0):
            raise ValueError(f"commit_s={self.commit_s}: must be 0 (commit every chunk) or more")
