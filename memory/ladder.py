"""What becomes of old chunks, rung by rung: fewer bits, only the picture, nothing.

raw -> int8 -> kivi4 -> kivi2 -> picture -> gone
"""

import math
import re
from dataclasses import dataclass
from itertools import pairwise

PICTURE = "picture"  # stands for a codec where only the thumbnail is left
GONE = "gone"
RUNGS = ("raw", "int8", "kivi4", "kivi2", PICTURE, GONE)  # from the top down
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_RUNG = re.compile(r"(?P<name>[a-z0-9]+)(?:@(?P<age>[0-9.]+)(?P<unit>[smhd]))?")


@dataclass(frozen=True, slots=True)
class Rung:
    """One step down."""

    name: str  # one of RUNGS but the first
    after_s: float = math.inf  # of stream; a chunk that old stands here; inf: only for room


@dataclass(frozen=True, slots=True)
class Ladder:
    """The rungs below the one on which chunks are written, from the top down.

    ``int8@1h,kivi4@1d,kivi2,picture,gone@90d``: int8 after an hour, 4 bit after a day, the others
    only where `disk_bytes` asks for it, and gone after 90 days.  ``none``: everything stays as
    it is, and a memory that is full refuses more.
    """

    rungs: tuple[Rung, ...]

    @classmethod
    def parse(cls, text: str) -> "Ladder":
        """Raises ValueError: names the part, the rule, and what is known."""
        if text.strip() == "none":
            return cls(())
        rungs = tuple(_parse_rung(part.strip(), text) for part in text.split(","))
        for above, below in pairwise(rungs):
            if RUNGS.index(above.name) >= RUNGS.index(below.name):
                raise ValueError(
                    f"ladder={text!r}: {below.name} stands below {above.name}; the order is "
                    f"{', '.join(RUNGS[1:])}"
                )
        ages = [rung.after_s for rung in rungs if rung.after_s < math.inf]
        if ages != sorted(ages):
            raise ValueError(f"ladder={text!r}: a lower rung must not come earlier than a higher")
        return cls(rungs)

    def due(self, level: int, age_s: float) -> Rung | None:
        """The lowest rung that a chunk on `level` of that age should stand on; None: it does."""
        found = [rung for rung in self.below(level) if age_s > rung.after_s]
        return found[-1] if found else None

    def below(self, level: int) -> tuple[Rung, ...]:
        """The rungs below a level, from the top down."""
        return tuple(rung for rung in self.rungs if level_of(rung.name) > level)

    @property
    def has_ages(self) -> bool:
        return self.first_age_s < math.inf

    @property
    def first_age_s(self) -> float:
        """The smallest; inf where there is none."""
        return min((rung.after_s for rung in self.rungs), default=math.inf)


def level_of(name: str) -> int:
    """Where a codec, or a rung without one, stands: 0 is the top."""
    return RUNGS.index(base_of(name))


def base_of(codec: str) -> str:
    """``unbiased-kivi4`` -> ``kivi4``."""
    return codec.removeprefix("unbiased-")


def _parse_rung(part: str, text: str) -> Rung:
    found = _RUNG.fullmatch(part)
    if found is None or found["name"] not in RUNGS[1:]:
        raise ValueError(
            f"ladder={text!r}: {part!r} is no rung; write some of {', '.join(RUNGS[1:])}, each "
            "with an age or without (int8@1h; s, m, h, d), or none"
        )
    if found["age"] is None:
        return Rung(found["name"])
    try:
        age_s = float(found["age"]) * _UNITS[found["unit"]]
    except ValueError:
        raise ValueError(f"ladder={text!r}: {found['age']!r} is no age") from None
    return Rung(found["name"], age_s)
