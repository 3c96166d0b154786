"""From scores to chosen chunks: scores without their drift, and moments that are not one another.

Scores of a question against keys rise along a stream with some models, so that late chunks win
whatever is asked (measured by MemStream, arXiv 2602.18434; its remedy thins keys, ours needs the
scores alone).  A mean that is the same for all chunks changes no ranking; `centred` therefore
subtracts a local one: what a chunk's neighbours in time score.  `apart` chooses the best chunks
that are not near a better one: neighbours show one moment, and one of them may do.

N chunks, rising in time; C = 2 * half + 1 chunks of a neighbourhood.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from longtake.memory.ranking import best_of

HALF = 32  # chunks to each side of one whose score is centred, where no number is said
_LONGEST_HALF = 1 << 20

Moment = Callable[[int], tuple[str, float]]  # a place's camera, and when it begins in seconds


@dataclass(frozen=True, slots=True)
class Selection:
    """How scores become chosen chunks; the defaults take the best scores as they are."""

    half: int | None = None  # chunks to each side that scores are centred over; None: plain
    diversity_s: float = 0.0  # chunks that begin within it of a better one come last

    @classmethod
    def of(cls, scores: str, diversity_s: float) -> Selection:
        """As settings say it.

        Args:
            scores: ``plain``, ``centred``, or ``centred:N`` with N chunks to each side.

        Raises:
            ValueError: if it is none of these, or seconds are not finite and 0 or more.
        """
        if not 0 <= diversity_s < float("inf"):
            raise ValueError(f"diversity_s={diversity_s}: must be 0 (none) or more seconds")
        name, colon, number = scores.partition(":")
        if name == "plain" and not colon:
            return cls(None, diversity_s)
        if name == "centred":
            half = number if colon else str(HALF)
            if half.isascii() and half.isdigit() and 1 <= int(half) <= _LONGEST_HALF:
                return cls(int(half), diversity_s)
        raise ValueError(
            f"scores={scores!r}: must be plain, centred, or centred:N with 1 to {_LONGEST_HALF} "
            "chunks to each side"
        )

    @property
    def is_plain(self) -> bool:
        """The best scores win, whatever their time."""
        return self.half is None and not self.diversity_s


def centred(scores: Tensor, half: int, cameras: Tensor | None = None) -> Tensor:
    """Scores less those of their neighbourhood in time; the shape and device are kept.

        centred[i] = s[i] - m[i] - b[i] * (i - c[i])

    ``c[i]`` is the middle of the C chunks around i and ``m[i]`` their mean score.  Away from the
    ends ``c[i] = i``, and what is subtracted is the mean over ``half`` chunks to each side.  Less
    than ``half`` from an end the neighbourhood is the C chunks at that end; it lies to one side,
    so ``b[i]``, the slope of its least-squares line, takes the mean to where i is.  A drift that
    is a straight line over C chunks goes to zero everywhere, the newest chunks included.

    Where there are no more than C chunks a drift cannot be told from what was asked about: their
    common mean is subtracted, which leaves the ranking as it was.

    Args:
        scores: ``[..., N]``, in the order of time; one that is not finite stays, and counts among
            its neighbours as the mean of all.
        half: chunks to each side, at least 1.
        cameras: int64 ``[N]``, equal for chunks of one camera, whose neighbours are that camera's
            alone; None: there is one.

    Returns:
        float32.  O(N) in time, whatever ``half`` is: sums are cumulative, in float64.
    """
    if half < 1:
        raise ValueError(f"half={half}: a neighbourhood needs at least 1 chunk to each side")
    if cameras is None:
        return _of_one_camera(scores, half)
    found = torch.empty(scores.shape, dtype=torch.float32, device=scores.device)
    for camera in set(cameras.tolist()):
        places = (cameras == camera).nonzero().flatten().to(scores.device)
        found[..., places] = _of_one_camera(scores[..., places], half)
    return found


def _of_one_camera(scores: Tensor, half: int) -> Tensor:
    exact = scores.double()
    finite = exact.isfinite()
    mean = torch.where(finite, exact, 0.0).sum(-1, keepdim=True)
    mean = mean / finite.sum(-1, keepdim=True).clamp(min=1)
    # Less the common mean, which cancels in the end, sums stay small.
    level = torch.where(finite, exact - mean, 0.0)
    if scores.shape[-1] > 2 * half + 1:
        level = _less_neighbours(level, half)
    return torch.where(finite, level, exact).float()


def _less_neighbours(level: Tensor, half: int) -> Tensor:
    """``s - m - b * (i - c)`` of finite ``[..., N]``, N > C."""
    count, size = level.shape[-1], 2 * half + 1
    run = torch.nn.functional.pad(level.cumsum(-1), (1, 0))
    means = (run[..., size:] - run[..., :-size]) / size  # of every C in a row
    steps = torch.arange(-half, half + 1, device=level.device, dtype=level.dtype)  # i - c
    spread = steps.square().sum()

    def line(end: Tensor, mean: Tensor) -> Tensor:
        """Least squares through the C chunks at an end."""
        return mean + (end * steps).sum(-1, keepdim=True) / spread * steps

    found = level.clone()
    found[..., half : count - half] -= means
    found[..., :half] -= line(level[..., :size], means[..., :1])[..., :half]
    found[..., -half:] -= line(level[..., -size:], means[..., -1:])[..., -half:]
    return found


def apart(ranked: Iterable[int], k: int, moment: Moment, apart_s: float) -> list[int]:
    """The first k places of a ranking, those near a better one only where no others are left.

    A place is near another of the same camera that begins at most ``apart_s`` before or after it.
    Greedy: the best is taken, then the best that is near none taken.  When all are looked at and
    fewer than k were taken, the near ones follow, best first.

    Args:
        ranked: places, best first; not more are drawn than are needed.
        moment: a place's camera and time; asked for those that are drawn alone.

    Returns:
        At most k places: those taken in their order, then the near ones.
    """
    if k < 1:
        return []
    taken: list[int] = []
    near: list[int] = []
    times: dict[str, list[float]] = {}
    for place in ranked:
        camera, at_s = moment(place)
        others = times.setdefault(camera, [])
        behind = bisect_left(others, at_s - apart_s)
        if behind < len(others) and others[behind] <= at_s + apart_s:
            near.append(place)
            continue
        others.insert(bisect_left(others, at_s), at_s)
        taken.append(place)
        if len(taken) == k:
            break
    return taken + near[: k - len(taken)]


def best_apart(scores: Tensor, k: int, moment: Moment, apart_s: float) -> Tensor:
    """`apart` of one row's scores ``[N]``, best first: int64 ``[k']`` on the CPU, k' = min(k, N).

    Equal scores rank the oldest first.  Only as much of the row is sorted as is drawn.
    """
    return torch.tensor(apart(_ranking(scores, k), k, moment, apart_s), dtype=torch.int64)


def _ranking(scores: Tensor, k: int) -> Iterator[int]:
    """Places, best first, sorted in portions that grow."""
    given, portion = 0, 4 * k
    while given < len(scores):
        portion = min(portion, len(scores))
        yield from best_of(scores[None], portion)[0, given:].tolist()
        given, portion = portion, 8 * portion
