"""The best of many scores: best first, of equal ones the oldest, which stands leftmost.

L layers, N chunks.
"""

import torch
from torch import Tensor


def best_of(scores: Tensor, k: int) -> Tensor:
    """Places of the k best of each row, best first, equal ones leftmost first.

    Args:
        scores: ``[L, N]``; one that is not a number counts as the worst.
        k: how many; all N if there are fewer.

    Returns:
        int64 ``[L, k']``, k' = min(k, N).

    `torch.topk` leaves open which of equal scores it takes.  That only matters where the last
    one taken has an equal that is not, which one more score shows; then whole rows are looked at.
    """
    k = check_k(k, scores.shape[1])
    if k == 0:
        return torch.empty(scores.shape[0], 0, dtype=torch.int64, device=scores.device)
    top, places = scores.topk(min(k + 1, scores.shape[1]), dim=1)
    is_plain = ~top.isnan().any() & (k == top.shape[1] or (top[:, k - 1] > top[:, -1]).all())
    if is_plain:
        return _inorder_of(places[:, :k], top[:, :k])
    scores = torch.where(scores.isnan(), -torch.inf, scores)
    worst = scores.topk(k, dim=1).values[:, -1:]
    above, equal = scores > worst, scores == worst
    places_left = k - above.sum(dim=1, keepdim=True)
    taken = above | (equal & (equal.cumsum(dim=1) <= places_left))
    places = taken.nonzero()[:, 1].view(-1, k)
    return _inorder_of(places, scores.gather(1, places))


def order_of(places: Tensor, scores: Tensor) -> Tensor:
    """How to gather ``[L, k]`` so that the best comes first, of equal ones the leftmost."""
    by_place = places.argsort(dim=1)
    by_score = scores.gather(1, by_place).argsort(dim=1, descending=True, stable=True)
    return by_place.gather(1, by_score)


def check_k(k: int, count: int) -> int:
    """How many there will be.  Raises ValueError if k is negative."""
    if k < 0:
        raise ValueError(f"k={k}: must be 0 or more")
    return min(k, count)


def _inorder_of(places: Tensor, scores: Tensor) -> Tensor:
    """Places ``[L, k]``, those of higher scores first, of equal ones the leftmost first."""
    return places.gather(1, order_of(places, scores))
