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
from longtake.strategies import gallery
from longtake.strategies.embedding import Embedding
from longtake.strategies.gallery import Galleries
from longtake.strategies.plans import Plans
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
    strategy = Embedding(str(checkpoint), 20, Galleries("cpu"))
    for question in ("where is the red ball", "a green star"):
        asked = candidates(infos, question, picture=ALBUM.get)
        assert list(strategy.rank(asked)) == plain_ranking(checkpoint, numbers, question)


def test_only_new_chunks_are_embedded_in_whatever_order_they_come(checkpoint: Path) -> None:
    watched = Watched(embedder.load(str(checkpoint), device="cpu"))
    strategy = Embedding("shared", 3, Galleries(load=lambda model: watched))
    infos = chunks(30)
    question = "where is the red ball"

    def rank(part: Sequence[ChunkInfo]) -> list[int]:
        return list(strategy.rank(candidates(part, question, picture=ALBUM.get)))

    assert rank(infos[10:20]) == plain_ranking(checkpoint, range(10, 20), question)[:3]
    assert sum(watched.pictures_given) == 10
    assert rank(infos[10:20]) == rank(infos[10:20]) and sum(watched.pictures_given) == 10
    assert rank(infos[5:25]) == plain_ranking(checkpoint, range(5, 25), question)[:3]
    assert sum(watched.pictures_given) == 20
    assert rank(infos[12:15]) == plain_ranking(checkpoint, range(12, 15), question)
    assert sum(watched.pictures_given) == 20
    vectors_bytes = strategy.galleries.find("shared").nbytes
    assert 20 * watched.width * 4 <= vectors_bytes <= 64 * watched.width * 4


# ---------------------------------------------------------------- questions that are over


class Clock:
    """Says that a question is over after so many looks."""

    def __init__(self, looks: int) -> None:
        self.looks = looks

    def __call__(self) -> bool:
        self.looks -= 1
        return self.looks < 0


def test_a_question_that_is_over_waits_for_one_batch_at_most(checkpoint: Path) -> None:
    """Later questions go on where it stopped, and then rank as if nothing had happened."""
    watched = Watched(embedder.load(str(checkpoint), device="cpu"))
    strategy = Embedding("shared", 40, Galleries(load=lambda model: watched))
    infos, question = chunks(40), "where is the red ball"
    first = strategy.rank(candidates(infos, question, picture=ALBUM.get, is_over=Clock(2)))
    assert watched.pictures_given == [gallery.BATCH] * 2
    assert len(first) == 2 * gallery.BATCH
    assert list(first) == plain_ranking(checkpoint, sorted(first), question)
    assert min(first) == 0 and max(first) == 39, "what it knows is spread over the past"
    again = strategy.rank(candidates(infos, question, picture=ALBUM.get, is_over=Clock(0)))
    assert list(again) == list(first) and len(watched.pictures_given) == 2
    whole = strategy.rank(candidates(infos, question, picture=ALBUM.get))
    assert list(whole) == plain_ranking(checkpoint, range(40), question)
    assert sum(watched.pictures_given) == 40


def test_a_question_that_is_over_before_it_begins_loads_no_model() -> None:
    strategy = Embedding("./no/such/model")
    asked = candidates(chunks(5), picture=ALBUM.get, is_over=lambda: True)
    assert list(strategy.rank(asked)) == []


# ---------------------------------------------------------------- models of a take


class Shelf:
    """Loads models by name, and remembers which."""

    def __init__(self, checkpoint: Path) -> None:
        self._inner = embedder.load(str(checkpoint), device="cpu")
        self.loaded: list[str] = []
        self.made: dict[str, Watched] = {}

    def __call__(self, model: str) -> Watched:
        if model == "broken":
            raise ModelError("broken: is no model")
        self.loaded.append(model)
        return self.made.setdefault(model, Watched(self._inner))


def ask(plans: Plans, text: str | None) -> list[list[int]]:
    found = plans.find(text)
    assert found is not None
    asked = candidates(chunks(8), "a star", picture=ALBUM.get)
    return [list(strategy.rank(asked)) for strategy in found.strategies]


def test_plans_with_another_count_share_model_and_vectors(checkpoint: Path) -> None:
    shelf = Shelf(checkpoint)
    plans = Plans("model,embedding:a:4", "cpu", Galleries(load=shelf))
    plans.prepare()
    (four,) = ask(plans, None)
    for count in range(1, 9):
        (some,) = ask(plans, f"embedding:a:{count},recent:1")[:1]
        assert some[:4] == four[:count] and len(some) == count
    assert shelf.loaded == ["a"] and sum(shelf.made["a"].pictures_given) == 8


def test_a_third_model_takes_the_place_of_the_one_used_longest_ago(checkpoint: Path) -> None:
    shelf = Shelf(checkpoint)
    plans = Plans("model", "cpu", Galleries(load=shelf))
    for model in "abab":
        ask(plans, f"embedding:{model}")
    assert shelf.loaded == ["a", "b"]
    ask(plans, "embedding:c")
    ask(plans, "embedding:b")
    assert shelf.loaded == ["a", "b", "c"], "a had to go"
    ask(plans, "embedding:a")
    assert shelf.loaded == ["a", "b", "c", "a"]


def test_the_usual_plans_model_never_makes_room(checkpoint: Path) -> None:
    shelf = Shelf(checkpoint)
    plans = Plans("model,embedding:a", "cpu", Galleries(load=shelf))
    for model in ("a", "b", "c", "d", "a"):
        ask(plans, f"embedding:{model}:2")
    ask(plans, None)
    assert shelf.loaded == ["a", "b", "c", "d"]


def test_a_model_that_cannot_be_loaded_is_the_first_to_make_room(checkpoint: Path) -> None:
    shelf = Shelf(checkpoint)
    plans = Plans("model", "cpu", Galleries(load=shelf))
    ask(plans, "embedding:a")
    with pytest.raises(ModelError, match="broken"):
        ask(plans, "embedding:broken")
    ask(plans, "embedding:b")
    ask(plans, "embedding:a")
    assert shelf.loaded == ["a", "b"]


def test_chunks_without_a_picture_are_left_out_until_they_have_one(checkpoint: Path) -> None:
    album: dict[int, bytes] = {1: ALBUM[1], 2: b"no picture", 3: b"", 4: ALBUM[4]}
    strategy = Embedding(str(checkpoint), None, Galleries("cpu"))
    asked = candidates(chunks(6), "a star", top_k=9, picture=album.get)
    assert sorted(strategy.rank(asked)) == [1, 4]
    album[2] = ALBUM[2]
    assert sorted(strategy.rank(asked)) == [1, 2, 4]


def test_where_there_is_no_picture_no_model_is_loaded() -> None:
    strategy = Embedding("./no/such/model")
    assert list(strategy.rank(candidates(chunks(5)))) == []
    with pytest.raises(ModelError, match="is no text-image model"):
        strategy.rank(candidates(chunks(5), picture=ALBUM.get))


def test_vectors_of_thousands_of_chunks_move_to_the_faster_index() -> None:
    pytest.importorskip("faiss")

    class Quick:
        width = 2048

        def pictures(self, images: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
            rows = torch.tensor([[float(image[0, 0, 0]), 50.0] for image in images])
            return torch.nn.functional.normalize(
                torch.nn.functional.pad(rows, (0, self.width - 2)), dim=1
            )

        def text(self, text: str) -> torch.Tensor:
            return torch.nn.functional.pad(torch.tensor([1.0]), (0, self.width - 1))

    grey = [jpeg(np.full((8, 8, 3), level, np.uint8)) for level in (10, 200, 90)]
    album = {number: grey[0] for number in range(5200)} | {77: grey[1], 5100: grey[2]}
    strategy = Embedding("quick", 3, Galleries(load=lambda model: Quick()))
    assert list(strategy.rank(candidates(chunks(5200), picture=album.get))) == [77, 5100, 0]
    vectors = strategy.galleries.find("quick")
    assert "auto: faiss" in repr(vectors)
    assert 5200 * Quick.width * 4 <= vectors.nbytes <= 2 * 5200 * Quick.width * 4
