"""Which checkpoints can be used at all, by their ``config.json``, and why others cannot.

What is said of a family here is what stands in its way; the families that run are given by the
loader.  Weights and tokenizer are not known here.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch

from longtake.models.base import ModelError
from longtake.models.trained import RECURRENT

CONFIG = "config.json"
_CODE = "its code would have to be run, and no code of a checkpoint is"
_PICTURES = "it was trained on single pictures"
_SLIDES = (
    "most of its layers attend to their last tokens only, so what is recalled would be shown to "
    "layers that never saw it in training"
)
_NEAR: Mapping[str, str] = {  # model_type -> what stands in the way, and what to take instead
    "llava": f"{_PICTURES}; its successor for videos is llava_onevision",
    "llava_next": f"{_PICTURES}; its successor for videos is llava_onevision",
    "vipllava": f"{_PICTURES}; llava_onevision is its relative for videos",
    "llava_next_video": "it is a near relative of llava_onevision, but no adapter for it is "
    "written; take llava_onevision",
    "video_llava": "no adapter for it is written; take llava_onevision",
    "llava_qwen": f"{_CODE}; take the checkpoint whose name ends in -hf, from llava-hf",
    "llava_llama": f"{_CODE}; take the checkpoint whose name ends in -hf, from llava-hf",
    "internvl_chat": f"{_CODE}; take the checkpoint whose name ends in -hf, from OpenGVLab",
    "qwen2_5_omni": "its speech and its time-aligned audio are not supported; take qwen2_5_vl",
    "qwen2_5_omni_thinker": "its time-aligned audio is not supported; take qwen2_5_vl",
    "qwen3_omni_moe": "its speech and its time-aligned audio are not supported; take qwen3_vl",
    "qwen3_vl_moe": "it is qwen3_vl with experts, and no adapter for it is written; take qwen3_vl",
    "idefics2": f"{_PICTURES}; its successor for videos is smolvlm",
    "idefics3": f"{_PICTURES}; its successor for videos is smolvlm",
    "gemma3": _SLIDES,
    "gemma3n": _SLIDES,
    "gemma4": _SLIDES,
    "mllama": "its decoder attends to pictures through layers of their own, not in its context",
    "video_llama_3": "no adapter for it is written; take qwen2_5_vl",
    "perception_lm": "no adapter for it is written; take internvl",
    "glm4v": "no adapter for it is written; take qwen2_5_vl",
    "instructblipvideo": "it sees four frames at once and no more",
    "minicpmv": _CODE,
    "videollama3_qwen2": _CODE,
}
_RECURRENT_FAMILIES = frozenset(
    "qwen3_5 qwen3_5_moe qwen3_5_text qwen3_5_moe_text qwen3_next qwen4_exp kimi_linear mamba "
    "mamba2 falcon_mamba falcon_h1 jamba zamba zamba2 bamba nemotron_h nemotron_h_omni "
    "granitemoehybrid lfm2 lfm2_moe lfm2_vl lfm3 lfm3_vl recurrent_gemma rwkv xlstm minimax "
    "olmo_hybrid bailing_hybrid zaya".split()
)
_COUNTS = (  # of a decoder; what is no count is said of it before a library trips over it
    "hidden_size",
    "max_position_embeddings",
    "num_attention_heads",
    "num_hidden_layers",
    "vocab_size",
)
_SOUND = ("audio_config", "num_mel_bins", "feat_extract_norm", "audio_token_id", "codebook_size")


def read_config(folder: Path) -> dict[str, Any]:
    """The folder's config.

    Raises:
        ModelError: if it is no JSON, or no object.
        OSError: if it cannot be read.
    """
    path = folder / CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # and bytes that are no UTF-8
        raise ModelError(f"{path} is no JSON ({error}): download it again") from error
    if not isinstance(config, dict):
        raise ModelError(f"{path} holds no JSON object: download it again")
    return config


def model_config(folder: Path, kind: Any, again: str) -> Any:
    """The folder's config, as transformers' class of its family reads it.

    Args:
        kind: that class.
        again: how the file is fetched once more.

    Raises:
        ModelError: names the field whose value cannot be.
    """
    whole = read_config(folder)
    said = _wrong_value(whole)
    if said is None:
        try:
            return kind.from_pretrained(folder, local_files_only=True)
        except Exception as error:  # a foreign file can be wrong in any way
            # Its validators wrap what they found, with the field in it
            said = " ".join(str(error.__cause__ or error).split())[:200] or type(error).__name__
    raise ModelError(f"{CONFIG} cannot be used: {said}; correct it, or {again}")


def _wrong_value(whole: Mapping[str, Any]) -> str | None:
    parts = {"": whole}
    for name in ("text_config", "vision_config"):
        if isinstance(whole.get(name), dict):
            parts[f"{name}."] = whole[name]
    for prefix, part in parts.items():
        for field in ("dtype", "torch_dtype"):
            dtype = part.get(field)
            if isinstance(dtype, str) and not _is_dtype(dtype):
                return f"{prefix}{field} is {json.dumps(dtype)}, and torch has no such dtype"
    prefix = "text_config." if "text_config." in parts else ""
    for field in _COUNTS:
        count = parts[prefix].get(field, 1)
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            return f"{prefix}{field} is {json.dumps(count)}, and must be a whole number from 1 on"
    return None


def _is_dtype(name: str) -> bool:
    return name == "auto" or isinstance(
        getattr(torch, name.removeprefix("torch."), None), torch.dtype
    )


def check_family(config: Mapping[str, Any], families: Collection[str]) -> str:
    """The family of a config that can be used.

    Args:
        families: that have an adapter.

    Raises:
        ModelError: says what the model is, why it cannot be used, and which can.
    """
    family = config.get("model_type")
    supported = f"supported are {', '.join(families)}"
    if not isinstance(family, str):
        raise ModelError(
            f"{CONFIG} does not say its family (model_type): is it a Hugging Face "
            f"checkpoint? {supported}"
        )
    if family not in families:
        raise ModelError(f"is of the family {family!r}: {_why_not(family, config)}; {supported}")
    for part in ("vision_config", "text_config"):
        inner = config.get(part)
        is_flat = part == "text_config" and "hidden_size" in config  # the first Qwen-VL configs
        if not is_flat and not (isinstance(inner, dict) and inner):
            raise ModelError(
                f"{CONFIG} lacks {part}, which {family} needs: is it the whole model's? "
                "Download it again"
            )
    _check_kind(config)
    return family


def _why_not(family: str, config: Mapping[str, Any]) -> str:
    if family in _NEAR:
        return _NEAR[family]
    if family in _RECURRENT_FAMILIES or _is_recurrent(config):
        return f"not all of its layers are attention; {RECURRENT}"
    if "vision_config" in config or "vision_tower" in config or "visual" in config:
        if "auto_map" in config:
            return _CODE
        return "it sees, but no adapter for it is written"
    if any(name in config for name in _SOUND):
        return "it hears and does not see"
    if "image_size" in config or "patch_size" in config:
        return "it encodes pictures and does not speak"
    if "vocab_size" in config:
        return "it reads text and does not see"
    if "auto_map" in config:
        return _CODE
    return "it is no Video-LLM that is known here"


def _check_kind(config: Mapping[str, Any]) -> None:
    """A decoder of another kind inside a family that is supported."""
    if _is_recurrent(config):
        raise ModelError(f"not all layers of its decoder are attention; {RECURRENT}")


def _is_recurrent(config: Mapping[str, Any]) -> bool:
    inner = config.get("text_config")
    for part in (config, inner if isinstance(inner, dict) else {}):
        kinds = part.get("layer_types")
        if isinstance(kinds, list) and {"linear_attention", "mamba", "conv"} & set(map(str, kinds)):
            return True
        if part.get("model_type") in _RECURRENT_FAMILIES:
            return True
    return False
