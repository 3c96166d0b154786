"""Fewer bits a weight: bitsandbytes while loading, or as the checkpoint already has it.

4 bit is NormalFloat (QLoRA, arXiv 2305.14314), 8 bit LLM.int8 (2208.07339).  Which modules stay as
they are is transformers' choice: embeddings and the head, not the vision tower.
Keys and values are not quantised here.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import torch

from longtake.models.base import ModelError

NONE = "none"
CHOICES = (NONE, "4bit", "8bit")
_NEEDED = ("bitsandbytes", "accelerate")


def check_choice(quantize: str) -> None:
    """Raises ModelError for a name that is not known."""
    if quantize not in CHOICES:
        raise ModelError(f"quantize={quantize!r}: known are {', '.join(CHOICES)}")


def own_method(config: Mapping[str, Any]) -> str | None:
    """How the checkpoint itself is quantised: ``awq``, ``gptq``, ``fp8`` ..., or None."""
    found = config.get("quantization_config")
    if not isinstance(found, Mapping):
        return None
    if found.get("load_in_4bit") or found.get("load_in_8bit"):
        return "bitsandbytes"
    return str(found.get("quant_method", "unknown"))


def options(quantize: str, own: str | None, dtype: torch.dtype, place: torch.device) -> Any:
    """Transformers' keywords for it; empty without quantisation.

    Raises:
        ModelError: if what is needed for it is not installed, or it is quantised already.
    """
    check_choice(quantize)
    if quantize != NONE and own is not None:
        raise ModelError(
            f"is quantised already ({own}): leave --quantize out, or take the checkpoint that it "
            "was made from"
        )
    # With 8 bit it would tell of its casts to float16 at every product
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    if quantize == NONE:
        return {} if own is None else {"device_map": _map(own, place)}
    missing = [name for name in _NEEDED if not is_there(name)]
    if missing:
        raise ModelError(
            f"--quantize {quantize} needs {' and '.join(missing)}: pip install "
            f"{' '.join(missing)}; without it, --dtype bfloat16 halves what float32 takes"
        )
    if place.type not in ("cpu", "cuda"):
        raise ModelError(
            f"--quantize {quantize}: bitsandbytes is not used on {place}; leave it out"
        )
    import transformers

    make: Any = transformers.BitsAndBytesConfig
    if quantize == "4bit":
        chosen = make(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)
    else:
        chosen = make(load_in_8bit=True)
    return {"quantization_config": chosen, "device_map": {"": place}}


def is_there(name: str) -> bool:
    """True where a library is installed."""
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):  # half installed
        return False


def _map(own: str, place: torch.device) -> Any:
    if not is_there("accelerate"):
        raise ModelError(
            f"is quantised ({own}), and loading that needs accelerate: pip install accelerate"
        )
    return {"": place}
