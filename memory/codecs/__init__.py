"""How a layer's keys and values become bytes: the codecs by name."""

from collections.abc import Callable

from torch import Tensor

from longtake.memory.codecs.base import Bytes, Codec, LayerShape
from longtake.memory.codecs.halves import Halves
from longtake.memory.codecs.int8 import int8
from longtake.memory.codecs.kivi import kivi
from longtake.memory.codecs.raw import Raw
from longtake.memory.codecs.unbiased import PREFIX, unbiased

__all__ = ["CODECS", "Bytes", "Codec", "LayerShape", "Raw", "make_codec", "with_bias"]

_LOSSY: dict[str, Callable[[], Halves]] = {
    "int8": int8,
    "kivi4": lambda: kivi(4),
    "kivi2": lambda: kivi(2),
}


def _plain(make: Callable[[], Codec]) -> Callable[[Tensor | None], Codec]:
    return lambda key_bias: make()


def _unbiased(make: Callable[[], Halves]) -> Callable[[Tensor | None], Codec]:
    def made(key_bias: Tensor | None) -> Codec:
        codec = make()
        if key_bias is None:
            raise ValueError(
                f"codec {PREFIX}{codec.name} needs the layer's key_bias; "
                f"{codec.name} stores keys without one"
            )
        return unbiased(codec, key_bias)

    return made


CODECS: dict[str, Callable[[Tensor | None], Codec]] = {
    "raw": _plain(Raw),
    **{name: _plain(make) for name, make in _LOSSY.items()},
    **{PREFIX + name: _unbiased(make) for name, make in _LOSSY.items()},
}


def make_codec(name: str, key_bias: Tensor | None = None) -> Codec:
    """The codec of that name.

    Args:
        name: one of CODECS.
        key_bias: float32 ``[H, D]`` of the layer, for those that begin with ``unbiased-``; the
            others make nothing of it.

    Raises:
        ValueError: if there is no such codec (the message lists those there are), or if it needs
            a bias and is given none, or one that makes no sense.
    """
    if name not in CODECS:
        raise ValueError(f"codec {name!r} is not known; there is {', '.join(CODECS)}")
    return CODECS[name](key_bias)


def with_bias(name: str) -> str:
    """What a codec is called where the model's keys have a bias: lossless ones as ever."""
    return PREFIX + name if name in _LOSSY else name
