"""KIVI (arXiv 2402.02750): keys per channel, values per token, 4 or 2 bits, groups of up to 32.

Outliers of keys stay in their channels, so a channel of keys has its own step, shared by up to 32
tokens; values have no such channels, so a token's do, shared by up to 32 channels.  A chunk is
encoded once and whole: the paper's residual of newest tokens in full precision is our window.

At groups of 32, zero and step (4 bytes) add a bit to each number: 5 and 3 bits.
"""

from longtake.memory.codecs.affine import CHANNELS, TOKENS, Affine
from longtake.memory.codecs.halves import Halves

GROUP = 32


def kivi(bits: int, group: int = GROUP) -> Halves:
    """Error: at most half a step, 1/30 (4 bits) or 1/6 (2 bits) of a group's range."""
    return Halves(f"kivi{bits}", 1, Affine(bits, TOKENS, group), Affine(bits, CHANNELS, group))
