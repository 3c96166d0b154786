"""The embedded model's shape: a plain LLaVA-OneVision of 1.4 million parameters.

SigLIP sees 96 x 96 pixels in patches of 16; 6 x 6 patches are pooled to 9 tokens a frame;
a Qwen2 of 4 layers reads them.  Two frames and their time stamp are one step.
"""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import (
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    Qwen2Config,
    SiglipVisionConfig,
)

from longtake.models.embedded import language
from longtake.models.embedded.world import SIZE

GRID = 3  # cells a side that a frame's tokens stand for
FRAMES_PER_STEP = 2
STAMP_TOKENS = 8
VISUAL_TOKENS = FRAMES_PER_STEP * GRID * GRID
STEP_TOKENS = STAMP_TOKENS + VISUAL_TOKENS
TRAINED_TOKENS = 4096
LAYERS, WIDTH = 4, 128  # of the language model


def build_model() -> LlavaOnevisionForConditionalGeneration:
    """Random weights; seed torch first for the same ones."""
    vision = SiglipVisionConfig(
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=3,
        num_attention_heads=4,
        image_size=SIZE,
        patch_size=SIZE // (2 * GRID),
        vision_use_head=False,
    )
    text = Qwen2Config(
        vocab_size=len(language.vocabulary()),
        hidden_size=WIDTH,
        intermediate_size=384,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=TRAINED_TOKENS,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        tie_word_embeddings=True,
        pad_token_id=language.PAD,
        bos_token_id=language.START,
        eos_token_id=language.END,
    )
    config = LlavaOnevisionConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=language.IMAGE,
        video_token_index=language.VIDEO,
        image_grid_pinpoints=[[SIZE, SIZE]],
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        tie_word_embeddings=True,
    )
    model = LlavaOnevisionForConditionalGeneration(config)
    # 10 times faster than the fused attention in training, at 36 tokens on a CPU.
    model.model.vision_tower.set_attn_implementation("eager")
    return model


def see(model: LlavaOnevisionForConditionalGeneration, frames: Tensor) -> Tensor:
    """Visual tokens of every frame.

    Args:
        frames: uint8 ``[B, F, 3, 96, 96]``.

    Returns:
        ``[B, F, 9, C]``; the 'newline' token that closes a video is left out.
    """
    pixels = frames.to(torch.float32) / 127.5 - 1
    seen: Tensor = model.model.get_video_features(pixels, return_dict=True).pooler_output
    return seen[:, :-1].view(*frames.shape[:2], GRID * GRID, -1)


def vision_parameters(model: LlavaOnevisionForConditionalGeneration) -> list[torch.nn.Parameter]:
    return [
        *model.model.vision_tower.parameters(),
        *model.model.multi_modal_projector.parameters(),
    ]
