"""Frames become whole steps of one camera each: models take one or two frames a step.

Cameras fill their steps side by side, and a step is whole with its last frame, so steps end in the
order of time.  A camera that is too slow for that does not hold its frames back: before a step of
another one that begins later its own is filled by repeating the last frame.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from longtake.streaming.frame import Frame


class Filling:
    """Of one stream.

    Args:
        each: frames of a step.
    """

    def __init__(self, each: int) -> None:
        self._each = each
        self._begun: dict[str, list[Frame]] = {}  # by camera: less than a step

    def __len__(self) -> int:
        """Frames that wait."""
        return sum(map(len, self._begun.values()))

    @property
    def newest_s(self) -> float:
        """Time of the newest frame that waits; -inf if none does."""
        return max((begun[-1].pts_s for begun in self._begun.values()), default=float("-inf"))

    def add(self, frame: Frame) -> list[Sequence[Frame]]:
        """Steps that are whole now, in the order of their ends."""
        begun = self._begun.setdefault(frame.camera, [])
        begun.append(frame)
        if len(begun) < self._each:
            return []
        step = self._begun.pop(frame.camera)
        late = [c for c, begun in self._begun.items() if begun[0].pts_s < step[0].pts_s]
        return [*map(self._filled, late), step]

    def flush(self) -> list[Sequence[Frame]]:
        """All that wait, filled."""
        return [self._filled(camera) for camera in tuple(self._begun)]

    def drop(self, is_meant: Callable[[Frame], bool]) -> int:
        """Forget some of the frames that wait; how many."""
        before = len(self)
        kept = {
            camera: [frame for frame in begun if not is_meant(frame)]
            for camera, begun in self._begun.items()
        }
        self._begun = {camera: begun for camera, begun in kept.items() if begun}
        return before - len(self)

    def _filled(self, camera: str) -> Sequence[Frame]:
        begun = self._begun.pop(camera)
        return begun + begun[-1:] * (self._each - len(begun))


def count(step: Sequence[Frame]) -> int:
    """Frames of a step that were seen, and not repeated."""
    return len({id(frame) for frame in step})
