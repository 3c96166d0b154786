"""Qwen2-VL: a plain vision transformer, sectioned M-RoPE."""

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
    config = transformers.Qwen2VLConfig(
        text_config=decoder,
        vision_config={
            "depth": 2,
            "embed_dim": 32,
            "hidden_size": decoder["hidden_size"],
            "mlp_ratio": 2,
            "num_heads": 2,
            "in_channels": 3,
            "patch_size": qwen.PATCH,
            "spatial_merge_size": qwen.MERGE,
            "temporal_patch_size": qwen.FRAMES,
        },
        **qwen.VISION_IDS,
    )
    limits = {"min_pixels": 4 * qwen.CELL_PIXELS, "max_pixels": 16384 * qwen.CELL_PIXELS}
    return Blueprint(
        config=config,
        model_class=transformers.Qwen2VLForConditionalGeneration,
        special=SPECIAL,
        tokenizer={**qwen.TOKENIZER, "processor_class": "Qwen2VLProcessor"},
        template=qwen.TEMPLATE,
        generation=qwen.GENERATION,
        files=qwen.preprocessing(
            "Qwen2VLProcessor", "Qwen2VLVideoProcessor", limits, qwen.CLIP_MEAN, qwen.CLIP_STD
        ),
    )
