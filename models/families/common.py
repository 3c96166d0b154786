"""What the families share: text, the decoder's call, frames cut into steps.

`FamilyAdapter` is the base of every adapter; a family adds how its template writes a video and
how frames become steps.  Knows transformers' models by their public methods only
(`get_input_embeddings`, `get_output_embeddings`, `get_decoder`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from longtake.models import bridge
from longtake.models.base import DecoderShape, Image, Past, Prompt, Step
from longtake.models.conversation import Conversation
from longtake.models.pixels import read_preprocessing
from longtake.models.positions import Rotary, text_positions
from longtake.models.recipe import Recipe
from longtake.models.template import Template
from longtake.models.trained import trained_tokens

Encode = Callable[[str], list[int]]  # text -> token ids, nothing added


class FamilyAdapter:
    """See `models.base.Adapter`.

    Args:
        model: a Hugging Face model of `model_class`, on its device, frozen.
        tokenizer: with the family's special tokens and a chat template.
        folder: where the checkpoint lies.
        name: as the user gave it.

    Raises:
        ModelError: if the template or the decoder is not of a kind that is supported.
        ValueError: if the recipe does not fit the model.
    """

    family: str  # `model_type` of its config
    model_class: ClassVar[str]  # in transformers
    default_recipe: ClassVar[Recipe]

    def __init__(
        self, model: Any, tokenizer: Any, folder: Path, recipe: Recipe, name: str, fingerprint: str
    ) -> None:
        self.name, self.recipe, self.fingerprint = name, recipe, fingerprint
        self.model, self.config = model, model.config
        self.preprocessing = read_preprocessing(folder)
        self.check_recipe(model.config, recipe)
        self.template = Template(tokenizer, self.video_text(tokenizer, model.config))
        self.decoder = model.get_decoder()
        bridge.install(model)
        self.rotary = Rotary.of(self.decoder)
        self.shape = decoder_shape(self.decoder.config, self.rotary.axes)
        self.identity_error = bridge.check_identity(self.decoder, self.rotary, self.shape.layers)
        self._embedding = model.get_input_embeddings()
        self._head = model.get_output_embeddings()
        weight = self._embedding.weight
        self.device: torch.device = weight.device
        self.dtype: torch.dtype = weight.dtype
        self.stop_ids = _stop_ids(model, tokenizer)
        self.step_tokens = self.most_step_tokens(
            model.config, self.preprocessing, recipe, self.template.encode
        )

    # ---------------------------------------------------------------- what a family says

    @classmethod
    def video_text(cls, tokenizer: Any, config: Any) -> str:
        """What the chat template writes where a video is: steps stand in its place."""
        raise NotImplementedError

    @classmethod
    def most_step_tokens(
        cls, config: Any, preprocessing: dict[str, Any], recipe: Recipe, encode: Encode
    ) -> int:
        """The most tokens that a step can have; known without weights."""
        raise NotImplementedError

    @classmethod
    def check_recipe(cls, config: Any, recipe: Recipe) -> None:
        """Raises ValueError for a recipe that this model cannot follow."""

    @property
    def frame_side(self) -> int:
        """Pixels of the longer side beyond which a frame holds nothing for this model."""
        raise NotImplementedError

    def make_steps(self, images: Sequence[Image], pts_s: Sequence[float]) -> list[Step]:
        """Whole steps of frames of one size; the camera is added by `steps`."""
        raise NotImplementedError

    # ---------------------------------------------------------------- what is the same for all

    def sink(self) -> Step:
        ids = torch.tensor(self.template.sink_ids())
        return Step(self.embed(ids), text_positions(len(ids), self.shape.axes), 0.0, 0.0)

    def steps(
        self, images: Sequence[Image], pts_s: Sequence[float], camera: str = ""
    ) -> list[Step]:
        each = self.recipe.frames_per_step
        if not images or len(images) % each or len(images) != len(pts_s):
            raise ValueError(
                f"{len(images)} frames, {len(pts_s)} times: must be as many, a multiple of {each}"
            )
        made: list[Step] = []
        firsts = range(0, len(images), each)
        for _, same in groupby(firsts, key=lambda i: images[i].shape):  # a size may change
            of_one_size = list(same)
            part = slice(of_one_size[0], of_one_size[-1] + each)
            made += self.make_steps(images[part], pts_s[part])
        return [
            Step(s.embeds, s.positions, s.start_s, s.end_s, camera, s.extra) if camera else s
            for s in made
        ]

    def prompt(self, question: str, dialogue: Sequence[tuple[str, str]] = ()) -> Prompt:
        return self.template.prompt(question, dialogue)

    def conversation(self, request: str) -> Conversation:
        return Conversation(self.template, request)

    def encode(self, text: str) -> Tensor:
        return self.template.words(text)

    def embed(self, ids: Tensor) -> Tensor:
        out: Tensor = self._embedding(ids.to(self.device))
        return out

    def decode_step(self, embeds: Tensor, past: Past, extra: dict[str, Any]) -> Tensor:
        return bridge.run_decoder(self.decoder, embeds, past, extra)

    def logits(self, hidden: Tensor) -> Tensor:
        out: Tensor = self._head(hidden)
        return out

    def text(self, ids: Sequence[int]) -> str:
        return self.template.text(ids)

    def key_bias(self) -> Tensor | None:
        return key_bias(self.decoder)


def decoder_shape(config: Any, axes: int) -> DecoderShape:
    heads = config.num_attention_heads
    return DecoderShape(
        layers=config.num_hidden_layers,
        kv_heads=config.num_key_value_heads,
        head_dim=getattr(config, "head_dim", None) or config.hidden_size // heads,
        axes=axes,
        trained_tokens=trained_tokens(config),
    )


def key_bias(decoder: Any) -> Tensor | None:
    """See `models.base.Adapter.key_bias`.  Quantised projections keep their bias in floats."""
    attentions = [layer.self_attn for layer in decoder.layers]
    if any(hasattr(attention, "k_norm") for attention in attentions):
        return None  # what is kept has been scaled per token: nothing constant is left in it
    biases: list[Any] = [getattr(attention.k_proj, "bias", None) for attention in attentions]
    if any(bias is None for bias in biases):
        return None
    # Some scalings (YaRN) put a constant on keys in the rotary step, at position 0 too
    factor = float(getattr(decoder.rotary_emb, "attention_scaling", 1.0))
    return torch.stack([bias.detach().to("cpu", torch.float32) * factor for bias in biases])


def _stop_ids(model: Any, tokenizer: Any) -> frozenset[int]:
    found: set[int] = set()
    for source in (getattr(model.generation_config, "eos_token_id", None), tokenizer.eos_token_id):
        if isinstance(source, int):
            found.add(source)
        elif source is not None:
            found.update(source)
    return frozenset(found)
