"""Is a loaded model whole, and are its numbers numbers?

Transformers draws random values for what a checkpoint lacks, and passes over what it does not
know.  Here the first is an error; so is the second inside a layer, where it means that config
and weights are of different models.  What the files hold is known to `models.intact`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from longtake.models.base import ModelError
from longtake.models.intact import some

_log = logging.getLogger(__name__)
_INSIDE = re.compile(r"\.(layers?|blocks|resblocks)\.\d+\.")  # of a decoder or a vision tower


def check_loaded(info: Mapping[str, Any]) -> None:
    """Refuse a model that is not its checkpoint's.

    Args:
        info: what transformers gives for ``output_loading_info``.

    Raises:
        ModelError: names tensors that are missing, of another shape, or not of this model.
    """
    mismatched = sorted(
        f"{name} is {list(there)}, not {list(wanted)}"
        for name, there, wanted in info["mismatched_keys"]
    )
    if mismatched:
        raise ModelError(
            f"weights do not fit config.json: {some(mismatched)}; the two are of different "
            "models: download both again"
        )
    missing = sorted(info["missing_keys"])
    if missing:
        raise ModelError(
            f"the checkpoint lacks {len(missing)} tensors that this family needs: "
            f"{some(missing)}; without them it would answer from random weights: download it "
            "whole, or take another checkpoint"
        )
    unknown = sorted(info["unexpected_keys"])
    inside = [name for name in unknown if _INSIDE.search(f".{name}")]
    if inside:
        raise ModelError(
            f"holds {len(inside)} tensors inside its layers that this family has no place for: "
            f"{some(inside)}; an adapter (LoRA) must be merged first, else config.json and "
            "weights are of different models"
        )
    if unknown:
        _log.warning("%d tensors are not used: %s", len(unknown), some(unknown))


@torch.no_grad()
def check_finite(model: nn.Module) -> None:
    """Refuse weights with NaN or infinity; packed integers are passed over.

    One pass on the device and one wait at its end.  40 to 65 ms a GiB on two CPU cores: least and
    greatest are found without a copy (``isfinite().all()`` took 1.4 to 2 s a GiB).

    Raises:
        ModelError: names the tensors.
    """
    names, extremes = [], []
    for name, tensor in _floats(model):
        names.append(name)
        extremes.append(torch.stack(tensor.aminmax()).float())
    if not extremes:
        return
    sound = torch.stack(extremes).isfinite().all(1).tolist()
    broken = [name for name, is_sound in zip(names, sound, strict=True) if not is_sound]
    if not broken:
        return
    kinds = {tensor.dtype for name, tensor in _floats(model) if name in broken}
    hint = (
        "float16 may be too narrow for it: try --dtype bfloat16 or float32"
        if kinds == {torch.float16}
        else "the checkpoint is damaged: download it again, or take another"
    )
    raise ModelError(f"NaN or infinity in {len(broken)} of its tensors: {some(broken)}; {hint}")


def _floats(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Parameters and buffers that can hold a NaN and have a least and a greatest number."""
    whole: tuple[Iterable[tuple[str, Tensor]], ...] = (
        model.named_parameters(),
        model.named_buffers(),
    )
    for tensors in whole:
        for name, tensor in tensors:
            if tensor.is_floating_point() and tensor.numel() and tensor.element_size() > 1:
                yield name, tensor.detach()
