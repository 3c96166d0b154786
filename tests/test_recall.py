"""Queries, shares and peaks; which part of the past a question may know; window bounds."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from longtake.memory.chunk import ChunkInfo
from longtake.memory.layout import lay_out
from longtake.memory.recall import BlindQuery, peaks, shares
from longtake.memory.window import WindowShape, fit
from longtake.models.base import DecoderShape
from longtake.models.recipe import Recipe
from longtake.scope import When, settle
from longtake.settings import Pace, TakeConfig

SHAPE = WindowShape(
    layers=1, kv_heads=1, head_dim=2, window_s=4.0, window_tokens=30, step_tokens=10
)


def infos(count: int, tokens: int = 5) -> list[ChunkInfo]:
    """One every two seconds."""
    return [ChunkInfo(n, 2.0 * n, 2.0 * n + 1, tokens=tokens) for n in range(count)]


def test_a_blind_query_is_the_mean_over_the_questions_own_words() -> None:
    torch.manual_seed(0)
    query = torch.randn(1, 4, 5, 3)
    asked = torch.tensor([False, True, True, False, True])
    blind = BlindQuery(asked, layers=2, kv_heads=2)
    blind(0, query)
    with pytest.raises(RuntimeError, match="1 of 2"):
        blind.vectors()
    blind(1, 2 * query)
    mean = query[0][:, asked].mean(1)
    expected = torch.cat([mean[0] + mean[1], mean[2] + mean[3]])
    torch.testing.assert_close(blind.vectors(), torch.stack([expected, 2 * expected]))
    with pytest.raises(ValueError, match="at least one"):
        BlindQuery(torch.zeros(3, dtype=torch.bool), 1, 1)


def test_shares_are_one_in_all_and_sharpen() -> None:
    scores = torch.randn(3, 20)
    soft, sharp = shares(scores, 16, 1.0), shares(scores, 16, 50.0)
    torch.testing.assert_close(soft.sum(), torch.tensor(1.0))
    assert sharp.max() > soft.max()


def test_neighbours_are_one_moment_and_small_shares_none() -> None:
    share = torch.tensor([0.02, 0.3, 0.25, 0.0, 0.4, 0.03])
    found = peaks(torch.arange(10, 16), share, most=4)
    assert [(p.first, p.last) for p in found] == [(11, 12), (14, 14)]
    assert found[0].score == pytest.approx(0.55)
    assert peaks(torch.arange(0), torch.zeros(0), 4) == []


def test_everything_is_known_unless_a_time_says_otherwise() -> None:
    past = infos(10)
    scope = settle(When(), past, live=2, shape=SHAPE)
    assert (scope.first, scope.last, scope.as_of_s) == (0, 8, 19.0)
    assert [i.number for i in scope.window] == [8, 9]


def test_at_rebuilds_the_window_of_that_time() -> None:
    scope = settle(When(at_s=11.5), infos(10), live=2, shape=SHAPE)
    assert [i.number for i in scope.window] == [4, 5]
    assert (scope.first, scope.last, scope.as_of_s) == (0, 4, 11.0)
    nothing = settle(When(at_s=0.5), infos(10), live=2, shape=SHAPE)
    assert nothing.window == () and (nothing.first, nothing.last) == (0, 0)


def test_between_bounds_recall_and_window() -> None:
    scope = settle(When(between_s=(5.0, 8.5)), infos(10), live=2, shape=SHAPE)
    assert (scope.first, scope.last, scope.window) == (2, 5, ())
    both = settle(When(between_s=(13.0, 17.0), at_s=15.0), infos(10), live=2, shape=SHAPE)
    assert [i.number for i in both.window] == [6, 7]
    assert both.first == both.last
    after = settle(When(between_s=(50.0, 60.0)), infos(10), live=2, shape=SHAPE)
    assert after.first == after.last and after.window == ()


@pytest.mark.parametrize(
    "wrong", [{"at_s": -1.0}, {"between_s": (5.0, 2.0)}, {"between_s": (0.0, float("inf"))}]
)
def test_times_check_themselves(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        When(**wrong)  # type: ignore[arg-type]


def test_a_window_is_bounded_by_time_and_by_tokens() -> None:
    assert [i.number for i in fit(infos(9), SHAPE)] == [7, 8]
    assert [i.number for i in fit(infos(9, tokens=20), SHAPE)] == [8]
    assert fit([], SHAPE) == []
    with pytest.raises(ValueError, match="at least one step"):
        WindowShape(layers=1, kv_heads=1, head_dim=2, window_s=4.0, window_tokens=5, step_tokens=10)


def test_segments_stand_behind_one_another_on_every_axis() -> None:
    grid = torch.tensor([[0, 0], [0, 1], [0, 3]])
    text = torch.arange(2).expand(3, -1)
    placed, behind = lay_out([text, grid, text], start=5)
    assert placed[0].tolist() == [5, 6, 7, 7, 11, 12]
    assert placed[2].tolist() == [5, 6, 7, 10, 11, 12]
    assert behind == 13


def test_a_recipe_is_lowered_to_what_the_model_was_trained_for_and_a_flag_is_not() -> None:
    recipe = Recipe(fps=2.0, window_s=100.0, top_k=50, frames_per_step=2)
    shape = DecoderShape(layers=1, kv_heads=1, head_dim=8, axes=1, trained_tokens=1600)
    pace = Pace.settle(TakeConfig(), recipe, 100, shape)
    assert (pace.window_s, pace.window_tokens, pace.top_k) == (7.0, 700, 7)  # of 1400
    roomy = replace(shape, trained_tokens=1 << 20)
    pace = Pace.settle(TakeConfig(), recipe, 100, roomy)
    assert (pace.window_s, pace.window_tokens, pace.top_k) == (100.0, 10_000, 50)
    assert Pace.settle(TakeConfig(top_k=90), recipe, 100, shape).top_k == 90
    with pytest.raises(
        ValueError, match=r"100 s at 2 frames/s .* trained for 1600: lower --window"
    ):
        Pace.settle(TakeConfig(window_s=100.0), recipe, 100, shape)
