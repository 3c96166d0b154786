"""The exact search: one product with all rows, on any device; the specification.

l layers asked, k chunks wanted, W = H*D width of a search vector.
"""

from torch import Tensor

from longtake.memory.blocks import Blocks
from longtake.memory.chunk_numbers import Pick
from longtake.memory.ranking import best_of


class ExactSearch:
    """Scores all, takes the best."""

    name = "exact"
    is_staged = False

    def prepare(self, blocks: Blocks) -> None:
        """Nothing is kept beside the rows."""

    def best(
        self, blocks: Blocks, layers: slice, query: Tensor, k: int, pick: Pick
    ) -> tuple[Tensor, Tensor]:
        """Places int64 ``[l, k]`` on the CPU, best first, equal ones oldest first; their scores."""
        scores = blocks.scores(layers, query, pick)
        best = best_of(scores, k)
        return pick.places(best), scores.gather(1, best)
