"""Names of cameras as visitors give them: what they may be, and which one is free."""

from __future__ import annotations

from longtake.memory.intake import check_camera

UNNAMED = "camera"  # the beginning of a name where the empty one is in use
MOST_LETTERS = 64


def check_name(camera: str) -> None:
    """Raises ValueError if this cannot be a camera's name."""
    if len(camera) > MOST_LETTERS or not camera.isprintable():
        raise ValueError(
            f"camera={camera[:MOST_LETTERS]!r}: must be at most {MOST_LETTERS} letters that can be "
            "shown"
        )
    check_camera(camera)


def free_name(wanted: str, taken: set[str]) -> str:
    """The wanted name, with the first number from 2 on where it is taken.  The empty one is a name
    as others are: who wants it and comes second is "camera 2"."""
    if wanted not in taken:
        return wanted
    base = wanted or UNNAMED
    return next(name for n in range(2, len(taken) + 3) if (name := f"{base} {n}") not in taken)
