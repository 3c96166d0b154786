"""How a layer's keys and values become bytes: the codecs by name."""

from collections.abc import Callable

from longtake.memory.codecs.base import Bytes, Codec, LayerShape
from longtake.memory.codecs.raw import Raw

__all__ = ["CODECS", "Bytes", "Codec", "LayerShape", "Raw", "make_codec"]

CODECS: dict[str, Callable[[], Codec]] = {"raw": Raw}


def make_codec(name: str) -> Codec:
    """The codec of that name.

    Raises:
        ValueError: if there is none; the message lists those there are.
    """
    try:
        return CODECS[name]()
    except KeyError:
        raise ValueError(f"codec {name!r} is not known; there is {', '.join(CODECS)}") from None
