"""What is on its way to the disk: chunks, notes and gaps, in the order in which they came.

A chunk is readable from here until it is durable.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from longtake.memory.catalog import Row
from longtake.memory.chunk import Chunk, ChunkInfo
from longtake.memory.encoding import Encoder
from longtake.memory.marks import Missing
from longtake.memory.segments import Place
from longtake.memory.staging import Staged, unpinned

_SMALL = 256  # what an entry without tensors counts


class QueuedChunk:
    """A chunk that was put.

    Args:
        staged: its copy; None where it is encoded already.
        record: its bytes, where back-pressure made it small before it was queued.
    """

    def __init__(
        self,
        info: ChunkInfo,
        geometry: tuple[int, int, int],
        codec: str,
        *,
        staged: Staged | None = None,
        record: bytearray | None = None,
    ) -> None:
        self.info, self.geometry, self.codec = info, geometry, codec
        self._staged, self._record = staged, record
        self.place: Place | None = None  # where it was written
        self.nbytes = len(record) if record is not None else staged.nbytes if staged else 0

    def __repr__(self) -> str:
        return f"QueuedChunk({self.info}, {self.codec})"

    may_wait = True

    def absorb(self, later: object) -> bool:
        """Chunks stay apart."""
        return False

    @property
    def row(self) -> Row:
        """As the catalog will have it."""
        return Row(self.info, self.geometry, self.place, self.codec)

    def record(self, encoder: Encoder) -> bytearray:
        """Its bytes, made when they are asked for."""
        if self._record is not None:
            return self._record
        assert self._staged is not None
        return encoder.encode(self._staged.chunk, self._staged.vectors, self.codec)

    def chunk(self, encoder: Encoder) -> Chunk:
        """Its tensors, those that were put where it was not made small."""
        if self._staged is not None:
            return self._staged.chunk
        assert self._record is not None
        return encoder.decode(self._record)

    def vectors(self, encoder: Encoder) -> Tensor:
        """Search vectors float32 ``[L, H*D]``."""
        if self._staged is not None:
            return self._staged.vectors
        assert self._record is not None
        return encoder.vectors(self._record)

    @property
    def whole(self) -> Chunk | None:
        """What the RAM tier may keep: the tensors where the disk has every bit of them."""
        if self._staged is None or self.codec != "raw":
            return None
        return unpinned(self._staged.chunk)


@dataclass(slots=True, eq=False)
class QueuedNote:
    """A JSON text under a name."""

    key: str
    text: str
    nbytes: int = field(default=_SMALL)

    @property
    def may_wait(self) -> bool:
        return False

    def absorb(self, later: object) -> bool:
        """A later value under the same name takes the place of this one."""
        if not isinstance(later, QueuedNote) or later.key != self.key:
            return False
        self.text = later.text
        return True


@dataclass(slots=True, eq=False)
class QueuedGap:
    """A chunk that came and was not taken, or a stretch in which nothing came."""

    missing: Missing
    nbytes: int = field(default=_SMALL)

    @property
    def may_wait(self) -> bool:
        return False

    def absorb(self, later: object) -> bool:
        """Neighbouring gaps of one reason and camera are one."""
        if not isinstance(later, QueuedGap) or not self.missing.is_beside(later.missing):
            return False
        self.missing = self.missing.joined(later.missing)
        return True


@dataclass(slots=True, eq=False)
class QueuedEvent:
    """Something in the album that no chunk may come behind: it asks for a commit in time."""

    nbytes: int = field(default=_SMALL)

    @property
    def may_wait(self) -> bool:
        return False

    def absorb(self, later: object) -> bool:
        """Many ask as one."""
        return isinstance(later, QueuedEvent)


Queued = QueuedChunk | QueuedNote | QueuedGap | QueuedEvent
