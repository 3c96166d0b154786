"""How long a context a decoder was trained for, and which decoders cannot be streamed.

Reads a Hugging Face text config.  What is streamed, and how, is not known here.
"""

from __future__ import annotations

from typing import Any

from longtake.models.base import ModelError

_GROWING = ("dynamic", "longrope")
_RECURRENT = ("linear", "mamba", "conv", "recurrent", "hybrid", "rwkv", "ssm")
RECURRENT = (
    "it keeps a running state in place of keys and values, and a state cannot be evicted, "
    "recalled or taken back chunk by chunk"
)


def trained_tokens(config: Any) -> int:
    """Positions up to which this decoder's rotation is the one that it was trained with.

    ``dynamic`` (NTK) and ``longrope`` change their frequencies with the greatest position that
    they are shown.  The decoder is always shown zeros (`models.bridge`), so it stays with those
    of the short context, and a longer one would be rotated as it never was in training.
    ``yarn``, ``linear`` and ``llama3`` have the same frequencies at every length: there the
    config's own ``max_position_embeddings`` counts.
    """
    most = int(config.max_position_embeddings)
    rope = getattr(config, "rope_parameters", None) or {}
    if rope.get("rope_type") in _GROWING:
        short = rope.get("original_max_position_embeddings") or most
        return min(most, int(short))
    return most


def check_layers(config: Any) -> None:
    """Refuse decoders whose layers are not all plain attention over everything before.

    A sliding layer forgets what lies beyond its window, while ours would be shown recalled chunks
    and be compared to nothing that the model ever did.  Where its window is as long as the trained
    context it never slides, and is full attention.

    Raises:
        ModelError: names the kind of layer, and why.
    """
    kinds = set(getattr(config, "layer_types", None) or ()) - {"full_attention", "attention"}
    recurrent = sorted(kind for kind in kinds if any(word in kind for word in _RECURRENT))
    if recurrent:
        raise ModelError(f"has {' and '.join(recurrent)} layers: {RECURRENT}")
    if "sliding_attention" in kinds:
        slides = getattr(config, "sliding_window", None)
        if slides is None or slides < trained_tokens(config):
            raise ModelError(
                f"has layers that attend to their last {slides} tokens only (sliding_attention): "
                "what is recalled from further back would be shown to layers that never saw it "
                "in training"
            )
        kinds.discard("sliding_attention")
    if kinds:
        raise ModelError(f"has layers of the kind {', '.join(sorted(kinds))}: not supported")
