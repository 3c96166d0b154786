"""SmolVLM2: a SigLIP for pictures of any size and Llama, as small as SmolLM2 is."""

from __future__ import annotations

from typing import Any

import transformers

from tests.checkpoints.common import Blueprint, text_config, token_ids

_GRID = range(1, 7)  # of the parts that a single picture may be split into; videos never are
SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<repo_name>",
    "<reponame>",
    "<file_sep>",
    "<filename>",
    "<gh_stars>",
    "<issue_start>",
    "<issue_comment>",
    "<issue_closed>",
    "<jupyter_start>",
    "<jupyter_text>",
    "<jupyter_code>",
    "<jupyter_output>",
    "<jupyter_script>",
    "<empty_output>",
    "<global-img>",
    *(f"<row_{row}_col_{column}>" for row in _GRID for column in _GRID),
    "<fake_token_around_image>",
    "<image>",
    "<end_of_utterance>",
)
_IDS = token_ids(SPECIAL)
_NAMED = {
    "end_of_utterance_token": "<end_of_utterance>",
    "fake_image_token": "<fake_token_around_image>",
    "global_image_token": "<global-img>",
    "image_token": "<image>",
}
# The published checkpoints' own template writes no videos: their processor brings another.
_TEMPLATE = """\
<|im_start|>
{%- for message in messages -%}
  {{- message['role'] | capitalize -}}
  {%- if message['content'][0]['type'] == 'image' -%}:{%- else -%}{{- ': ' -}}{%- endif -%}
  {%- for part in message['content'] -%}
    {%- if part['type'] == 'text' -%}{{- part['text'] -}}
    {%- elif part['type'] == 'image' -%}<image>
    {%- endif -%}
  {%- endfor -%}
  {{- '<end_of_utterance>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}Assistant:{%- endif -%}
"""
SIDE, PATCH, SCALE = 32, 4, 2
TOKENS = (SIDE // PATCH // SCALE) ** 2  # of a picture


def draw(text: dict[str, Any]) -> Blueprint:
    decoder = text_config({}, text, _IDS, "<end_of_utterance>", "<|im_end|>")
    config = transformers.SmolVLMConfig(
        text_config={"model_type": "llama", **decoder},
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": SIDE,
            "patch_size": PATCH,
        },
        image_token_id=_IDS["<image>"],
        scale_factor=SCALE,
        tie_word_embeddings=False,
    )
    preprocessing = {
        "do_convert_rgb": True,
        "do_image_splitting": True,
        "do_normalize": True,
        "do_pad": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_processor_type": "SmolVLMImageProcessor",
        "image_std": [0.5, 0.5, 0.5],
        "max_image_size": {"longest_edge": SIDE},
        "processor_class": "SmolVLMProcessor",
        "resample": 1,
        "rescale_factor": 1 / 255,
        "size": {"longest_edge": 4 * SIDE},
        "video_sampling": {"fps": 1, "max_frames": 64, "video_size": {"longest_edge": SIDE}},
    }
    return Blueprint(
        config=config,
        model_class=transformers.SmolVLMForConditionalGeneration,
        special=SPECIAL,
        tokenizer={
            "tokenizer_class": "GPT2Tokenizer",
            "processor_class": "SmolVLMProcessor",
            "bos_token": "<|im_start|>",
            "eos_token": "<end_of_utterance>",
            "pad_token": "<|im_end|>",
            "unk_token": "<|endoftext|>",
            "additional_special_tokens": [
                "<fake_token_around_image>",
                "<image>",
                "<end_of_utterance>",
            ],
            "extra_special_tokens": _NAMED,
            **_NAMED,
            "model_max_length": 8192,
            "truncation_side": "left",
            "legacy": False,
        },
        template=_TEMPLATE,
        generation={
            "bos_token_id": _IDS["<|im_start|>"],
            "eos_token_id": _IDS["<end_of_utterance>"],
            "pad_token_id": _IDS["<|im_end|>"],
        },
        files={
            "preprocessor_config": preprocessing,
            "processor_config": {
                "image_seq_len": TOKENS,
                "processor_class": "SmolVLMProcessor",
            },
        },
    )
