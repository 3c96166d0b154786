"""Which chunks a question gets and which are its evidence: under a drift, apart, in large memories.

L layers, N candidates.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

import longtake
from longtake import candidates
from longtake.asked import Asked
from longtake.candidates import Candidates, Scored
from longtake.memory.chunk import ChunkInfo
from longtake.memory.index import make_index
from longtake.memory.selection import Selection, centred
from longtake.models.loader import load
from longtake.recalling import Laid, blind_vectors
from longtake.scope import Scope, When, settle
from longtake.session import Session
from longtake.settings import TakeConfig
from longtake.windows import read_window
from tests import streams
from tests.streams import ONE_TOKEN

QUESTION = "what was on the table?"
NEEDLE, LIFT = 9, 10  # a chunk, and how many steps of the drift it stands out by
SLOPE = 50.0  # how much more each chunk scores than the one before


@pytest.fixture(scope="module")
def adapter(tiny_model: Path) -> Any:
    return load(str(tiny_model), device="cpu")


class Seam:
    """An index as it is, but for what a test changes."""

    def __init__(self, index: Any) -> None:
        self._index = index

    def __getattr__(self, name: str) -> Any:
        return getattr(self._index, name)

    def __len__(self) -> int:
        return len(self._index)


class Drifting(Seam):
    """Scores rise with time, whatever is asked; the needle stands out of what is around it."""

    def scores(self, query: Tensor, *span: Any) -> Tensor:
        return torch.stack([self.layer_scores(i, q, *span) for i, q in enumerate(query)])

    def layer_scores(self, layer: int, query: Tensor, *span: Any) -> Tensor:
        numbers = self._index.numbers(*span)
        found: Tensor = self._index.layer_scores(layer, query, *span)
        # Of the tiny model's own scores a thousandth is left: noise.
        return found / 1000 + SLOPE * (numbers + LIFT * (numbers == NEEDLE))


class Staged(Seam):
    """A large memory's index: only its fast calls may be used."""

    is_staged = True

    def scores(self, *given: Any) -> Tensor:
        raise AssertionError("all chunks were scored")

    layer_scores = scores


def lay(one: Session, **asked: Any) -> Laid:
    known = settle(When(), one.past(), len(one.window.infos), one.window_shape)
    with torch.inference_mode():
        prompt = one.adapter.prompt(QUESTION)
        settled = Asked(question=QUESTION, decoding=ONE_TOKEN, **asked)
        return one.mode.lay(one, settled, prompt, known)


@pytest.mark.parametrize("select_by", ["blind", "dependent"])
@pytest.mark.parametrize("recall", ["each", "together"])
def test_a_drift_hides_the_needle_from_plain_scores_alone(
    select_by: str, recall: str, adapter: Any
) -> None:
    adapter = streams.Listening(adapter)
    adapter.recipe = replace(adapter.recipe, recall=recall)  # type: ignore[attr-defined]
    with streams.session(adapter) as one:
        one.see(streams.frames(28 * adapter.recipe.frames_per_step))
        one.index = Drifting(one.index)  # type: ignore[assignment]
        asked = {"select_by": select_by, "top_k": 2, "with_window": False}
        newest = one.index.numbers()[-2:].tolist()
        plain = lay(one, **asked)
        assert plain.by_layer == [newest] * adapter.shape.layers
        found = lay(one, scores="centred:8", **asked)
        assert all(NEEDLE in row for row in found.by_layer)
        first = one.info(NEEDLE).start_s
        assert found.evidence[0].start_s == first, "evidence goes by the scores that chose"
        assert all(moment.start_s != first for moment in plain.evidence)
        one.config = replace(one.config, scores="centred:8")
        assert lay(one, **asked).by_layer == found.by_layer
        assert lay(one, scores="plain", **asked).by_layer == plain.by_layer


@pytest.mark.parametrize("select_by", ["blind", "dependent"])
def test_chunks_near_a_better_one_come_back_last(select_by: str, adapter: Any) -> None:
    with streams.session(adapter) as one:
        one.see(streams.frames(20 * adapter.recipe.frames_per_step))
        one.index = Drifting(one.index)  # type: ignore[assignment]
        last = int(one.index.numbers()[-1])
        step_s = one.info(1).start_s - one.info(0).start_s
        apart = lay(one, select_by=select_by, top_k=3, diversity_s=2 * step_s, with_window=False)
        # The newest, the next that is more than two steps before it; the needle is first.
        expected = sorted({NEEDLE, last, last - 3})
        assert all(row == expected for row in apart.by_layer)
        few = lay(one, select_by=select_by, top_k=3, diversity_s=1000.0, with_window=False)
        ranked = sorted(range(last + 1), key=lambda n: -(n + LIFT * (n == NEEDLE)))
        assert all(row == sorted(ranked[:3]) for row in few.by_layer), "nothing else is left"


def test_a_mode_without_recall_takes_no_scores(adapter: Any) -> None:
    with pytest.raises(ValueError, match=r"mode window recalls nothing; leave them out"):
        with streams.session(adapter, mode="window", scores="centred"):
            pass
    with streams.session(adapter, mode="window") as one:
        one.see(streams.frames(4))
        with pytest.raises(ValueError, match="diversity_s: mode window recalls nothing"):
            lay(one, diversity_s=2.0)


@pytest.mark.parametrize("wrong", [{"scores": "high"}, {"diversity_s": -1.0}])
def test_a_question_says_what_makes_no_sense(wrong: Any) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))}="):
        Asked(question=QUESTION, **wrong)


# -------------------------------------------------------------------- large memories


@pytest.fixture
def few_looked_at(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(candidates, "LOOKED_AT", 6)
    yield 6


@pytest.mark.parametrize("select_by", ["blind", "dependent"])
def test_a_large_memory_gives_each_layer_the_same_chunks(
    select_by: str, adapter: Any, few_looked_at: int
) -> None:
    with streams.session(adapter) as one:
        one.see(streams.frames(20 * adapter.recipe.frames_per_step))
        dense = {k: lay(one, select_by=select_by, top_k=k) for k in (4, 9)}
        one.index = Staged(one.index)  # type: ignore[assignment]
        for k, known in dense.items():  # more than are looked at too
            found = lay(one, select_by=select_by, top_k=k)
            assert found.by_layer == known.by_layer
            assert found.coverage == 1.0 and found.evidence


@pytest.mark.parametrize("select_by", ["blind", "dependent"])
def test_an_index_in_two_stages_changes_no_choice(
    select_by: str, adapter: Any, few_looked_at: int
) -> None:
    chosen = []
    for name in ("exact", "staged"):
        with streams.session(adapter, index=name) as one:
            one.see(streams.frames(20 * adapter.recipe.frames_per_step))
            assert one.index.is_staged == (name == "staged")
            chosen.append(lay(one, select_by=select_by, top_k=4).by_layer)
    assert chosen[0] == chosen[1]


def test_shares_of_a_large_memory_are_among_each_layers_best_and_the_window(
    adapter: Any, few_looked_at: int
) -> None:
    """By a naive loop over what each layer looked at."""
    with streams.session(adapter) as one:
        one.see(streams.frames(20 * adapter.recipe.frames_per_step))
        known = settle(When(), one.past(), len(one.window.infos), one.window_shape)
        window = read_window(one, known)
        with torch.inference_mode():
            blind = blind_vectors(one, adapter.prompt(QUESTION))
        dense = Candidates(one, known, 0, window, Selection(), 3).scores(blind)
        one.index = Staged(one.index)  # type: ignore[assignment]
        staged = Candidates(one, known, 0, window, Selection(), 3)
        found = staged.scores(blind)
        each = [staged.layer_scores(i, query) for i, query in enumerate(blind)]
    joined = Scored.joined(each)
    assert torch.equal(joined.numbers, found.numbers) and joined.archived == found.archived
    torch.testing.assert_close(joined.scores, found.scores)
    assert found.archived < dense.archived
    live = [number for number, _ in window]
    for layer, row in enumerate(dense.scores):
        best = sorted(range(dense.archived), key=lambda i: -float(row[i]))[:few_looked_at]
        looked_at = {int(dense.numbers[i]): float(row[i]) for i in best}
        looked_at |= {n: float(row[dense.numbers.tolist().index(n)]) for n in live}
        for number, score in zip(found.numbers.tolist(), found.scores[layer].tolist(), strict=True):
            assert score == pytest.approx(looked_at.get(number, -torch.inf), rel=1e-5)


@pytest.mark.parametrize(
    "asked", [{"scores": "centred:4"}, {"diversity_s": 3.0}, {"select": lambda known, n: [[1]] * n}]
)
def test_what_needs_all_scores_of_a_large_memory_gets_them(
    asked: Any, adapter: Any, few_looked_at: int
) -> None:
    with streams.session(adapter) as one:
        one.see(streams.frames(20 * adapter.recipe.frames_per_step))
        expected = lay(one, select_by="blind", **asked)
        one.index = Staged(one.index)  # type: ignore[assignment]
        with pytest.raises(AssertionError, match="all chunks were scored"):
            lay(one, select_by="blind", **asked)
        one.index = Seam(one.index._index)  # type: ignore[assignment]
        one.index.is_staged = True  # type: ignore[misc]
        assert lay(one, select_by="blind", **asked).by_layer == expected.by_layer


# -------------------------------------------------------------------- cameras


@pytest.fixture
def two_cameras() -> tuple[Any, Scope, Tensor]:
    """30 chunks of two cameras in turns, each two seconds after the other; numbers have gaps."""
    infos = [
        ChunkInfo(3 * i, 2.0 * i, 2.0 * i + 1, camera="ab"[i % 2], tokens=4) for i in range(30)
    ]
    index = make_index("exact", layers=2, width=3)
    torch.manual_seed(0)
    vectors = torch.randn(2, 30, 3)
    index.extend([info.number for info in infos], vectors)
    return SimpleNamespace(index=index), Scope(0, 100, (), 60.0, infos), vectors


def test_neighbours_are_of_the_same_camera(two_cameras: tuple[Any, Scope, Tensor]) -> None:
    session, known, vectors = two_cameras
    query = torch.randn(2, 3)
    found = Candidates(session, known, 0, [], Selection(half=3)).scores(query)
    plain = torch.einsum("lw,lnw->ln", query, vectors)
    for camera in (0, 1):
        torch.testing.assert_close(found.scores[:, camera::2], centred(plain[:, camera::2], 3))
    alone = Candidates(session, known, 0, [], Selection(half=3)).layer_scores(1, query[1])
    torch.testing.assert_close(alone.scores[0], found.scores[1])


def test_another_camera_is_another_moment(two_cameras: tuple[Any, Scope, Tensor]) -> None:
    session, known, _ = two_cameras
    some = Candidates(session, known, 0, [], Selection(diversity_s=4.0))
    scored = some.scores(torch.randn(2, 3))
    (best,) = some.best(scored, torch.arange(30.0)[None], 4)
    # Places 29 (b) and 28 (a) are both taken, 27 and 26 are near one of their own camera.
    assert best.tolist() == [3 * place for place in (29, 28, 25, 24)]


def test_a_take_has_them_and_a_question_its_own(tiny_model: Path) -> None:
    with longtake.open(str(tiny_model), device="cpu", scores="centred:2", diversity_s=1.5) as take:
        with pytest.raises(ValueError, match="scores='high'"):
            take.ask(QUESTION, scores="high")
        with pytest.raises(ValueError, match=r"diversity_s=-1\.0"):
            take.ask(QUESTION, diversity_s=-1.0)
        config = take._session.config
        assert Selection.of(config.scores, config.diversity_s) == Selection(2, 1.5)
        assert take.ask(QUESTION, scores="plain", diversity_s=0.0).coverage == 1.0
    with pytest.raises(ValueError, match="scores='high'"):
        TakeConfig(scores="high")
