"""Complete text-image checkpoints in the hub's layout, tiny and with random weights; pictures.

Weights are drawn large enough for pictures and words to lie apart.
"""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from tokenizers import Tokenizer, models, normalizers, processors
from torch import Tensor
from transformers import PreTrainedTokenizerFast

SIDE, PATCH, TEXT_TOKENS = 32, 8, 32
MEAN, STD = (0.5, 0.4, 0.6), (0.3, 0.25, 0.35)
SPECIAL = ("<pad>", "<eos>", "<bos>", "<unk>", "<mask>")
IDS = {token: i for i, token in enumerate((*SPECIAL, "\u2581", *string.ascii_letters, "?"))}
TOWER = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
FAMILIES = ("clip", "siglip", "siglip2")


def write(family: str, folder: Path, seed: int = 0, **preprocessing: Any) -> Path:
    """Write a checkpoint; ``preprocessing`` overrides fields of its preprocessor_config.json."""
    torch.manual_seed(seed)
    config, model_class, settings = _OF_FAMILY[family]()
    model = model_class(config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                spread = 1.5 / parameter[0].numel() ** 0.5
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * spread)
    model.save_pretrained(folder)
    _tokenizer().save_pretrained(folder)
    settings |= {"image_mean": MEAN, "image_std": STD} | preprocessing
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return folder


def drawn(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """A picture of smooth slopes, another one for each seed: RGB uint8 ``[H, W, 3]``."""
    y, x = np.mgrid[:height, :width]
    slopes = ((9 + seed, 4), (3, 17 - 2 * seed), (13 - 3 * seed, -7))
    return np.stack([abs((a * x + b * y) % 510 - 255) for a, b in slopes], -1).astype(np.uint8)


def jpeg(image: NDArray[np.uint8]) -> bytes:
    """As the album keeps it."""
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return encoded.tobytes()


def plain_inputs(family: str, images: list[NDArray[np.uint8]]) -> dict[str, Tensor]:
    """What the tower gets of pictures that have its size: no resizing, only arithmetic."""
    levels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(x)[:, None, None] for x in (MEAN, STD))
    pixels = (levels - mean) / std
    if family != "siglip2":
        return {"pixel_values": pixels}
    count, side = len(images), SIDE // PATCH
    patches = torch.nn.functional.unfold(pixels, PATCH, stride=PATCH)  # [N, 3 * S * S, side ** 2]
    patches = patches.view(count, 3, PATCH * PATCH, side**2).permute(0, 3, 2, 1)
    return {
        "pixel_values": patches.reshape(count, side**2, -1),
        "pixel_attention_mask": torch.ones(count, side**2, dtype=torch.int32),
        "spatial_shapes": torch.tensor([(side, side)] * count),
    }


def _tokenizer() -> PreTrainedTokenizerFast:
    """Letter by letter, in the case as it comes: ``<bos> ... <eos>``.

    It is what SigLIP 2's class, which builds its tokenizer anew from the vocabulary, is made for.
    """
    inner = Tokenizer(models.BPE(IDS, [], unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    inner.normalizer = normalizers.Replace(" ", "\u2581")
    inner.post_processor = processors.TemplateProcessing(
        single="<bos> $A <eos>", special_tokens=[(t, IDS[t]) for t in ("<bos>", "<eos>")]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token="<pad>",
        unk_token="<unk>",
        bos_token="<bos>",
        eos_token="<eos>",
        mask_token="<mask>",
        padding_side="left",  # as GemmaTokenizer, which SigLIP 2 checkpoints name, has it
        clean_up_tokenization_spaces=False,
    )


def _text(**more: Any) -> dict[str, Any]:
    return {
        **TOWER,
        "vocab_size": len(IDS),
        "max_position_embeddings": TEXT_TOKENS,
        "pad_token_id": IDS["<pad>"],
        "bos_token_id": IDS["<bos>"],
        "eos_token_id": IDS["<eos>"],
        **more,
    }


def _vision(**more: Any) -> dict[str, Any]:
    return {**TOWER, "image_size": SIDE, "patch_size": PATCH, **more}


def _clip() -> tuple[Any, Any, dict[str, Any]]:
    config = transformers.CLIPConfig(
        text_config=_text(), vision_config=_vision(), projection_dim=24
    )
    size = {"size": {"shortest_edge": SIDE}, "crop_size": {"height": SIDE, "width": SIDE}}
    return config, transformers.CLIPModel, size


def _siglip() -> tuple[Any, Any, dict[str, Any]]:
    config = transformers.SiglipConfig(text_config=_text(), vision_config=_vision())
    settings = {
        "image_processor_type": "SiglipImageProcessor",
        "size": {"height": SIDE, "width": SIDE},
    }
    return config, transformers.SiglipModel, settings


def _siglip2() -> tuple[Any, Any, dict[str, Any]]:
    grid = (SIDE // PATCH) ** 2
    vision = {**TOWER, "patch_size": PATCH, "num_patches": grid}
    config = transformers.Siglip2Config(text_config=_text(), vision_config=vision)
    settings = {
        "image_processor_type": "Siglip2ImageProcessor",
        "patch_size": PATCH,
        "max_num_patches": grid,
    }
    return config, transformers.Siglip2Model, settings


_OF_FAMILY = {"clip": _clip, "siglip": _siglip, "siglip2": _siglip2}
