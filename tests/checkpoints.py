"""Complete checkpoint folders in the hub's layout, tiny and with random weights.

    python -m tests.checkpoints --family qwen2_5_vl --out DIR

Config, safetensors, tokenizer with the family's special tokens, chat template, preprocessing:
everything that loading reads.  Weights are drawn large enough for attention to be uneven.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
    "<image>",
    "<video>",
)
_BYTES = sorted(pre_tokenizers.ByteLevel.alphabet())
IDS = {token: len(_BYTES) + i for i, token in enumerate(SPECIAL)}
VOCABULARY = len(_BYTES) + len(SPECIAL)
TURNS = (
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% for part in message['content'] %}{% if part['type'] == 'video' %}VIDEO"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def write(family: str, folder: Path, seed: int = 0, **text: Any) -> Path:
    """Write a checkpoint; ``text`` overrides fields of the text config."""
    torch.manual_seed(seed)
    config, model_class, video = FAMILIES[family](text)
    model = model_class(config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            spread = 1.0 if "embed_tokens" in name else 1.3 / parameter.shape[-1] ** 0.5
            if parameter.dim() < 2:
                spread = 0.3 if "bias" in name else 0.0
            noise = torch.randn(parameter.shape, generator=generator) * spread
            if parameter.dim() < 2 and "bias" not in name:
                noise = parameter.clone()  # norms stay as they are
            parameter.copy_(noise)
    model.save_pretrained(folder)
    _tokenizer(TURNS.replace("VIDEO", video)).save_pretrained(folder)
    preprocessing = {"image_mean": [0.5, 0.4, 0.6], "image_std": [0.3, 0.25, 0.35]}
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessing))
    return folder


def _tokenizer(template: str) -> PreTrainedTokenizerFast:
    inner = Tokenizer(models.BPE({b: i for i, b in enumerate(_BYTES)}, []))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    inner.add_special_tokens(list(SPECIAL))
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=list(SPECIAL),
        chat_template=template,
        clean_up_tokenization_spaces=False,
    )


def _text(rope: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    return {
        "vocab_size": VOCABULARY,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 4096,
        "bos_token_id": IDS["<|endoftext|>"],
        "eos_token_id": IDS["<|im_end|>"],
        "pad_token_id": IDS["<|endoftext|>"],
        "tie_word_embeddings": False,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, **rope},
        **changes,
    }


def _llava_onevision(text: dict[str, Any]) -> tuple[Any, Any, str]:
    config = transformers.LlavaOnevisionConfig(
        text_config={"model_type": "qwen2", **_text({}, text)},
        vision_config={
            "model_type": "siglip_vision_model",
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 28,
            "patch_size": 4,
            "vision_use_head": False,
        },
        image_token_index=IDS["<image>"],
        video_token_index=IDS["<video>"],
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        image_grid_pinpoints=[[28, 28]],
    )
    return config, transformers.LlavaOnevisionForConditionalGeneration, "<video>"


def _qwen2_5_vl(text: dict[str, Any]) -> tuple[Any, Any, str]:
    config = transformers.Qwen2_5_VLConfig(
        text_config=_text({"mrope_section": [2, 3, 3]}, text),
        vision_config={
            "depth": 3,
            "patch_size": 4,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "in_channels": 3,
            "hidden_size": 32,
            "out_hidden_size": 64,
            "num_heads": 2,
            "intermediate_size": 64,
            "window_size": 16,
            "fullatt_block_indexes": [2],
            "tokens_per_second": 2,
        },
        image_token_id=IDS["<|image_pad|>"],
        video_token_id=IDS["<|video_pad|>"],
        vision_start_token_id=IDS["<|vision_start|>"],
        vision_end_token_id=IDS["<|vision_end|>"],
    )
    video = "<|vision_start|><|video_pad|><|vision_end|>"
    return config, transformers.Qwen2_5_VLForConditionalGeneration, video


FAMILIES: dict[str, Callable[[dict[str, Any]], tuple[Any, Any, str]]] = {
    "llava_onevision": _llava_onevision,
    "qwen2_5_vl": _qwen2_5_vl,
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Write a tiny random checkpoint.")
    parser.add_argument("--family", choices=sorted(FAMILIES), required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    print(write(chosen.family, chosen.out, chosen.seed))


if __name__ == "__main__":
    main()
