"""What the checkpoints of the Qwen families share: tokenizer, templates, preprocessing.

Token names, field names and class names are those of the published checkpoints; sizes are a
fraction of theirs: patches of 4 pixels, and pixel limits of as many patches.
"""

from __future__ import annotations

from typing import Any

from tests.checkpoints.common import token_ids

SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|object_ref_start|>",
    "<|object_ref_end|>",
    "<|box_start|>",
    "<|box_end|>",
    "<|quad_start|>",
    "<|quad_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
IDS = token_ids(SPECIAL)
PATCH, MERGE, FRAMES = 4, 2, 2
CELL_PIXELS = (PATCH * MERGE) ** 2
VISION_IDS = {
    "image_token_id": IDS["<|image_pad|>"],
    "video_token_id": IDS["<|video_pad|>"],
    "vision_start_token_id": IDS["<|vision_start|>"],
    "vision_end_token_id": IDS["<|vision_end|>"],
}
GENERATION = {
    "bos_token_id": IDS["<|endoftext|>"],
    "pad_token_id": IDS["<|endoftext|>"],
    "eos_token_id": [IDS["<|im_end|>"], IDS["<|endoftext|>"]],
    "do_sample": True,
    "temperature": 0.7,
    "top_p": 0.8,
}
TOKENIZER = {
    "tokenizer_class": "Qwen2Tokenizer",
    "eos_token": "<|im_end|>",
    "pad_token": "<|endoftext|>",
    "unk_token": None,
    "bos_token": None,
    "additional_special_tokens": list(SPECIAL[1:]),
    "model_max_length": 32768,
}

_PARTS = """\
{%- macro write_parts(content) -%}
  {%- if content is string -%}{{ content }}
  {%- else -%}
    {%- for part in content -%}
      {%- if part.type == 'video' or 'video' in part -%}
        <|vision_start|><|video_pad|><|vision_end|>
      {%- elif part.type == 'image' or 'image' in part -%}
        <|vision_start|><|image_pad|><|vision_end|>
      {%- else -%}{{ part.text }}
      {%- endif -%}
    {%- endfor -%}
  {%- endif -%}
{%- endmacro -%}
"""
_SYSTEM = """\
{%- if messages[0].role != 'system' -%}
  {{- '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' -}}
{%- endif -%}
"""
_TURNS = """\
{%- for message in messages -%}
  {{- '<|im_start|>' + message.role + '\\n' + write_parts(message.content) + '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}
"""
TEMPLATE = _PARTS + _SYSTEM + _TURNS  # Qwen2-VL and Qwen2.5-VL
TEMPLATE_WITHOUT_SYSTEM = _PARTS + _TURNS  # Qwen3-VL writes no system turn of its own


def preprocessing(
    processor: str,
    video_processor: str,
    limits: dict[str, Any],
    mean: list[float],
    std: list[float],
) -> dict[str, dict[str, Any]]:
    """``preprocessor_config`` and ``video_preprocessor_config``."""
    shared = {
        "patch_size": PATCH,
        "merge_size": MERGE,
        "temporal_patch_size": FRAMES,
        "image_mean": mean,
        "image_std": std,
        "processor_class": processor,
        **limits,
    }
    return {
        "preprocessor_config": {**shared, "image_processor_type": "Qwen2VLImageProcessor"},
        "video_preprocessor_config": {**shared, "video_processor_type": video_processor},
    }


CLIP_MEAN = [0.48145466, 0.4578275, 0.40821073]
CLIP_STD = [0.26862954, 0.26130258, 0.27577711]
