"""Qwen2.5-VL: a vision transformer that mostly looks at windows, sectioned M-RoPE."""

from __future__ import annotations

from typing import Any

import transformers

from tests.checkpoints import qwen
from tests.checkpoints.common import Blueprint, text_config

SPECIAL = qwen.SPECIAL


def draw(text: dict[str, Any]) -> Blueprint:
    decoder = text_config(
        {"mrope_section": [2, 3, 3]}, text, qwen.IDS, "<|im_end|>", "<|endoftext|>"
    )
    config = transformers.Qwen2_5_VLConfig(
        text_config=decoder,
        vision_config={
            "depth": 3,
            "patch_size": qwen.PATCH,
            "spatial_merge_size": qwen.MERGE,
            "temporal_patch_size": qwen.FRAMES,
            "in_channels": 3,
            "hidden_size": 32,
            "out_hidden_size": decoder["hidden_size"],
            "num_heads": 2,
            "intermediate_size": 64,
            "window_size": 16,
            "fullatt_block_indexes": [2],
            "tokens_per_second": 2,
        },
        **qwen.VISION_IDS,
    )
    limits = {"min_pixels": 4 * qwen.CELL_PIXELS, "max_pixels": 16384 * qwen.CELL_PIXELS}
    return Blueprint(
        config=config,
        model_class=transformers.Qwen2_5_VLForConditionalGeneration,
        special=SPECIAL,
        tokenizer={**qwen.TOKENIZER, "processor_class": "Qwen2_5_VLProcessor"},
        template=qwen.TEMPLATE,
        generation=qwen.GENERATION,
        files=qwen.preprocessing(
            "Qwen2_5_VLProcessor", "Qwen2VLVideoProcessor", limits, qwen.CLIP_MEAN, qwen.CLIP_STD
        ),
    )
