"""What checkpoints of all families share: tokenizer, decoder sizes, weights, files on disk.

A family's module draws a `Blueprint`; `build` makes the folder.  Knows no family.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

_BYTES = sorted(pre_tokenizers.ByteLevel.alphabet())
VOCABULARY = len(_BYTES) + 64  # rows of every embedding; a family's special tokens fill some
HEAD_DIM = 16
_SHARD_SHARE = 0.6  # of all weights' bytes: two files at least
_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)  # where Qwen's tokenizers cut; every digit by itself


@dataclass(frozen=True)
class Blueprint:
    """One family's checkpoint before it has weights."""

    config: Any
    model_class: Any
    special: Sequence[str]  # in the order of their ids
    tokenizer: dict[str, Any]  # further fields of tokenizer_config.json
    template: str
    generation: dict[str, Any]  # generation_config.json
    files: dict[str, dict[str, Any]] = field(default_factory=dict)  # further JSON files


def token_ids(special: Sequence[str]) -> dict[str, int]:
    """Special tokens come after the bytes."""
    assert len(_BYTES) + len(special) <= VOCABULARY
    return {token: len(_BYTES) + i for i, token in enumerate(special)}


def text_config(
    rope: dict[str, Any], changes: dict[str, Any], ids: dict[str, int], end: str, pad: str
) -> dict[str, Any]:
    """A small decoder with grouped heads.

    Args:
        rope: the family's fields of ``rope_parameters``.
        changes: what `write` was asked for; its ``rope_parameters`` go over the family's.
    """
    changes = dict(changes)
    heads = changes.get("num_attention_heads", 4)
    return {
        "vocab_size": VOCABULARY,
        "hidden_size": HEAD_DIM * heads,
        "intermediate_size": 128,
        "num_hidden_layers": 3,
        "num_attention_heads": heads,
        "num_key_value_heads": 2 if heads % 2 == 0 else 1,
        "max_position_embeddings": 4096,
        "bos_token_id": ids[pad],
        "eos_token_id": ids[end],
        "pad_token_id": ids[pad],
        "tie_word_embeddings": False,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 10000.0,
            **rope,
            **changes.pop("rope_parameters", {}),
        },
        **changes,
    }


def build(blueprint: Blueprint, folder: Path, seed: int) -> Path:
    """Draw weights and write every file of the hub's layout."""
    torch.manual_seed(seed)
    model = blueprint.model_class(blueprint.config)
    _draw_weights(model, seed)
    weights_bytes = sum(t.numel() * t.element_size() for t in model.state_dict().values())
    model.save_pretrained(folder, max_shard_size=int(weights_bytes * _SHARD_SHARE))
    _write_tokenizer(blueprint, folder)
    (folder / "chat_template.jinja").write_text(blueprint.template)
    for name, content in (*blueprint.files.items(), ("generation_config", blueprint.generation)):
        (folder / f"{name}.json").write_text(json.dumps(content, indent=2))
    return folder


@torch.no_grad()
def _draw_weights(model: Any, seed: int) -> None:
    """Large enough for attention to be uneven; norms stay as they are."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        spread = 1.0 if "embed_tokens" in name else 1.3 / parameter.shape[-1] ** 0.5
        if parameter.dim() < 2:
            spread = 0.3 if "bias" in name else 0.0
        noise = torch.randn(parameter.shape, generator=generator) * spread
        if parameter.dim() < 2 and "bias" not in name:
            noise = parameter.clone()
        parameter.copy_(noise)


def _write_tokenizer(blueprint: Blueprint, folder: Path) -> None:
    """Every byte is a token, cut as Qwen's tokenizers cut words; nothing is merged."""
    inner = Tokenizer(models.BPE({b: i for i, b in enumerate(_BYTES)}, []))
    inner.normalizer = normalizers.NFC()
    inner.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    inner.decoder = decoders.ByteLevel()
    inner.add_special_tokens(list(blueprint.special))
    inner.save(str(folder / "tokenizer.json"))
    plain = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
    added = {
        str(i): {"content": token, "special": True, **plain}
        for token, i in token_ids(blueprint.special).items()
    }
    config = {
        "added_tokens_decoder": added,
        "clean_up_tokenization_spaces": False,
        "add_prefix_space": False,
        **blueprint.tokenizer,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2))
