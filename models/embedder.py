"""Pictures and words as vectors of one space, by a text-image model beside the Video-LLM.

CLIP, SigLIP and SigLIP 2 checkpoints; safetensors only, and no code of a checkpoint is run.  The
model sees pictures, not the stream: what the vectors are searched for is not known here.

N pictures or texts, W width of a vector, P tokens of a text.
Sources: CLIP (arXiv 2103.00020), SigLIP (2303.15343), SigLIP 2 (2502.14786).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from longtake.models.base import Image, ModelError
from longtake.models.foreign import first_line, quiet
from longtake.models.intact import check_files
from longtake.models.loader import find_device, find_dtype, find_folder
from longtake.models.picture import Preprocess, find_preprocess
from longtake.models.sound import check_finite, check_loaded
from longtake.models.supported import read_config
from longtake.models.tokens import read_tokenizer

SIGLIP = ("siglip", "siglip2")
FAMILIES = ("clip", *SIGLIP)
BATCH = 16  # pictures that go through the model at once


class Embedder:
    """One model on one device; holds nothing of what it embedded."""

    def __init__(
        self, model: Any, tokenizer: Any, preprocess: Preprocess, family: str, name: str
    ) -> None:
        self.name, self.family = name, family
        self._model, self._tokenizer, self._preprocess = model, tokenizer, preprocess
        text = model.config.text_config
        self._text_tokens = int(text.max_position_embeddings)
        self.width = int(model.config.projection_dim if family == "clip" else _siglip_width(text))

    def __repr__(self) -> str:
        device = self._model.device
        return f"Embedder({self.name}: {self.family}, width {self.width}, on {device})"

    @torch.inference_mode()
    def pictures(self, images: Sequence[Image]) -> Tensor:
        """RGB pictures of any sizes -> float32 ``[N, W]`` on the CPU, each of length 1."""
        rows = [torch.empty(0, self.width)]
        for i in range(0, len(images), BATCH):
            inputs = self._preprocess(images[i : i + BATCH])
            inputs = {name: self._placed(value) for name, value in inputs.items()}
            rows.append(_unit(self._model.get_image_features(**inputs)))
        return torch.cat(rows)

    @torch.inference_mode()
    def text(self, text: str) -> Tensor:
        """Words -> float32 ``[W]`` on the CPU, of length 1.  What is too long is cut."""
        ids = self.ids(text).to(self._model.device)
        return _unit(self._model.get_text_features(input_ids=ids))[0]

    def ids(self, text: str) -> Tensor:
        """The tokens of words as the family was trained on them, int64 ``[1, P]``.

        SigLIP and SigLIP 2 were trained on lower case, padded to the full length on the right
        and not masked; their vector is read at the last place.
        """
        length = self._text_tokens
        if self.family not in SIGLIP:
            encoded = self._tokenizer(text, truncation=True, max_length=length)
        else:
            self._tokenizer.padding_side = "right"
            encoded = self._tokenizer(
                text.lower(), padding="max_length", truncation=True, max_length=length
            )
        return torch.tensor([encoded["input_ids"]], dtype=torch.int64)

    def _placed(self, value: Tensor) -> Tensor:
        dtype = self._model.dtype if value.is_floating_point() else value.dtype
        return value.to(self._model.device, dtype)


def load(name: str, *, device: str = "auto", dtype: str = "auto") -> Embedder:
    """Load a text-image model.

    Args:
        name: a folder in the hub's layout, or a hub id (``google/siglip2-base-patch16-224``).
        device, dtype: as for a Video-LLM (`longtake.models.loader.load`).

    Raises:
        ModelError: unknown name, another family, damaged or incomplete checkpoint.
    """
    place = find_device(device)
    kind = find_dtype(dtype, place)
    folder = _find(name)
    try:
        family = _family(folder)
        again = f"fetch it again (hf download {name})"
        check_files(folder, again)
        preprocess = find_preprocess(folder, family)
        tokenizer = read_tokenizer(folder, again)
        model = _model(folder, kind).to(place)
        return Embedder(model, tokenizer, preprocess, family, name)
    except ModelError as error:
        raise ModelError(f"{name}: {error}") from error


def _find(name: str) -> Path:
    is_hub_id = name.count("/") == 1 and not name.startswith((".", "/", "~"))
    if not is_hub_id and not (name and Path(name).expanduser().is_dir()):
        raise ModelError(
            f"{name!r} is no text-image model: give a folder with a checkpoint, or a hub id "
            f"(owner/name), of one of these families: {', '.join(FAMILIES)}"
        )
    return find_folder(name)


def _family(folder: Path) -> str:
    family = read_config(folder).get("model_type")
    if family not in FAMILIES:
        raise ModelError(
            f"is of the family {family!r}, which does not put pictures and words into one space; "
            f"supported are {', '.join(FAMILIES)}"
        )
    return str(family)


def _model(folder: Path, dtype: torch.dtype) -> Any:
    import transformers
    from huggingface_hub.errors import StrictDataclassError

    try:
        with quiet():
            model, report = transformers.AutoModel.from_pretrained(
                folder,
                dtype=dtype,
                use_safetensors=True,
                trust_remote_code=False,
                local_files_only=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # `check_loaded` names them
            )
    except (OSError, ValueError, KeyError, RuntimeError, StrictDataclassError) as error:
        raise ModelError(f"cannot be loaded from {folder}: {first_line(error)}") from error
    check_loaded(report)
    check_finite(model)
    return model.requires_grad_(False).eval()


def _siglip_width(text: Any) -> int:
    return int(getattr(text, "projection_size", None) or text.hidden_size)


def _unit(features: Any) -> Tensor:
    """What transformers 5 wraps, and versions before gave bare, as float32 rows of length 1."""
    vectors = features if isinstance(features, Tensor) else features.pooler_output
    return torch.nn.functional.normalize(vectors.float(), dim=-1).cpu()
