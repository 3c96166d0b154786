"""What is to happen to files, said before it happens, so that a crash between two steps is
finished at the next opening.

    remove  segments that no record counts in any more
    erase   records that were forgotten: overwritten with zeros
    forget  pictures and captions that go with them
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from longtake.memory.album import Album
from longtake.memory.segments import Place, SegmentLog


@dataclass(frozen=True, slots=True)
class Forgetting:
    """Pictures by chunk number, captions by time and camera."""

    numbers: tuple[int, ...]
    start_s: float
    end_s: float
    camera: str | None = None
    is_traceless: bool = True  # no byte may stay anywhere; False: it has only grown too old


@dataclass(frozen=True, slots=True)
class Intent:
    """Steps that may be done twice."""

    remove: tuple[int, ...] = ()
    erase: tuple[Place, ...] = ()
    forget: Forgetting | None = None

    @classmethod
    def parse(cls, said: dict[str, Any]) -> Intent:
        """What `as_json` gave; {} is nothing."""
        forget = said.get("forget")
        return cls(
            remove=tuple(said.get("remove", ())),
            erase=tuple(Place(*fields) for fields in said.get("erase", ())),
            forget=None if forget is None else _forgetting(**forget),
        )

    def as_json(self) -> dict[str, Any]:
        return {
            "remove": list(self.remove),
            "erase": [[place.segment, place.offset, place.nbytes] for place in self.erase],
            "forget": None if self.forget is None else asdict(self.forget),
        }

    def __bool__(self) -> bool:
        return bool(self.remove or self.erase or self.forget)

    def carry_out(self, log: SegmentLog, album: Album) -> None:
        """Do it.  Raises OSError where a step fails; all of it may be tried again."""
        for place in self.erase:
            if log.path(place.segment).exists():
                log.erase(place)
        for number in self.remove:
            log.remove(number)
        one = self.forget
        if one is not None and one.is_traceless:
            album.forget(one.numbers, one.start_s, one.end_s, one.camera)
        elif one is not None:
            album.drop(one.numbers, [(one.start_s, one.end_s)])


def _forgetting(numbers: Sequence[int], **fields: Any) -> Forgetting:
    return Forgetting(tuple(numbers), **fields)
