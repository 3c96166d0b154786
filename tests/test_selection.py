"""Scores without their drift, moments that are not one another; against naive loops."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from longtake.memory.ranking import best_of
from longtake.memory.selection import HALF, Selection, apart, best_apart, centred

FLOAT32 = {"rtol": 1e-4, "atol": 1e-4}


def naive(scores: list[float], half: int) -> list[float]:
    """A least-squares line through each chunk's neighbourhood, by NumPy's own fit."""
    finite = [s for s in scores if math.isfinite(s)]
    mean = sum(finite) / max(1, len(finite))
    filled = [s if math.isfinite(s) else mean for s in scores]
    count, size = len(scores), 2 * half + 1
    found = []
    for i, score in enumerate(scores):
        if not math.isfinite(score):
            found.append(score)
        elif count <= size:
            found.append(score - mean)
        else:
            first = min(max(i - half, 0), count - size)
            if first == i - half:
                found.append(score - sum(filled[first : first + size]) / size)
            else:
                around = np.arange(first, first + size)
                slope, level = np.polyfit(around, filled[first : first + size], 1)
                found.append(score - (slope * i + level))
    return found


SCORE = st.integers(-64, 64).map(lambda n: n / 4)
ROUGH = st.one_of(SCORE, st.sampled_from([math.nan, math.inf, -math.inf]))


@settings(max_examples=150, deadline=None)
@given(scores=st.lists(ROUGH, max_size=40), half=st.integers(1, 12))
def test_centred_scores_are_what_a_naive_fit_leaves(scores: list[float], half: int) -> None:
    found = centred(torch.tensor(scores, dtype=torch.float32), half)
    assert found.dtype == torch.float32
    expected = torch.tensor(naive(scores, half), dtype=torch.float32)
    torch.testing.assert_close(found, expected, equal_nan=True, **FLOAT32)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), half=st.integers(1, 5), layers=st.integers(1, 3))
def test_each_camera_has_neighbours_of_its_own(data: st.DataObject, half: int, layers: int) -> None:
    count = data.draw(st.integers(0, 30))
    of = data.draw(st.lists(st.integers(0, 2), min_size=count, max_size=count))
    rows = [data.draw(st.lists(SCORE, min_size=count, max_size=count)) for _ in range(layers)]
    found = centred(torch.tensor(rows).view(layers, count), half, torch.tensor(of).long())
    for row, scores in zip(found, rows, strict=True):
        for camera in set(of):
            places = [i for i, each in enumerate(of) if each == camera]
            expected = torch.tensor(naive([scores[i] for i in places], half)).float()
            torch.testing.assert_close(row[places], expected, **FLOAT32)


def test_a_straight_drift_is_gone_and_the_newest_are_not_favoured() -> None:
    line = torch.arange(500.0) * 3 - 700
    assert centred(line, 16).abs().max() < 1e-3


def test_few_chunks_keep_their_ranking() -> None:
    """A drift cannot be told from what was asked about."""
    scores = torch.tensor([[3.0, 9.0, 1.0, 9.0, 4.0]])
    for half in (2, 3, HALF):
        assert best_of(centred(scores, half), 5).tolist() == best_of(scores, 5).tolist()
    assert centred(torch.empty(2, 0), 4).shape == (2, 0)
    assert centred(torch.tensor([[7.0]]), 1).tolist() == [[0.0]]


def test_one_that_is_no_number_spoils_no_other() -> None:
    scores = torch.arange(40.0)
    scores[7] = torch.nan
    found = centred(scores, 3)
    assert found.isnan().sum() == 1 and bool(found[7].isnan())


def test_large_scores_far_along_lose_no_precision() -> None:
    """100,000 chunks on a level of a million: sums that are not centred would eat the signal."""
    torch.manual_seed(0)
    signal = torch.randn(100_000, dtype=torch.float64)
    exact = centred(signal, 32)
    lifted = centred(signal + 1e6, 32)  # float64 in, as sums are
    torch.testing.assert_close(lifted, exact, rtol=0, atol=1e-4)


@pytest.mark.parametrize("half", [8, 16, 32])
@pytest.mark.parametrize("needle", [0, 3, 150, 260, 299])
def test_under_a_drift_plain_scores_miss_the_needle_and_centred_ones_find_it(
    half: int, needle: int
) -> None:
    """Signal and a linear trend; the needle is 12 standard deviations above what is around it."""
    torch.manual_seed(needle)
    signal = torch.randn(4, 300)
    signal[:, needle] += 12
    drifting = signal + 0.5 * torch.arange(300)
    plain = best_of(drifting, 4)
    assert bool((plain == needle).any()) == (needle == 299), "the newest wins whatever is asked"
    assert best_of(centred(drifting, half), 4)[:, 0].tolist() == [needle] * 4


# -------------------------------------------------------------------- moments of their own


def greedy(
    ranked: list[int], k: int, moments: list[tuple[str, float]], apart_s: float
) -> list[int]:
    """Again and again over all that is left."""
    left, taken = list(ranked), []
    while left and len(taken) < k:
        free = [
            place
            for place in left
            if all(
                moments[place][0] != moments[other][0]
                or abs(moments[place][1] - moments[other][1]) > apart_s
                for other in taken
            )
        ]
        if not free:
            break
        taken.append(free[0])
        left.remove(free[0])
    return taken + [place for place in left if place not in taken][: k - len(taken)]


@settings(max_examples=200, deadline=None)
@given(
    data=st.data(),
    count=st.integers(0, 25),
    k=st.integers(0, 8),
    apart_s=st.integers(0, 40).map(lambda n: n / 4),
)
def test_places_apart_are_what_a_naive_greedy_takes(
    data: st.DataObject, count: int, k: int, apart_s: float
) -> None:
    camera = st.sampled_from(["", "door"])
    moments = data.draw(
        st.lists(
            st.tuples(camera, st.integers(0, 120).map(lambda n: n / 4)),
            min_size=count,
            max_size=count,
        )
    )
    ranked = data.draw(st.permutations(range(count)))
    expected = greedy(ranked, k, moments, apart_s)
    assert apart(ranked, k, moments.__getitem__, apart_s) == expected
    assert len(set(expected)) == min(k, count)
    scores = torch.empty(count)
    scores[torch.tensor(ranked, dtype=torch.int64)] = torch.arange(count, 0, -1.0)
    assert best_apart(scores, k, moments.__getitem__, apart_s).tolist() == expected


def test_equal_scores_rank_the_oldest_first() -> None:
    scores = torch.tensor([1.0, 5.0, 5.0, 5.0, 5.0, 5.0, 2.0])
    assert best_apart(scores, 2, lambda place: ("", float(place)), 1.0).tolist() == [1, 3]


def test_no_more_is_looked_at_than_is_needed() -> None:
    """A ranking of a long memory is not drawn to its end, nor are its times asked for."""
    drawn: list[int] = []

    def ranking() -> Iterator[int]:
        for place in range(100_000):
            drawn.append(place)
            yield place

    asked: list[int] = []

    def moment(place: int) -> tuple[str, float]:
        asked.append(place)
        return "", float(place)

    assert apart(ranking(), 4, moment, 9.0) == [0, 10, 20, 30]
    assert len(drawn) == len(asked) == 31
    asked.clear()
    best_apart(torch.arange(50_000.0), 8, moment, 2.0)
    assert len(asked) == 22


# -------------------------------------------------------------------- what settings say


def test_selections_are_read() -> None:
    assert Selection.of("plain", 0.0) == Selection() and Selection().is_plain
    assert Selection.of("centred", 0.0) == Selection(HALF)
    assert Selection.of("centred:7", 2.5) == Selection(7, 2.5)
    assert not Selection(HALF).is_plain and not Selection(None, 1.0).is_plain


@pytest.mark.parametrize(
    ("scores", "apart_s", "told"),
    [
        ("best", 0.0, "scores='best': must be plain, centred, or centred:N"),
        ("plain:3", 0.0, "scores='plain:3'"),
        ("centred:", 0.0, "scores='centred:'"),
        ("centred:0", 0.0, "1 to 1048576 chunks"),
        ("centred:-4", 0.0, "scores='centred:-4'"),
        ("centred:2.5", 0.0, "scores='centred:2.5'"),
        ("centred:²", 0.0, "scores="),
        ("", 0.0, "scores=''"),
        ("plain", -1.0, "diversity_s=-1.0: must be 0"),
        ("plain", math.inf, "diversity_s=inf"),
        ("plain", math.nan, "diversity_s=nan"),
    ],
)
def test_selections_that_make_no_sense_are_refused(scores: str, apart_s: float, told: str) -> None:
    with pytest.raises(ValueError) as refused:
        Selection.of(scores, apart_s)
    assert told in str(refused.value)
    with pytest.raises(ValueError, match="at least 1"):
        centred(torch.zeros(3), 0)
