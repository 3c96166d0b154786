"""Qwen3-VL: deepstack features, interleaved M-RoPE, normed queries and keys."""

from __future__ import annotations

from typing import Any

import transformers

from tests.checkpoints import qwen
from tests.checkpoints.common import HEAD_DIM, Blueprint, text_config

SPECIAL = qwen.SPECIAL


def draw(text: dict[str, Any]) -> Blueprint:
    rope = {"mrope_section": [3, 3, 2], "mrope_interleaved": True}
    wide = {"hidden_size": 48, "head_dim": HEAD_DIM, **text}  # heads are wider than the stream
    decoder = text_config(rope, wide, qwen.IDS, "<|im_end|>", "<|endoftext|>")
    config = transformers.Qwen3VLConfig(
        text_config=decoder,
        vision_config={
            "depth": 3,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 2,
            "in_channels": 3,
            "patch_size": qwen.PATCH,
            "spatial_merge_size": qwen.MERGE,
            "temporal_patch_size": qwen.FRAMES,
            "out_hidden_size": decoder["hidden_size"],
            "num_position_embeddings": 36,
            "deepstack_visual_indexes": [0, 1],
        },
        **qwen.VISION_IDS,
    )
    size = {"shortest_edge": 4 * qwen.CELL_PIXELS, "longest_edge": 24576 * qwen.CELL_PIXELS}
    half = [0.5, 0.5, 0.5]
    return Blueprint(
        config=config,
        model_class=transformers.Qwen3VLForConditionalGeneration,
        special=SPECIAL,
        tokenizer={**qwen.TOKENIZER, "processor_class": "Qwen3VLProcessor"},
        template=qwen.TEMPLATE_WITHOUT_SYSTEM,
        generation=qwen.GENERATION,
        files=qwen.preprocessing(
            "Qwen3VLProcessor", "Qwen3VLVideoProcessor", {"size": size}, half, half
        ),
    )
