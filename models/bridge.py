"""The one place that knows transformers' attention registry: identity RoPE.

The decoder is always called with position 0 for every token, which makes its own rotary step
the identity (but for a constant that some scalings put on queries and keys).  So the attention
function that we register receives un-rotated queries and keys, and hands them to a `Past`, which
rotates at the positions that it assigns.  The past travels as a forward keyword: no model class
is patched, no global says which stream is running, and a call without the keyword is plain SDPA.

No `Cache` is needed: the past keeps what it is shown.  `check_identity` proves at load time,
on the model itself, that all of this holds; a model for which it does not is refused.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from longtake.kernels.attention import causal_mask
from longtake.kernels.dispatch import attend
from longtake.models.base import ModelError, Past
from longtake.models.positions import Rotary

IMPLEMENTATION = "longtake"
_PROBE_TOKENS = 12
_PROBE_STRIDE = 7  # positions far enough apart for a wrong rotation to show
# Root mean square, as a share of the outputs' own.  On random weights of 3 and of 28 layers
# rounding alone gave 1e-6 in float32 and 0.01 to 0.04 in bfloat16, frequencies 1 % off 0.19,
# and axes in the wrong order 0.58.
_PROBE_TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-3}
_PROBE_TOLERANCE_LOW = 0.08


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    past: Past | None = None,
    **kwargs: Any,
) -> tuple[Tensor, Tensor | None]:
    if past is None:
        plain: tuple[Tensor, Tensor | None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
        return plain
    layer: int = module.layer_idx  # type: ignore[assignment]
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    return past.attend(layer, query, key, value, scale), None


AttentionInterface.register(IMPLEMENTATION, _attention)
AttentionMaskInterface.register(IMPLEMENTATION, sdpa_mask)


def install(model: nn.Module) -> None:
    """Let the decoder's layers call our attention; the vision tower keeps its own."""
    model.set_attn_implementation({"text_config": IMPLEMENTATION})  # type: ignore[operator]


def run_decoder(decoder: Any, embeds: Tensor, past: Past, extra: dict[str, Any]) -> Tensor:
    """One forward over a past.

    Args:
        embeds: ``[T, C]``.
        extra: further keywords of the decoder (deepstack features and the like).

    Returns:
        Hidden states ``[T, C]``, after the last norm.
    """
    tokens = embeds.shape[0]
    zeros = torch.zeros(1, tokens, dtype=torch.long, device=embeds.device)
    # A ready 4-D mask keeps transformers from making one; the past has its own.
    mask = torch.ones(1, 1, 1, 1, dtype=torch.bool, device=embeds.device)
    hidden: Tensor = decoder(
        inputs_embeds=embeds[None],
        position_ids=zeros,
        attention_mask=mask,
        use_cache=False,
        past=past,
        **extra,
    )[0]
    return hidden[0]


def no_numbers(dtype: torch.dtype) -> str:
    """What to do where outputs are NaN; goes behind what was found."""
    if dtype == torch.float16:
        return ": float16 may be too narrow for it; use --dtype bfloat16 or float32"
    return ": the checkpoint, or what it says of its pictures, is damaged; download it again"


class _OwnTokens:
    """A past that holds nothing but the tokens themselves, at given positions."""

    def __init__(self, rotary: Rotary, positions: Tensor) -> None:
        self._rotary, self._table = rotary, rotary.table(positions)
        self.layers_seen: set[int] = set()

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        self.layers_seen.add(layer)
        tokens = query.shape[2]
        q, k = (self._rotary.rotate(x, self._table) for x in (query, key))
        return attend(q, k, value, scale, causal_mask(tokens, tokens, query.device))


@torch.no_grad()
def check_identity(decoder: Any, rotary: Rotary, layers: int) -> float:
    """Compare a short forward with the model's own at the same positions.

    Returns:
        The root mean square of the difference, as a share of the outputs' own.

    Raises:
        ModelError: if it is too great, or if a layer never asked the past (hybrid decoders).
    """
    weight = next(decoder.parameters())
    generator = torch.Generator().manual_seed(0)
    embeds = torch.randn(_PROBE_TOKENS, decoder.config.hidden_size, generator=generator)
    embeds = (embeds * 0.1).to(weight.device, weight.dtype)
    steps = torch.arange(_PROBE_TOKENS)
    positions = torch.stack([steps * (_PROBE_STRIDE + axis) for axis in range(rotary.axes)])
    past = _OwnTokens(rotary, positions)
    ours = run_decoder(decoder, embeds, past, {})
    if past.layers_seen != set(range(layers)):
        missing = sorted(set(range(layers)) - past.layers_seen)
        raise ModelError(
            f"layers {missing} do not attend through transformers' attention interface: "
            "decoders with recurrent or other attention cannot be streamed"
        )
    where = positions[:, None].to(weight.device) if rotary.axes > 1 else positions.to(weight.device)
    # Without a mask of ours, transformers takes gaps in 1-D positions for packed sequences.
    mask = torch.ones(_PROBE_TOKENS, _PROBE_TOKENS, dtype=torch.bool, device=weight.device).tril()
    plain = decoder(
        inputs_embeds=embeds[None],
        position_ids=where,
        attention_mask=mask[None, None],
        use_cache=False,
    )[0][0]
    size = plain.float().square().mean().sqrt().clamp(min=1e-6)
    error = float((ours.float() - plain.float()).square().mean().sqrt() / size)
    allowed = _PROBE_TOLERANCE.get(weight.dtype, _PROBE_TOLERANCE_LOW)
    if not math.isfinite(error):
        raise ModelError(f"its decoder gives no numbers (NaN){no_numbers(weight.dtype)}")
    if error > allowed:
        raise ModelError(
            f"un-rotated keys do not give this decoder's own outputs (relative error {error:.2g}, "
            f"allowed {allowed:g}): its positions are of a kind that is not supported"
        )
    return error
