"""Recall by an external text-image model: the right ranking, each picture embedded once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import transformers
from numpy.typing import NDArray

from longtake.memory.chunk import ChunkInfo
from longtake.models import embedder
from longtake.models.base import ModelError
from longtake.strategies.embedding import Embedding
from tests import text_image
from tests.recallable import candidates, chunks
from tests.text_image import SIDE, drawn, jpeg, plain_inputs


@pytest.fixture(scope="module", params=["clip", "siglip"])
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return text_image.write(request.param, tmp_path_factory.mktemp(request.param))


class Watched:
    """An embedder that remembers how many pictures it was given."""

    def __init__(self, inner: embedder.Embedder) -> None:
        self._inner, self.width = inner, inner.width
        self.pictures_given: list[int] = []

    def pictures(self, images: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
        self.pictures_given.append(len(images))
        return self._inner.pictures(images)

    def text(self, text: str) -> torch.Tensor:
        return self._inner.text(text)


ALBUM = {number: jpeg(drawn(SIDE, SIDE, number)) for number in range(40)}


def plain_ranking(checkpoint: Path, numbers: Sequence[int], question: str) -> list[int]:
    """With transformers' own classes: decode, normalise, forward, sort."""
    model = transformers.AutoModel.from_pretrained(checkpoint).eval()
    family = model.config.model_type
    images = [
        cv2.cvtColor(cv2.imdecode(np.frombuffer(ALBUM[n], np.uint8), 1), cv2.COLOR_BGR2RGB)
        for n in numbers
    ]
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint, padding_side="right")
    length = {"padding": "max_length", "max_length": text_image.TEXT_TOKENS}
    ids = tokenizer(question, return_tensors="pt", **(length if family == "siglip" else {}))
    with torch.no_grad():
        out = model(input_ids=ids["input_ids"], **plain_inputs(family, images))
    scores = out.logits_per_text[0].double()
    ordered = scores.sort(descending=True)
    cosines = (out.image_embeds @ out.text_embeds[0]).sort().values
    assert cosines.diff().min() > 1e-6  # so the order is no matter of rounding
    return [numbers[i] for i in ordered.indices.tolist()]


def test_chunks_are_ranked_as_transformers_own_classes_do(checkpoint: Path) -> None:
    numbers = list(range(20))
    infos = chunks(20)
    strategy = Embedding(str(checkpoint), 20, device="cpu")
    for question in ("where is the red ball", "a green star"):
        asked = candidates(infos, question, picture=ALBUM.get)
        assert list(strategy.rank(asked)) == plain_ranking(checkpoint, numbers, question)


def test_only_new_chunks_are_embedded_in_whatever_order_they_come(checkpoint: Path) -> None:
    watched = Watched(embedder.load(str(checkpoint), device="cpu"))
    strategy = Embedding("shared", 3, load=lambda: watched)
    infos = chunks(30)
    question = "where is the red ball"

    def rank(part: Sequence[ChunkInfo]) -> list[int]:
        return list(strategy.rank(candidates(part, question, picture=ALBUM.get)))

    assert rank(infos[10:20]) == plain_ranking(checkpoint, range(10, 20), question)[:3]
    assert watched.pictures_given == [10]
    assert rank(infos[10:20]) == rank(infos[10:20]) and watched.pictures_given == [10]
    assert rank(infos[5:25]) == plain_ranking(checkpoint, range(5, 25), question)[:3]
    assert watched.pictures_given == [10, 10]
    assert rank(infos[12:15]) == plain_ranking(checkpoint, range(12, 15), question)
    assert sum(watched.pictures_given) == 20
    assert 20 * watched.width * 4 <= strategy.nbytes <= 64 * watched.width * 4


def test_chunks_without_a_picture_are_left_out_until_they_have_one(checkpoint: Path) -> None:
    album: dict[int, bytes] = {1: ALBUM[1], 2: b"no picture", 3: b"", 4: ALBUM[4]}
    strategy = Embedding(str(checkpoint), device="cpu")
    asked = candidates(chunks(6), "a star", top_k=9, picture=album.get)
    assert sorted(strategy.rank(asked)) == [1, 4]
    album[2] = ALBUM[2]
    assert sorted(strategy.rank(asked)) == [1, 2, 4]


def test_where_there_is_no_picture_no_model_is_loaded() -> None:
    strategy = Embedding("./no/such/model")
    assert list(strategy.rank(candidates(chunks(5)))) == []
    with pytest.raises(ModelError, match="is no text-image model"):
        strategy.rank(candidates(chunks(5), picture=ALBUM.get))


def test_vectors_of_thousands_of_chunks_move_to_the_faster_index(checkpoint: Path) -> None:
    pytest.importorskip("faiss")
    inner = embedder.load(str(checkpoint), device="cpu")

    class Quick:
        width = inner.width

        def pictures(self, images: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
            rows = torch.tensor([[float(image[0, 0, 0]), 50.0] for image in images])
            return torch.nn.functional.normalize(
                torch.nn.functional.pad(rows, (0, self.width - 2)), dim=1
            )

        def text(self, text: str) -> torch.Tensor:
            return torch.nn.functional.pad(torch.tensor([1.0]), (0, self.width - 1))

    grey = [jpeg(np.full((8, 8, 3), level, np.uint8)) for level in (10, 200, 90)]
    album = {number: grey[0] for number in range(5200)} | {77: grey[1], 5100: grey[2]}
    strategy = Embedding("quick", 3, load=Quick)
    assert list(strategy.rank(candidates(chunks(5200), picture=album.get))) == [77, 5100, 0]
    assert "Faiss" in repr(strategy._index)
    assert strategy.nbytes == 5200 * Quick.width * 4
