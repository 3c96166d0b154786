"""Every implementation of a kernel against its plain twin; dispatch in the open."""

from __future__ import annotations

import pytest
import torch

from longtake.kernels import dispatch
from longtake.kernels.attention import attend_reference, causal_mask
from longtake.kernels.clamped import attend_clamped
from longtake.kernels.scoring import score_chunks_reference

TOLERANCE = {torch.float32: 2e-6, torch.bfloat16: 2e-2}


@pytest.mark.parametrize("name", sorted(dispatch.ATTEND))
@pytest.mark.parametrize("dtype", list(TOLERANCE))
@pytest.mark.parametrize(
    ("heads", "kv_heads", "queries", "keys", "dim"),
    [(4, 2, 1, 1, 8), (4, 4, 1, 37, 16), (7, 1, 5, 5, 8), (4, 2, 13, 101, 10), (8, 2, 26, 140, 32)],
)
def test_attention_equals_its_twin(
    name: str,
    dtype: torch.dtype,
    heads: int,
    kv_heads: int,
    queries: int,
    keys: int,
    dim: int,
) -> None:
    torch.manual_seed(queries * keys)
    q = torch.randn(1, heads, queries, dim, dtype=dtype)
    k, v = (torch.randn(1, kv_heads, keys, dim, dtype=dtype) for _ in range(2))
    mask, scale = causal_mask(queries, keys), 0.3
    out = dispatch.ATTEND[name](q, k, v, scale, mask)
    expected = attend_reference(q, k, v, scale, mask)
    assert out.shape == (1, queries, heads, dim) and out.dtype == dtype
    torch.testing.assert_close(out, expected, atol=TOLERANCE[dtype], rtol=TOLERANCE[dtype])


@pytest.mark.parametrize("name", sorted(dispatch.ATTEND))
def test_a_query_sees_nothing_later(name: str) -> None:
    q, k, v = torch.randn(1, 2, 4, 8), torch.randn(1, 1, 9, 8), torch.randn(1, 1, 9, 8)
    before = dispatch.ATTEND[name](q, k, v, 0.5, causal_mask(4, 9))
    k[:, :, 7:], v[:, :, 7:] = 50.0, 50.0
    after = dispatch.ATTEND[name](q, k, v, 0.5, causal_mask(4, 9))
    torch.testing.assert_close(after[:, :2], before[:, :2])
    assert not torch.allclose(after[:, 2:], before[:, 2:])


def test_inputs_are_left_as_they_are() -> None:
    q, k, v = torch.randn(1, 2, 3, 8), torch.randn(1, 1, 9, 8), torch.randn(1, 1, 9, 8)
    copies = [x.clone() for x in (q, k, v)]
    for attend in dispatch.ATTEND.values():
        attend(q, k, v, 0.5, causal_mask(3, 9))
    assert all(torch.equal(a, b) for a, b in zip((q, k, v), copies, strict=True))


@pytest.mark.parametrize("name", sorted(dispatch.SCORE_CHUNKS))
@pytest.mark.parametrize(("layers", "chunks", "width"), [(1, 1, 1), (3, 7, 33), (4, 1000, 64)])
def test_scores_equal_their_twin(name: str, layers: int, chunks: int, width: int) -> None:
    torch.manual_seed(chunks)
    query, keys = torch.randn(layers, width), torch.randn(layers, chunks, width)
    torch.testing.assert_close(
        dispatch.SCORE_CHUNKS[name](query, keys),
        score_chunks_reference(query, keys),
        atol=2e-5,
        rtol=1e-5,
    )


def test_what_runs_is_said_and_can_be_forced() -> None:
    cpu = torch.device("cpu")
    assert {choice.kernel for choice in dispatch.describe(cpu)} == {"attend", "score_chunks"}
    usual = dispatch.chosen("attend", cpu)
    with dispatch.force("attend", "reference"):
        assert dispatch.chosen("attend", cpu) == "reference"
        with dispatch.force("attend", "sdpa"):
            assert dispatch.chosen("attend", cpu) == "sdpa"
        assert dispatch.describe(cpu)[0].reason == "forced"
    assert dispatch.chosen("attend", cpu) == usual
    assert dispatch.chosen("attend", torch.device("meta")) == "reference"
    with pytest.raises(ValueError, match="sdpa"), dispatch.force("attend", "magic"):
        pass
    with pytest.raises(ValueError, match="score_chunks"), dispatch.force("sort", "reference"):
        pass


@pytest.mark.parametrize("heads", [(4, 4), (4, 2), (7, 1)])
def test_a_clamped_sink_counts_once_at_its_one_distance(heads: tuple[int, int]) -> None:
    """Against scores written out query by query, key by key."""
    h, g = heads
    sink, window, tokens, dim, scale = 3, 6, 4, 8, 0.3
    total = sink + window + tokens
    query, far_query = torch.randn(2, 1, h, tokens, dim)
    raw_sink, key, value = torch.randn(1, g, sink, dim), *torch.randn(2, 1, g, total, dim)
    visible = torch.rand(tokens, total) < 0.6
    visible[:, :sink] = True
    near = torch.rand(tokens, sink) < 0.5
    found = attend_clamped(query, far_query, raw_sink, key, value, scale, visible, near)
    for head in range(h):
        group = head * g // h
        for row in range(tokens):
            scores = torch.full((total,), -torch.inf)
            for column in range(total):
                if not visible[row, column]:
                    continue
                asks, told = query[0, head, row], key[0, group, column]
                if column < sink and not near[row, column]:
                    asks, told = far_query[0, head, row], raw_sink[0, group, column]
                scores[column] = scale * asks @ told
            expected = scores.softmax(0) @ value[0, group]
            torch.testing.assert_close(found[0, row, head], expected, atol=1e-5, rtol=1e-5)
