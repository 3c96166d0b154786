"""What the parts of a Video-LLM must say of themselves, as Protocols.

`Adapter` is what a family must say: how frames and words become embeddings.  `Past` is what a
decoder needs of what it saw before; the memory fulfils it.  `Step` and `Prompt` are what is put
through the decoder.  Knows no family and no memory.

L layers, H query heads, G key heads, D head dimension, C width, T tokens, A position axes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from longtake.models.positions import Rotary
from longtake.models.recipe import Recipe

if TYPE_CHECKING:
    from longtake.models.conversation import Conversation

Image = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class DecoderShape:
    """The sizes that memory and positions need."""

    layers: int
    kv_heads: int
    head_dim: int
    axes: int  # of positions: 1, or 3 for M-RoPE
    trained_tokens: int  # longest context that the model was trained for


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One or two frames with their wrapping text, ready for the decoder."""

    embeds: Tensor  # [T, C]
    positions: Tensor  # int64 [A, T]: offsets inside the step, min 0 on each axis
    start_s: float
    end_s: float
    camera: str = ""
    extra: dict[str, Any] = field(default_factory=dict)  # further keywords of the decoder

    @property
    def tokens(self) -> int:
        return int(self.embeds.shape[0])


@dataclass(frozen=True, slots=True, eq=False)
class Prompt:
    """Text that ends where the answer begins."""

    ids: Tensor  # int64 [T]
    asked: Tensor  # bool [T]: the question's own words, without dialogue and template


class Past(Protocol):
    """What came before the tokens that are in the decoder now."""

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """Keep what must be kept of this layer's keys and values, and attend.

        Args:
            query: ``[1, H, T, D]``, key and value ``[1, G, T, D]``: all un-rotated.
            scale: factor on the products of query and key.

        Returns:
            ``[1, T, H, D]``.
        """
        ...


class Adapter(Protocol):
    """Everything that is particular to a family.  One model, one device, no state of a stream."""

    family: str
    name: str  # as the user gave it
    fingerprint: str  # of config, weights and sink: keys of one are nonsense to another
    shape: DecoderShape
    recipe: Recipe
    rotary: Rotary
    device: torch.device
    dtype: torch.dtype

    @property
    def step_tokens(self) -> int:
        """The most tokens that a step can have."""
        ...

    @property
    def frame_side(self) -> int:
        """Pixels of the longer side beyond which a frame holds nothing for this model."""
        ...

    @property
    def stop_ids(self) -> frozenset[int]: ...

    def sink(self) -> Step:
        """The chat template up to the first frame: the attention sink of every take."""
        ...

    def steps(
        self, images: Sequence[Image], pts_s: Sequence[float], camera: str = ""
    ) -> list[Step]:
        """Encode frames of one camera, in order; their number is a multiple of
        ``recipe.frames_per_step``."""
        ...

    def prompt(self, question: str, dialogue: Sequence[tuple[str, str]] = ()) -> Prompt:
        """The rest of the template around earlier turns and this question."""
        ...

    def conversation(self, request: str) -> Conversation:
        """The template's pieces for rounds of frames and lines, ``request`` in the first."""
        ...

    def encode(self, text: str) -> Tensor:
        """Words alone, without template -> int64 ``[T]``.

        Raises:
            ValueError: if there is no word.
        """
        ...

    def embed(self, ids: Tensor) -> Tensor:
        """Int64 ``[T]`` -> ``[T, C]``."""
        ...

    def decode_step(self, embeds: Tensor, past: Past, extra: dict[str, Any]) -> Tensor:
        """Run the decoder once, ``[T, C]`` -> hidden ``[T, C]``; positions are the past's."""
        ...

    def logits(self, hidden: Tensor) -> Tensor:
        """``[T, C]`` -> ``[T, V]``."""
        ...

    def text(self, ids: Sequence[int]) -> str:
        """Words of an answer."""
        ...

    def key_bias(self) -> Tensor | None:
        """What the key projection adds to every un-rotated key: float32 ``[L, G*D]`` on the CPU.

        None where it adds nothing, and where keys are normalised after it.
        """
        ...


class ModelError(RuntimeError):
    """A model that cannot be used: unknown, unsupported or damaged."""
