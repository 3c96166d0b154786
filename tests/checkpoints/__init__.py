"""Complete checkpoint folders in the hub's layout, tiny and with random weights.

    python -m tests.checkpoints --family qwen2_5_vl --out DIR

Config, sharded safetensors with their index, tokenizer with the family's special tokens, chat
template, generation and preprocessing: everything that loading reads.  Weights are drawn large
enough for attention to be uneven.  One module a family.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.checkpoints import internvl, llava_onevision, qwen2_5_vl, qwen2_vl, qwen3_vl, smolvlm
from tests.checkpoints.common import VOCABULARY, Blueprint, build, token_ids

__all__ = ["FAMILIES", "IDS", "VOCABULARY", "write"]

_MODULES = {
    "internvl": internvl,
    "llava_onevision": llava_onevision,
    "qwen2_5_vl": qwen2_5_vl,
    "qwen2_vl": qwen2_vl,
    "qwen3_vl": qwen3_vl,
    "smolvlm": smolvlm,
}
FAMILIES: dict[str, Callable[[dict[str, Any]], Blueprint]] = {
    name: module.draw for name, module in _MODULES.items()
}
IDS: dict[str, dict[str, int]] = {  # of each family's special tokens
    name: token_ids(module.SPECIAL) for name, module in _MODULES.items()
}


def write(family: str, folder: Path, seed: int = 0, **text: Any) -> Path:
    """Write a checkpoint; ``text`` overrides fields of the text config.

    ``num_attention_heads=7, num_key_value_heads=1`` and the like give other groupings;
    ``rope_parameters`` are put over the family's own, so that a scaling keeps its sections.
    """
    return build(FAMILIES[family](text), folder, seed)
