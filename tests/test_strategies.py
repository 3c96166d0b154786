"""Strategies beside the model's own recall: what the plain ones choose, how choices are put
together, and plans from text."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtake.models.base import ModelError
from longtake.strategies.base import Offered, Strategy
from longtake.strategies.embedding import Embedding
from longtake.strategies.gallery import MOST, Galleries
from longtake.strategies.parse import Plan, plan
from longtake.strategies.plans import Plans
from longtake.strategies.recent import Recent
from longtake.strategies.times import Times
from longtake.strategies.uniform import Uniform, spread, widest_first
from longtake.strategies.union import fill
from tests.recallable import Lazy, candidates, chunks


def test_what_is_offered_checks_itself() -> None:
    with pytest.raises(ValueError, match="top_k=-1"):
        Offered("?", [], -1, 0.0, lambda number: None)
    with pytest.raises(ValueError, match="as_of_s=nan"):
        Offered("?", [], 1, math.nan, lambda number: None)
    assert not Offered("?", [], 1, 0.0, lambda number: None).is_over()


@pytest.mark.parametrize("strategy", [Recent(), Uniform(), Times(), Recent(3), Uniform(3)])
def test_without_candidates_nothing_is_chosen(strategy: Recent | Uniform | Times) -> None:
    assert list(strategy.rank(candidates([], "at 0:01?"))) == []


@pytest.mark.parametrize(
    ("strategy", "question", "read"),
    [
        (Recent(3), "?", [19, 18, 17]),
        (Recent(30), "?", range(19, -1, -1)),
        (Uniform(3), "?", [0, 19, 10]),
        (Times(3), "what was there?", []),
        (Times(3), "what was there at 0:08?", range(20)),
        (Embedding("./no/such/model", 3), "?", range(20)),
    ],
)
def test_strategies_read_of_lazy_infos_what_they_need_and_that_once(
    strategy: Strategy, question: str, read: Sequence[int]
) -> None:
    infos = chunks(20, first=100)
    lazy = Lazy(infos)
    offered = Offered(question, lazy, 4, infos[-1].end_s, lambda number: None)
    assert list(strategy.rank(offered)) == list(strategy.rank(candidates(infos, question)))
    assert lazy.read == list(read)


@pytest.mark.parametrize("kind", [Recent, Uniform, Times])
def test_a_count_that_is_not_positive_is_refused(kind: Callable[[int], object]) -> None:
    with pytest.raises(ValueError, match="count=0: must be at least 1"):
        kind(0)


# ---------------------------------------------------------------- recent, uniform


def test_recent_gives_the_newest_newest_first() -> None:
    infos = chunks(10, first=100)
    assert Recent(3).rank(candidates(infos)) == [109, 108, 107]
    assert Recent().rank(candidates(infos, top_k=2)) == [109, 108]
    assert Recent(50).rank(candidates(infos)) == list(range(109, 99, -1))


def test_uniform_holds_both_ends_and_is_always_the_same() -> None:
    infos = chunks(100, first=7)
    chosen = Uniform(5).rank(candidates(infos))
    assert sorted(chosen) == [7, 32, 57, 81, 106]
    assert list(chosen[:2]) == [7, 106]
    assert Uniform(5).rank(candidates(infos, "another question")) == chosen
    assert Uniform(1).rank(candidates(infos)) == [57]
    assert sorted(Uniform().rank(candidates(infos, top_k=2))) == [7, 106]


@given(count=st.integers(0, 400), most=st.integers(0, 400))
def test_places_are_spread_evenly(count: int, most: int) -> None:
    places = spread(count, most)
    assert len(places) == min(count, most)
    assert places == sorted(set(places)) and all(0 <= place < count for place in places)
    if len(places) > 1:
        gaps = {b - a for a, b in pairwise(places)}
        assert max(gaps) - min(gaps) <= 1
        assert (places[0], places[-1]) == (0, count - 1)


@given(count=st.integers(0, 200), kept=st.integers(2, 200))
def test_the_first_of_an_even_spread_are_spread_too(count: int, kept: int) -> None:
    order = widest_first(count)
    assert sorted(order) == list(range(count))
    if kept < count:
        places = sorted(order[:kept])
        widest = max(b - a for a, b in pairwise(places))
        assert widest <= 2 * math.ceil((count - 1) / (kept - 1))


# ---------------------------------------------------------------- union


def test_lists_take_turns_and_no_chunk_comes_twice() -> None:
    sizes = dict.fromkeys(range(100), 10)
    ranked = [[50, 40, 30, 20], [40, 50, 99], []]
    assert fill(ranked, sizes.__getitem__, None) == [20, 30, 40, 50, 99]
    assert fill(ranked, sizes.__getitem__, 20) == [40, 50]
    assert fill(ranked, sizes.__getitem__, 30) == [30, 40, 50]
    assert fill(ranked, sizes.__getitem__, 40) == [30, 40, 50, 99]


def test_a_chunk_that_does_not_fit_is_skipped_for_a_smaller_one() -> None:
    sizes = {1: 50, 2: 60, 3: 40, 4: 10}
    assert fill([[1, 2, 3, 4]], sizes.__getitem__, 100) == [1, 3, 4]
    assert fill([[2], [1, 4]], sizes.__getitem__, 70) == [2, 4]


def test_no_budget_is_no_chunk_and_a_negative_one_is_refused() -> None:
    assert fill([[1, 2]], lambda number: 1, 0) == []
    assert fill([], lambda number: 1, None) == []
    with pytest.raises(ValueError, match="-1 is negative"):
        fill([[1]], lambda number: 1, -1)


@given(
    st.lists(st.lists(st.integers(0, 30), unique=True), max_size=4),
    st.integers(0, 300),
)
def test_a_union_keeps_its_budget_and_leaves_out_only_what_does_not_fit(
    ranked: list[list[int]], budget: int
) -> None:
    sizes = {n: 1 + (n * 37 + 11) % 29 for n in range(31)}
    chosen = fill(ranked, sizes.__getitem__, budget)
    everything = {n for numbers in ranked for n in numbers}
    spent = sum(sizes[n] for n in chosen)
    assert chosen == sorted(set(chosen)) and set(chosen) <= everything and spent <= budget
    assert all(sizes[n] > budget - spent for n in everything - set(chosen))
    assert fill(ranked, sizes.__getitem__, None) == sorted(everything)


# ---------------------------------------------------------------- plans


def test_plans_are_read() -> None:
    assert plan("model") == Plan(True, ())
    assert plan("recent:8") == Plan(False, (Recent(8),))
    assert plan("uniform:16") == Plan(False, (Uniform(16),))
    assert plan("times") == Plan(False, (Times(),))
    assert plan(" model , recent:4,times:2 ") == Plan(True, (Recent(4), Times(2)))
    assert plan("uniform,model") == Plan(True, (Uniform(),))


@pytest.mark.parametrize(
    ("text", "model", "count"),
    [
        ("embedding:google/siglip2-base-patch16-224", "google/siglip2-base-patch16-224", None),
        ("embedding:google/siglip2-base-patch16-224:16", "google/siglip2-base-patch16-224", 16),
        ("embedding:/models/a:b", "/models/a:b", None),
        ("embedding:/models/a:b:8", "/models/a:b", 8),
        ("embedding:./16", "./16", None),
        ("embedding:/models/v2:16:8", "/models/v2:16", 8),
    ],
)
def test_a_text_image_model_is_named_with_its_count(
    text: str, model: str, count: int | None
) -> None:
    (strategy,) = plan(f"model,{text}").strategies
    assert isinstance(strategy, Embedding)
    assert (strategy.model, strategy.count) == (model, count)
    assert strategy.name == f"embedding:{model}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a plan of recall is empty; give model, recent:N"),
        ("model,,recent", "nothing between two commas"),
        ("model,", "or at an end"),
        ("newest:4", r"'newest:4' is not known; there is model, recent:N"),
        ("Model", "'Model' is not known"),
        ("recent:0", "'0' is not a number of chunks, 1 or more"),
        ("recent:-1", "'-1' is not a number of chunks"),
        ("recent:", "'' is not a number of chunks"),
        ("uniform:two", "'two' is not a number of chunks"),
        ("times:\u00b2", "is not a number of chunks"),
        ("model:4", "the model's own recall takes no count; use top_k"),
        ("model,recent:2,model", "model twice"),
        ("recent:2,recent:4", "recent twice"),
        ("embedding", "which text-image model"),
        ("embedding:", "which text-image model"),
        ("embedding:16", "which text-image model"),
        ("embedding::16", "which text-image model"),
        ("embedding:a/b:0", "'0' is not a number of chunks"),
        ("embedding:a/b,embedding:a/b:3", "embedding:a/b twice"),
        ("embedding:a,embedding:b,embedding:c", "3 text-image models: a, b, c; .* room for 2"),
    ],
)
def test_a_plan_that_is_not_understood_says_why(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plan(text)


def test_a_plan_loads_nothing_until_it_is_used() -> None:
    made = plan("model,embedding:./no/such/model")
    with pytest.raises(ModelError, match="is no text-image model"):
        made.prepare()
    assert plan("model,times").prepare() is None


# ---------------------------------------------------------------- plans of one take


def test_the_usual_plan_stays_whatever_else_is_asked() -> None:
    plans = Plans("model,embedding:a:2", "cpu")
    usual = plans.find(None)
    assert usual is not None and usual.models == ["a"]
    galleries = usual_galleries(usual)
    vectors = galleries.find("a")
    for count in range(1, 40):
        plans.find(f"recent:{count}")
        other = plans.find(f"embedding:{count}x")
        assert other is not None
        other.strategies[0].rank(candidates(chunks(3)))
    assert plans.find(None) is usual and plans.find("model,embedding:a:2") is usual
    assert galleries.find("a") is vectors
    assert plans.find("model") is None and Plans("model", "cpu").find(None) is None


def usual_galleries(usual: Plan) -> Galleries:
    (strategy,) = usual.strategies
    assert isinstance(strategy, Embedding)
    return strategy.galleries


def test_more_text_image_models_than_a_take_has_room_for_are_refused() -> None:
    plans = Plans("embedding:a", "cpu")
    plans.find("embedding:a:3,embedding:b")
    with pytest.raises(ValueError, match=r"own plan \(a\): a, b, c; a take has room for 2"):
        plans.find("embedding:b,embedding:c")
    with pytest.raises(ValueError, match="own plan"):
        Plans("embedding:a,embedding:b", "cpu").find("embedding:c")
    assert MOST == 2


def test_a_plan_that_is_not_understood_is_told_when_it_is_named() -> None:
    with pytest.raises(ValueError, match="'newest' is not known"):
        Plans("model", "cpu").find("newest")
    with pytest.raises(ValueError, match="is empty"):
        Plans("model", "cpu").find("")
