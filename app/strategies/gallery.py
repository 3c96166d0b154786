"""Thumbnails of one take's chunks, as vectors of text-image models.

A `Gallery` is one model's: what was asked before need not be embedded again.  `Galleries` holds
those of a take by the name of their model, so that plans which name one model share it.

W width of a vector, N chunks with a picture.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from typing import Protocol

import cv2
import numpy as np
import torch
from torch import Tensor

from longtake.memory.base import Index
from longtake.memory.index import best_of, make_index
from longtake.models import embedder
from longtake.models.base import Image
from longtake.strategies.uniform import widest_first

MOST = 2  # text-image models a take
# Thumbnails that are decoded and embedded between two looks at whether the question is over: with
# a model of SigLIP-base's size 2 s of one CPU core.
BATCH = 4


class Embedder(Protocol):
    """What is needed of a text-image model."""

    width: int

    def pictures(self, images: Sequence[Image]) -> Tensor:
        """float32 ``[N, W]`` on the CPU, rows of length 1."""
        ...

    def text(self, text: str) -> Tensor:
        """float32 ``[W]`` on the CPU, of length 1."""
        ...


class Gallery:
    """One model's vectors of a take's pictures, each made once.

    Chunks are known by their number.  It takes 4 W bytes and some hundred a chunk, in RAM.

    Args:
        load: gives the model, when it is first needed.
    """

    def __init__(self, load: Callable[[], Embedder]) -> None:
        self._load, self._lock = load, threading.Lock()
        self._embedder: Embedder | None = None
        self._index: Index | None = None
        self._places: dict[int, int] = {}  # chunk number -> its number in the index
        self._next = 0  # of these

    def __repr__(self) -> str:
        return f"Gallery({len(self._places)} chunks, {self._index!r})"

    @property
    def is_loaded(self) -> bool:
        return self._embedder is not None

    @property
    def nbytes(self) -> int:
        """Bytes of the vectors."""
        return 0 if self._index is None else self._index.nbytes

    def prepare(self) -> None:
        """Load the model, if that has not been done; from any thread.

        Raises:
            ModelError: if it cannot be used.
        """
        with self._lock:
            if self._embedder is None:
                loaded = self._load()
                self._index = make_index("auto", 1, loaded.width)
                self._embedder = loaded

    def learn(
        self,
        numbers: Sequence[int],
        picture: Callable[[int], bytes | None],
        is_over: Callable[[], bool] = lambda: False,
    ) -> None:
        """Embed the pictures of chunks that are new here, until it is over.

        Those without a picture are looked for again the next time.  New ones are taken from all
        over: where it is over before all are known, those that are known are spread over the past.

        Args:
            picture: JPEG of a chunk.
            is_over: looked at every few pictures.

        Raises:
            ModelError: if the model cannot be used.
        """
        new = [number for number in numbers if number not in self._places]
        order = widest_first(len(new))
        for i in range(0, len(order), BATCH):
            if is_over():
                return
            batch = [new[place] for place in order[i : i + BATCH]]
            images = {n: image for n in batch if (image := _image(picture(n))) is not None}
            if images:
                self._take_in(images)

    def nearest(self, question: str, numbers: Sequence[int], most: int) -> list[int]:
        """Of these chunks the `most` nearest to the question by cosine, best first, of equal ones
        the first; those that were not learned are left out."""
        known = [number for number in numbers if number in self._places]
        if not known or self._embedder is None or self._index is None:
            return []
        places = torch.tensor([self._places[number] for number in known])
        query = self._embedder.text(question)
        columns = torch.searchsorted(self._index.numbers(), places)
        scores = self._index.scores(query[None])[:, columns]
        return [known[i] for i in best_of(scores, most)[0].tolist()]

    def forget(self, numbers: Collection[int]) -> None:
        """Forget chunks; those that are not known are ignored."""
        places = [self._places.pop(number) for number in numbers if number in self._places]
        if places and self._index is not None:
            self._index.remove(places)

    def _take_in(self, images: dict[int, Image]) -> None:
        self.prepare()
        assert self._embedder is not None and self._index is not None
        vectors = self._embedder.pictures(list(images.values()))
        # Candidates of a later question may be older, and numbers in an index only rise: chunks
        # lie in it in the order in which they came, under their place.
        places = range(self._next, self._next + len(images))
        self._next += len(images)
        self._index.extend(places, vectors[None])
        self._places.update(zip(images, places, strict=True))


class Galleries:
    """Those of one take: at most `MOST`, whatever its questions name.

    The models of the take's usual plan stay.  Of the others the one that was used longest ago
    makes room for a new one, with all that it learned.  May be used from any thread.

    Args:
        device: where models run.
        load: gives a model by its name; None: `longtake.models.embedder.load` on that device.
    """

    def __init__(self, device: str = "auto", load: Callable[[str], Embedder] | None = None) -> None:
        self._load = load or (lambda model: embedder.load(model, device=device))
        self._lock = threading.Lock()
        self._held: dict[str, Gallery] = {}  # the one used longest ago first
        self._kept: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        return f"Galleries({', '.join(self._held)})"

    def check(self, models: Collection[str]) -> None:
        """Whether these can be had at once, beside those that stay.

        Raises:
            ValueError: names them all.
        """
        together = sorted({*models, *self._kept})
        if len(together) > MOST:
            kept = f" with those of the take's own plan ({', '.join(sorted(self._kept))})"
            raise ValueError(
                f"{len(together)} text-image models{kept if self._kept else ''}: "
                f"{', '.join(together)}; a take has room for {MOST}: leave some out"
            )

    def keep(self, models: Collection[str]) -> None:
        """Let these stay.  Raises ValueError like `check`."""
        self.check(models)
        self._kept |= frozenset(models)

    def find(self, model: str) -> Gallery:
        """The gallery of a model; nothing is loaded.  Raises ValueError like `check`."""
        self.check([model])
        with self._lock:
            gallery = self._held.pop(model, None) or Gallery(lambda: self._load(model))
            while len(self._held) >= MOST:
                del self._held[self._dispensable()]
            self._held[model] = gallery
            return gallery

    def forget(self, numbers: Collection[int]) -> None:
        """Forget chunks, whatever model looked at them."""
        with self._lock:
            held = list(self._held.values())
        for gallery in held:
            gallery.forget(numbers)

    def _dispensable(self) -> str:
        """One that holds nothing, else the one that was used longest ago."""
        others = [name for name in self._held if name not in self._kept]
        return next((name for name in others if not self._held[name].is_loaded), others[0])


def _image(jpeg: bytes | None) -> Image | None:
    """RGB uint8 ``[H, W, 3]``; None where there is no picture, or it cannot be decoded."""
    if not jpeg:
        return None
    bgr = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    return None if bgr is None else np.asarray(bgr[..., ::-1], np.uint8)
