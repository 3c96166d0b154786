"""What happened while a source was read: counted, never hidden."""

from __future__ import annotations

from dataclasses import dataclass, fields

COUNTERS = (
    "decoded",
    "kept",
    "bad_packets",
    "corrupt",
    "times_made_up",
    "times_repaired",
    "size_changes",
    "oversized",
    "unreadable",
    "ignored",
)


@dataclass(slots=True)
class SourceReport:
    """Counts and bounds of one reading; the source writes it, everybody reads it.

    Times are session seconds.  All but the counters settle when `frames()` has ended.
    """

    decoded: int = 0  # pictures that came out of the decoder
    kept: int = 0  # of these, handed out
    bad_packets: int = 0  # refused by the decoder; reading went on
    corrupt: int = 0  # marked damaged by the decoder (handed out), or not convertible (not)
    times_made_up: int = 0  # frames without a time stamp: given one from the rate
    times_repaired: int = 0  # steps backwards and absurd jumps, straightened
    size_changes: int = 0  # in mid-stream
    oversized: int = (
        0  # refused as larger than any sane picture; threads may tell of several at once
    )
    unreadable: int = 0  # files of a folder that could not be read
    ignored: int = 0  # files of a folder that were not meant (a thumbnail among clips)
    started_s: float | None = None  # first frame in the range that was asked for
    ended_s: float | None = None  # last frame in it, kept or not
    promised_s: float | None = None  # where the file says its pictures end
    complete: bool = False  # everything promised, or asked for, was there
    end_reason: str = "not read to its end"

    def add_counts(self, other: SourceReport) -> None:
        """Take another reading's counters into this one; times and the verdict stay."""
        for name in COUNTERS:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    @property
    def repairs(self) -> dict[str, int]:
        """What was wrong and mended, counted by name in words; only what happened."""
        counts = {name: getattr(self, name) for name in COUNTERS if name not in ("decoded", "kept")}
        return {name.replace("_", " "): count for name, count in counts.items() if count}

    def saw(self, pts_s: float) -> None:
        """Widen the range by a frame at `pts_s`."""
        if self.started_s is None:
            self.started_s = pts_s
        self.ended_s = pts_s

    def __str__(self) -> str:
        counts = ", ".join(
            f"{field.name} {getattr(self, field.name)}"
            for field in fields(self)
            if field.name in COUNTERS and getattr(self, field.name)
        )
        return f"{'complete' if self.complete else 'partial'}: {self.end_reason} ({counts})"
