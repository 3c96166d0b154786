"""Eight bits a number: keys per channel, values per token, each over the whole chunk.

Half the bytes of bfloat16 and a few per cent: zero and step of a channel are 4 bytes for all the
chunk's tokens, those of a token 4 bytes for all its channels.  Asymmetric, since neither keys nor
values have their middle at 0.
"""

from longtake.memory.codecs.affine import CHANNELS, TOKENS, Affine
from longtake.memory.codecs.halves import Halves


def int8() -> Halves:
    """Error: at most 1/510 of the range of a channel's keys or of a token's values."""
    return Halves("int8", 1, Affine(8, TOKENS), Affine(8, CHANNELS))
