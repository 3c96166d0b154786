"""Chunks whose thumbnail looks like the question, to an external text-image model.

ReKV (arXiv 2503.00540) calls it external retrieval and compares it with recall inside the model.
What was learned of the pictures stays in the take's `Galleries`, not here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from longtake.strategies.base import Offered, check_count
from longtake.strategies.gallery import Galleries


@dataclass(frozen=True, slots=True)
class Embedding:
    """The `count` chunks whose pictures are nearest to the question, by cosine.

    It belongs to one take, as its galleries do.
    """

    model: str  # hub id or folder; loaded when it is first needed
    count: int | None = None  # None: the question's top_k
    galleries: Galleries = field(default_factory=Galleries, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_count(self.count)

    @property
    def name(self) -> str:
        return f"embedding:{self.model}"

    def prepare(self) -> None:
        """Load the model, if that has not been done.

        Raises:
            ModelError: if it cannot be used.
        """
        self.galleries.find(self.model).prepare()

    def rank(self, offered: Offered) -> Sequence[int]:
        """New pictures are embedded first.  Chunks without one are left out, and so are those
        that were not embedded when the question was over; a later question goes on with them.

        Raises:
            ModelError: if the model cannot be used.
        """
        gallery = self.galleries.find(self.model)
        numbers = [info.number for info in offered.infos]
        gallery.learn(numbers, offered.picture, offered.is_over)
        return gallery.nearest(offered.question, numbers, offered.most(self.count))
