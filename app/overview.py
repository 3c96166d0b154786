"""A take's past as a page shows it: what was said and logged, pictures, and where chunks lie.

Any thread may ask, and none waits for the worker: it is told from the store, which has locks of
its own, and from `Session.live`, which the worker replaces as a whole.  The model is not asked, and
nothing of the stream is changed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from longtake.holding import Held, longest_step_s, runs
from longtake.memory.album import Caption
from longtake.memory.events import Event
from longtake.memory.intake import check_camera
from longtake.memory.known import ChunkMissing
from longtake.memory.ladder import RUNGS
from longtake.memory.places import WINDOW, Places
from longtake.moments import Picture
from longtake.scenes import Scenes

if TYPE_CHECKING:
    from longtake.memory.chunk import ChunkInfo
    from longtake.memory.store import Store
    from longtake.session import Session

_MOST_KIND = 32  # letters of an event's kind
_TRIES = 64  # pictures that are looked for one by one, before all that there are
_RAW = RUNGS.index("raw")


class Overview:
    """Made for each take.

    Args:
        now_s: session time of this moment.
    """

    def __init__(self, session: Session, store: Store, now_s: Callable[[], float]) -> None:
        self._session, self._store, self._now_s = session, store, now_s
        self._scenes = Scenes(store.album.jpeg)

    # ---------------------------------------------------------------- what happened

    def log(
        self,
        kind: str,
        name: str,
        text: str,
        start_s: float | None,
        end_s: float | None,
        camera: str,
        score: float | None,
    ) -> Event:
        """As `Take.log` says."""
        if not (kind.isidentifier() and len(kind) <= _MOST_KIND):
            raise ValueError(
                f"kind={kind[:_MOST_KIND]!r}: must be one word of letters, digits and _, such as "
                f"'question', of at most {_MOST_KIND}"
            )
        check_camera(camera)
        if score is not None and not 0 <= score <= 1:
            raise ValueError(f"score={score}: must be 0 to 1; None where there is none")
        if start_s is None:
            start_s = self._now_s() if end_s is None else end_s
        end_s = start_s if end_s is None else end_s
        return self._store.log(Event(start_s, end_s, kind, name, text, camera, score=score))

    def captions(self, start_s: float, end_s: float, most: int | None) -> list[Caption]:
        """As `Take.captions` says."""
        check_span(start_s, end_s)
        check_most(most)
        return self._store.album.captions(start_s, end_s, most)

    # ---------------------------------------------------------------- pictures

    def picture(self, number: int) -> Picture | None:
        """As `Take.picture` says."""
        info = self._info(number)
        return None if info is None else self._shown(info)

    def picture_at(self, at_s: float, camera: str | None) -> Picture | None:
        """As `Take.picture_at` says."""
        if not math.isfinite(at_s):
            raise ValueError(f"at_s={at_s}: must be a session time")
        places = self._places()
        if camera is not None:
            places = places.of(camera)
        far_s = np.maximum(places.start_s - at_s, at_s - places.end_s).clip(min=0)
        nearest = places.numbers[np.argsort(far_s, kind="stable")].tolist()
        return next(self._with_picture(nearest), None)

    def frames(self, start_s: float, end_s: float, most: int | None) -> list[Picture]:
        """As `Take.frames` says."""
        check_span(start_s, end_s)
        check_most(most)
        numbers = self._places().touching(start_s, end_s).numbers
        if most is not None and len(numbers) > most:
            numbers = numbers[((np.arange(most) + 0.5) * len(numbers) / most).astype(np.int64)]
        infos = [self._info(number) for number in numbers.tolist()]
        return [self._shown(info) for info in infos if info is not None]

    def scenes(self, start_s: float, end_s: float, most: int) -> list[float]:
        """As `Take.scenes` says."""
        check_span(start_s, end_s)
        check_most(most)
        places = self._places()
        self._scenes.keep_only(places)
        return self._scenes.times(places.touching(start_s, end_s), most)

    # ---------------------------------------------------------------- where it lies

    def held(self, start_s: float, end_s: float, most: int) -> list[Held]:
        """As `Take.held` says."""
        check_span(start_s, end_s)
        check_most(most)
        places = self._places()
        return runs(places.touching(start_s, end_s), most, longest_step_s(places))

    def count(self, start_s: float, end_s: float) -> int:
        """How many chunks touch a span."""
        return len(self._places().touching(start_s, end_s))

    def has_live(self, start_s: float | None, end_s: float | None) -> bool:
        """Whether a span, None being its open ends, touches what the device holds."""
        begin_s = -math.inf if start_s is None else start_s
        last_s = math.inf if end_s is None else end_s
        return any(i.start_s <= last_s and i.end_s >= begin_s for i in self._session.live)

    def forget(self) -> None:
        """Some of the past is gone: remember nothing of it."""
        self._scenes.forget()

    # ---------------------------------------------------------------- within

    def _places(self) -> Places:
        """The window is looked at first: what leaves it meanwhile is found twice, as one."""
        live, places = self._live(), self._store.places()
        if self._store.read_only:  # its writer may have forgotten what this window holds
            _, is_there = places.find(np.array([info.number for info in live], np.int64))
            live = [info for info, here in zip(live, is_there.tolist(), strict=True) if here]
        return places.put_on(WINDOW, live, [_RAW] * len(live))

    def _live(self) -> list[ChunkInfo]:
        return list(self._session.live)

    def _info(self, number: int) -> ChunkInfo | None:
        if not self._store.read_only:
            for info in self._live():
                if info.number == number:
                    return info
        try:
            return self._store.info(number)
        except ChunkMissing:
            return None

    def _with_picture(self, numbers: list[int]) -> Iterator[Picture]:
        """In this order; where the first have none, those that have one are listed once."""
        for tried, number in enumerate(numbers):
            if tried == _TRIES:
                pictured = self._store.album.pictured()
                yield from self._with_picture([n for n in numbers[tried:] if n in pictured])
                return
            picture = self.picture(number)
            if picture is not None and picture.jpeg is not None:
                yield picture

    def _shown(self, info: ChunkInfo) -> Picture:
        return Picture(
            info.number,
            info.start_s,
            info.end_s,
            info.camera,
            self._store.album.jpeg(info.number),
            self._said(info),
        )

    def _said(self, info: ChunkInfo) -> str | None:
        captions = self._store.album.captions(info.start_s, info.end_s)
        return " ".join(c.text for c in captions if c.camera == info.camera) or None


def check_span(start_s: float, end_s: float) -> None:
    """Raises ValueError; the end may be infinite."""
    if not (math.isfinite(start_s) and 0 <= start_s <= end_s):
        raise ValueError(f"{start_s:g} to {end_s:g} s: must be two times in order, 0 s or more")


def check_most(most: int | None) -> None:
    """Raises ValueError."""
    if most is not None and most < 1:
        raise ValueError(f"most={most}: must be at least 1")
