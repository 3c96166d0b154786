"""Attend over ``[sink | window | step]`` where far sink tokens stand at one distance.

    score[i, j] = scale * q_i . k_j          for a key that is near
                = scale * far_q_i . sink_j   for a sink token that is not
    out = softmax(score where visible) v

One softmax over both, in float32 whatever the inputs.  ``far_q`` is the query turned to the one
far position, ``sink`` the sink's un-rotated keys.

H query heads, G key heads (H a multiple of G), T queries, S sink tokens, N keys (the sink's S
first), D head dimension.  Source: ReKV (arXiv 2503.00540).
"""

from __future__ import annotations

import torch
from torch import Tensor


def attend_clamped(
    query: Tensor,
    far_query: Tensor,
    sink: Tensor,
    key: Tensor,
    value: Tensor,
    scale: float,
    visible: Tensor,
    near: Tensor,
) -> Tensor:
    """Plain torch, the query heads of one key head packed into rows of it.

    Args:
        query, far_query: ``[1, H, T, D]``.
        sink: un-rotated, ``[1, G, S, D]``.
        key, value: ``[1, G, N, D]``, keys rotated.
        visible: bool ``[T, N]``.
        near: bool ``[T, S]``, where a sink token counts at its own distance.

    Returns:
        ``[1, T, H, D]``.
    """
    _, heads, tokens, dim = query.shape
    kv_heads, keys = key.shape[1:3]
    rows, far_rows = (q.float().mul(scale).reshape(kv_heads, -1, dim) for q in (query, far_query))
    scores = torch.bmm(rows, key[0].float().transpose(1, 2)).view(heads, tokens, keys)
    far = torch.bmm(far_rows, sink[0].float().transpose(1, 2)).view(heads, tokens, -1)
    of_sink = scores[..., : sink.shape[2]]
    of_sink.copy_(torch.where(near, of_sink, far))
    scores.masked_fill_(~visible, float("-inf"))
    share = scores.view(kv_heads, -1, keys).softmax(-1).to(value.dtype)
    out = torch.bmm(share, value[0])
    return out.view(1, heads, tokens, dim).transpose(1, 2)
