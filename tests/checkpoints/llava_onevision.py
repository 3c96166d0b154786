"""LLaVA-OneVision: SigLIP and Qwen2."""

from __future__ import annotations

from typing import Any

import transformers

from tests.checkpoints.common import Blueprint, text_config, token_ids

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>", "<video>")
_IDS = token_ids(SPECIAL)
_TEMPLATE = """\
{%- for message in messages -%}
  {{- '<|im_start|>' + message.role + '\\n' -}}
  {%- for type in ('image', 'video') -%}
    {%- for part in message.content if part.type == type -%}
      {{- '<' + type + '>\\n' -}}
    {%- endfor -%}
  {%- endfor -%}
  {%- for part in message.content if part.type == 'text' -%}{{- part.text -}}{%- endfor -%}
  {{- '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}
"""
SIDE, PATCH = 28, 4


def draw(text: dict[str, Any]) -> Blueprint:
    decoder = text_config({}, text, _IDS, "<|im_end|>", "<|endoftext|>")
    config = transformers.LlavaOnevisionConfig(
        text_config={"model_type": "qwen2", **decoder},
        vision_config={
            "model_type": "siglip_vision_model",
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": SIDE,
            "patch_size": PATCH,
            "vision_use_head": False,
        },
        image_token_index=_IDS["<image>"],
        video_token_index=_IDS["<video>"],
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        image_grid_pinpoints=[[SIDE, SIDE]],
    )
    pictures = {
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [0.5, 0.4, 0.6],
        "image_std": [0.3, 0.25, 0.35],
        "processor_class": "LlavaOnevisionProcessor",
        "resample": 3,
        "rescale_factor": 1 / 255,
        "size": {"height": SIDE, "width": SIDE},
    }
    image = {
        "do_pad": True,
        "image_grid_pinpoints": [[SIDE, SIDE]],
        "image_processor_type": "LlavaOnevisionImageProcessor",
    }
    video = {"video_processor_type": "LlavaOnevisionVideoProcessor"}
    return Blueprint(
        config=config,
        model_class=transformers.LlavaOnevisionForConditionalGeneration,
        special=SPECIAL,
        tokenizer={
            "tokenizer_class": "Qwen2Tokenizer",
            "processor_class": "LlavaOnevisionProcessor",
            "bos_token": None,
            "eos_token": "<|im_end|>",
            "pad_token": "<|endoftext|>",
            "unk_token": None,
            "additional_special_tokens": list(SPECIAL[1:]),
            "model_max_length": 32768,
        },
        template=_TEMPLATE,
        generation={
            "bos_token_id": _IDS["<|endoftext|>"],
            "eos_token_id": [_IDS["<|im_end|>"], _IDS["<|endoftext|>"]],
            "pad_token_id": _IDS["<|endoftext|>"],
        },
        files={
            "preprocessor_config": {**pictures, **image},
            "video_preprocessor_config": {**pictures, **video},
            "processor_config": {
                "image_token": "<image>",
                "num_image_tokens": (SIDE // PATCH) ** 2,
                "processor_class": "LlavaOnevisionProcessor",
                "video_token": "<video>",
                "vision_aspect_ratio": "anyres_max_9",
                "vision_feature_select_strategy": "full",
            },
        },
    )
