"""How the memory of a needle run is kept, searched and chosen from; what its codec takes.

Streams and questions are the same whatever stands here, so two runs of one seed can be compared
question by question.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from longtake.bench.needle_full import SPOKEN
from longtake.memory.codecs import make_codec
from longtake.memory.config import MemoryConfig
from longtake.settings import Pace, TakeConfig

if TYPE_CHECKING:
    from longtake.memory.chunk import Chunk

LOSSLESS = "raw"  # the codec that others are compared with
MODES = ("recall", "rekv")  # those that recall


@dataclass(frozen=True, kw_only=True, slots=True)
class Setup:
    """The flags beside what is asked.

    Raises:
        ValueError: if a mode recalls nothing, or a value makes no sense.
    """

    mode: str = "recall"
    codec: str = LOSSLESS  # that all chunks are written by
    index: str = "auto"
    scores: str = "plain"
    diversity_s: float = 0.0

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(
                f"mode={self.mode!r}: needles are recalled or not found; must be "
                f"{' or '.join(MODES)}"
            )
        self.config(1)  # says the rest

    @property
    def is_lossy(self) -> bool:
        """Answers can differ from those over the tensors as they were."""
        return self.codec != LOSSLESS

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def config(self, top_k: int, pace: Pace | None = None, lossless: bool = False) -> TakeConfig:
        """Of a take.

        Args:
            pace: rate and window, where the mode would not choose the same itself.
            lossless: write raw instead, all else alike.

        A lossy codec's chunks are always read from disk, once they are written: RAM would hold
        them as they came.
        """
        codec = LOSSLESS if lossless else self.codec
        memory = MemoryConfig(index=self.index)
        if codec != LOSSLESS:
            memory = MemoryConfig(index=self.index, codec=codec, ram_bytes=0, queue_bytes=0)
        return TakeConfig(
            fps=None if pace is None else pace.fps,
            window_s=None if pace is None else pace.window_s,
            top_k=top_k,
            mode=self.mode,
            scores=self.scores,
            diversity_s=self.diversity_s,
            memory=memory,
            decoding=SPOKEN,
        )


def bytes_per_token(codec: str, chunk: Chunk) -> float:
    """Keys and values of all layers as the codec writes them, without the record around them."""
    made = make_codec(codec)
    layers = zip(chunk.keys, chunk.values, strict=True)
    return sum(len(made.encode(keys, values)) for keys, values in layers) / chunk.tokens
