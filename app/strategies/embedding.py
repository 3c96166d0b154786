"""Chunks whose thumbnail looks like the question, to an external text-image model.

ReKV (arXiv 2503.00540) calls it external retrieval and compares it with recall inside the model.
Vectors of the pictures are kept in an index in RAM, each made once, when it is first a candidate.

W width of a vector, N chunks with a picture.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import cv2
import numpy as np
import torch
from torch import Tensor

from longtake.memory.base import Index
from longtake.memory.chunk import ChunkInfo
from longtake.memory.index import best_of, make_index
from longtake.models import embedder
from longtake.models.base import Image
from longtake.strategies.base import Candidates, check_count

BATCH = 64  # thumbnails that are decoded at once: a bound of memory, and of what Ctrl-C loses


class Embedder(Protocol):
    """What is needed of a text-image model."""

    width: int

    def pictures(self, images: Sequence[Image]) -> Tensor:
        """float32 ``[N, W]`` on the CPU, rows of length 1."""
        ...

    def text(self, text: str) -> Tensor:
        """float32 ``[W]`` on the CPU, of length 1."""
        ...


class Embedding:
    """The `count` candidates whose pictures are nearest to the question, by cosine.

    It belongs to one take: chunks are known by their number.  It takes 4 W bytes and some
    hundred a chunk.

    Args:
        model: hub id or folder of the text-image model; loaded when it is first needed.
        count: None: the question's top_k.
        device: where it runs.
        load: in place of `longtake.models.embedder.load`, so that takes may share a model.
    """

    def __init__(
        self,
        model: str,
        count: int | None = None,
        *,
        device: str = "auto",
        load: Callable[[], Embedder] | None = None,
    ) -> None:
        check_count(count)
        self.model, self.count = model, count
        self._load = load or (lambda: embedder.load(model, device=device))
        self._embedder: Embedder | None = None
        self._index: Index | None = None
        self._places: dict[int, int] = {}  # chunk number -> its place in the index

    def __repr__(self) -> str:
        return f"Embedding({self.model}, count={self.count}, {len(self._places)} chunks)"

    @property
    def name(self) -> str:
        return f"embedding:{self.model}"

    @property
    def nbytes(self) -> int:
        """Bytes of the vectors."""
        return 0 if self._index is None else self._index.nbytes

    def prepare(self) -> None:
        """Load the model, if that has not been done.

        Raises:
            ModelError: if it cannot be used.
        """
        if self._embedder is None:
            self._embedder = self._load()
            self._index = make_index("auto", 1, self._embedder.width)

    def rank(self, candidates: Candidates) -> Sequence[int]:
        """Chunks without a picture are left out.  New ones are embedded first.

        Raises:
            ModelError: if the model cannot be used.
        """
        self.learn(candidates.infos, candidates.picture)
        known = [info.number for info in candidates.infos if info.number in self._places]
        if not known or self._embedder is None or self._index is None:
            return []
        places = torch.tensor([self._places[number] for number in known])
        query = self._embedder.text(candidates.question)
        scores = self._index.scores(query[None])[:, places]
        return [known[i] for i in best_of(scores, candidates.most(self.count))[0].tolist()]

    def learn(self, infos: Sequence[ChunkInfo], picture: Callable[[int], bytes | None]) -> None:
        """Embed the pictures of chunks that are new here; before a question, to spare it the wait.

        Raises:
            ModelError: if the model cannot be used.
        """
        new = [info.number for info in infos if info.number not in self._places]
        for i in range(0, len(new), BATCH):
            batch = new[i : i + BATCH]
            images = {n: image for n in batch if (image := _image(picture(n))) is not None}
            if images:
                self._take_in(images)

    def _take_in(self, images: dict[int, Image]) -> None:
        self.prepare()
        assert self._embedder is not None and self._index is not None
        vectors = self._embedder.pictures(list(images.values()))
        # Candidates of a later question may be older, and numbers in an index only rise: chunks
        # lie in it in the order in which they came, under their place.
        first = len(self._index)
        self._index.extend(range(first, first + len(images)), vectors[None])
        self._places.update(zip(images, range(first, first + len(images)), strict=True))


def _image(jpeg: bytes | None) -> Image | None:
    """RGB uint8 ``[H, W, 3]``; None where there is no picture, or it cannot be decoded."""
    if not jpeg:
        return None
    bgr = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    return None if bgr is None else np.asarray(bgr[..., ::-1], np.uint8)
