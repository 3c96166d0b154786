"""A model that has always something to see: frames pushed as fast as it takes them in.

Also an adapter whose answers do not end, for models that have only a word or two to say.  What is
measured meanwhile is not known here.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

from longtake.models.base import Adapter
from longtake.models.embedded.world import Image, long_film

if TYPE_CHECKING:
    from longtake.take import Take

FILM_S = 240  # drawn once, shown again and again
LOOK_S = 0.02  # how often it is looked how many frames wait
ROOM_SHARE = 0.75  # of the mailbox that is kept full, so that nothing is dropped
END_S = 10.0


def drawn(seed: int, fps: float) -> list[Image]:
    """Pictures of the embedded model's world, [96, 96, 3]."""
    return [image for _, image in long_film(random.Random(seed), FILM_S).frames(fps)]


class Feed:
    """Keeps frames waiting in a take's mailbox for as long as the block lasts.

    One frame follows another in session time as the model's pace says, however fast they are seen:
    so the window holds what it would hold of a stream in real time.
    """

    def __init__(self, take: Take, images: Sequence[Image], mailbox_frames: int) -> None:
        self._take, self._images = take, images
        self._room = max(1, int(mailbox_frames * ROOM_SHARE))
        self._over, self._is_warm = threading.Event(), threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="longtake-bench-feed", daemon=True)

    def __enter__(self) -> Feed:
        """Returns when the model has seen as much as may wait."""
        self._thread.start()
        self._is_warm.wait()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Returns when all that was pushed has been seen.  Raises what went wrong with it."""
        self._over.set()
        self._thread.join(END_S)
        if error is None and self._failure is not None:
            raise self._failure
        with suppress(RuntimeError):  # the take may have been closed
            self._take.drain()

    def _run(self) -> None:
        step_s, stats = 1 / self._take.pace.fps, self._take.stats()
        seen, at_s, number = stats.frames, stats.newest_s + 2 * step_s, 0
        try:
            while not self._over.is_set():
                stats = self._take.stats()
                if stats.frames - seen >= self._room:
                    self._is_warm.set()
                for _ in range(self._room - stats.waiting):
                    at_s, number = at_s + step_s, number + 1
                    self._push(self._images[number % len(self._images)], at_s)
                self._over.wait(LOOK_S)
        except BaseException as error:  # raised where the block ends
            self._failure = error
        finally:
            self._is_warm.set()

    def _push(self, image: Image, at_s: float) -> None:
        pushed = self._take.push(image, at_s)
        if not pushed.accepted:
            raise RuntimeError(f"a frame was refused: {pushed.reason}")


class Talkative:
    """An adapter whose answers go on until their token limit while ``is_endless``.

    Each token costs what it costs the model; its end tokens alone are taken from it.
    """

    def __init__(self, adapter: Adapter) -> None:
        self._adapter = adapter
        self.is_endless = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._adapter, name)

    @property
    def stop_ids(self) -> frozenset[int]:
        return frozenset() if self.is_endless else self._adapter.stop_ids

    def as_adapter(self) -> Adapter:
        return cast(Adapter, self)
