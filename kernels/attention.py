"""Attend from a step's queries to a past that ends with the step itself.

    out = softmax(scale * q k^T + bottom-right causal mask) v

A query at row i of T sees the first N - T + i + 1 of N keys: all of the past, and of its own
step what is not later.  Keys and queries are rotated already.

H query heads, G key heads (H a multiple of G), T queries, N keys, D head dimension.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def causal_mask(queries: int, keys: int, device: torch.device | str = "cpu") -> Tensor | None:
    """Bool ``[T, N]``, true where a query may look; None where it would be true everywhere."""
    if queries == 1:
        return None
    return torch.ones(queries, keys, dtype=torch.bool, device=device).tril(keys - queries)


def attend_reference(
    query: Tensor, key: Tensor, value: Tensor, scale: float, mask: Tensor | None
) -> Tensor:
    """Float32, one line a step.

    Args:
        query: ``[1, H, T, D]``.
        key, value: ``[1, G, N, D]``.
        scale: factor on the products, as the model says.
        mask: bool ``[T, N]`` from `causal_mask`.

    Returns:
        ``[1, T, H, D]`` in the query's dtype.
    """
    group = query.shape[1] // key.shape[1]
    keys = key.float().repeat_interleave(group, 1)
    values = value.float().repeat_interleave(group, 1)
    scores = query.float() @ keys.transpose(2, 3) * scale
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return (scores.softmax(-1) @ values).transpose(1, 2).to(query.dtype)


def attend_sdpa(
    query: Tensor, key: Tensor, value: Tensor, scale: float, mask: Tensor | None
) -> Tensor:
    """PyTorch's fused attention; shapes as in `attend_reference`.  Keys are never repeated.

    Each key head is a batch of its own: its query heads share it by a view, or, where no order
    is to be kept, become rows of one product.
    """
    _, heads, tokens, dim = query.shape
    kv_heads = key.shape[1]
    if mask is None:
        rows = query.reshape(1, kv_heads, -1, dim)
        out = F.scaled_dot_product_attention(rows, key, value, scale=scale)
    else:
        grouped = query.reshape(kv_heads, -1, tokens, dim)
        keys, values = (x[0, :, None].expand(-1, grouped.shape[1], -1, -1) for x in (key, value))
        out = F.scaled_dot_product_attention(grouped, keys, values, attn_mask=mask, scale=scale)
    return out.reshape(1, heads, tokens, dim).transpose(1, 2)
