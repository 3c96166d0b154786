"""Frames become whole steps of one camera each: models take one or two frames a step.

Cameras fill their steps side by side, and a step is whole with its last frame, so steps end in the
order of time.  A camera that has nothing to add for long does not hold its frames back: its step is
filled by repeating the last one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from longtake.streaming.frame import Frame


class Filling:
    """Of one stream.

    Args:
        each: frames of a step.
        patience_s: a frame that is this much older than a camera's that comes waits no more.
    """

    def __init__(self, each: int, patience_s: float) -> None:
        self._each, self._patience_s = each, patience_s
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
        late = [
            camera
            for camera, begun in self._begun.items()
            if camera != frame.camera and begun[0].pts_s < frame.pts_s - self._patience_s
        ]
        whole = [self._filled(camera) for camera in late]
        begun = self._begun.setdefault(frame.camera, [])
        begun.append(frame)
        if len(begun) == self._each:
            whole.append(self._begun.pop(frame.camera))
        return whole

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
