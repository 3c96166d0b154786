"""What the families share: text, the decoder's call, and what a checkpoint says of itself.

`TextSide` is composed into every adapter, which shows its methods as its own.  Knows
transformers' models by their public methods only (`get_input_embeddings`,
`get_output_embeddings`, `get_decoder`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from longtake.models import bridge
from longtake.models.base import DecoderShape, Past, Prompt
from longtake.models.positions import Rotary
from longtake.models.template import Template


class TextSide:
    """Words in, words out, and the decoder between."""

    def __init__(self, model: Any, tokenizer: Any, video_token: str) -> None:
        self.model = model
        self.template = Template(tokenizer, video_token)
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

    def embed(self, ids: Tensor) -> Tensor:
        out: Tensor = self._embedding(ids.to(self.device))
        return out

    def logits(self, hidden: Tensor) -> Tensor:
        out: Tensor = self._head(hidden)
        return out

    def decode_step(self, embeds: Tensor, past: Past, extra: dict[str, Any]) -> Tensor:
        return bridge.run_decoder(self.decoder, embeds, past, extra)

    def sink_embeds(self) -> Tensor:
        return self.embed(torch.tensor(self.template.sink_ids()))

    def prompt(self, question: str, dialogue: Sequence[tuple[str, str]] = ()) -> Prompt:
        return self.template.prompt(question, dialogue)

    def text(self, ids: Sequence[int]) -> str:
        return self.template.text(ids)


def decoder_shape(config: Any, axes: int) -> DecoderShape:
    heads = config.num_attention_heads
    return DecoderShape(
        layers=config.num_hidden_layers,
        kv_heads=config.num_key_value_heads,
        head_dim=getattr(config, "head_dim", None) or config.hidden_size // heads,
        axes=axes,
        trained_tokens=config.max_position_embeddings,
    )


def _stop_ids(model: Any, tokenizer: Any) -> frozenset[int]:
    found: set[int] = set()
    for source in (getattr(model.generation_config, "eos_token_id", None), tokenizer.eos_token_id):
        if isinstance(source, int):
            found.add(source)
        elif source is not None:
            found.update(source)
    return frozenset(found)
