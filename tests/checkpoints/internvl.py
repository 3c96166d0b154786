"""InternVL as transformers' own classes: InternVL's vision transformer and Qwen3, or Qwen2.

``model_type="qwen2"`` among the changes of the text config gives InternVL3's decoder.
"""

from __future__ import annotations

from typing import Any

import transformers

from tests.checkpoints.common import HEAD_DIM, Blueprint, text_config, token_ids

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
    "<img>",
    "</img>",
    "<IMG_CONTEXT>",
    "<quad>",
    "</quad>",
    "<ref>",
    "</ref>",
    "<box>",
    "</box>",
    "<video>",
)
_IDS = token_ids(SPECIAL)
_NAMED = {
    "start_image_token": "<img>",
    "end_image_token": "</img>",
    "context_image_token": "<IMG_CONTEXT>",
    "video_token": "<video>",
}
_TEMPLATE = """\
{%- for message in messages -%}
  {{- '<|im_start|>' + message.role + '\\n' -}}
  {%- if message.content is string -%}{{- message.content -}}
  {%- else -%}
    {%- for part in message.content -%}
      {%- if part.type == 'video' -%}{{- '<video>\\n' -}}
      {%- elif part.type == 'image' -%}{{- '<IMG_CONTEXT>\\n' -}}
      {%- elif part.type == 'text' -%}{{- part.text -}}
      {%- endif -%}
    {%- endfor -%}
  {%- endif -%}
  {{- '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}
"""
SIDE, PATCH = 24, 4
TOKENS = (SIDE // PATCH // 2) ** 2  # of a picture


def draw(text: dict[str, Any]) -> Blueprint:
    decoder = text_config({}, text, _IDS, "<|im_end|>", "<|endoftext|>")
    config = transformers.InternVLConfig(
        text_config={"model_type": "qwen3", "head_dim": HEAD_DIM, **decoder},
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "attention_bias": True,
            "image_size": [SIDE, SIDE],
            "patch_size": [PATCH, PATCH],
        },
        image_token_id=_IDS["<IMG_CONTEXT>"],
        image_seq_length=TOKENS,
        downsample_ratio=0.5,
        vision_feature_layer=-1,
        vision_feature_select_strategy="default",
        tie_word_embeddings=False,
    )
    pictures = {
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
        "processor_class": "InternVLProcessor",
        "resample": 3,
        "rescale_factor": 1 / 255,
        "size": {"height": SIDE, "width": SIDE},
    }
    image = {
        "crop_to_patches": False,
        "image_processor_type": "GotOcr2ImageProcessorFast",
        "max_patches": 12,
        "min_patches": 1,
    }
    video = {"initial_shift": True, "video_processor_type": "InternVLVideoProcessor"}
    return Blueprint(
        config=config,
        model_class=transformers.InternVLForConditionalGeneration,
        special=SPECIAL,
        tokenizer={
            "tokenizer_class": "Qwen2Tokenizer",
            "processor_class": "InternVLProcessor",
            "bos_token": None,
            "eos_token": "<|im_end|>",
            "pad_token": "<|endoftext|>",
            "unk_token": None,
            "additional_special_tokens": list(SPECIAL[1:]),
            "extra_special_tokens": _NAMED,
            **_NAMED,
            "model_max_length": 8192,
        },
        template=_TEMPLATE,
        generation={
            "bos_token_id": _IDS["<|endoftext|>"],
            "eos_token_id": _IDS["<|im_end|>"],
            "pad_token_id": _IDS["<|endoftext|>"],
        },
        files={
            "preprocessor_config": {**pictures, **image},
            "video_preprocessor_config": {**pictures, **video},
            "processor_config": {
                "image_seq_length": TOKENS,
                "processor_class": "InternVLProcessor",
            },
        },
    )
