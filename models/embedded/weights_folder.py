"""The trained model as an ordinary Hugging Face folder: write it, or take over an earlier one.

Config, safetensors in bf16, tokenizer with its chat template, preprocessing, and
``longtake.json``: what a stream of this model looks like (`longtake.models.recipe`).
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file
from transformers import LlavaOnevisionForConditionalGeneration

from longtake.models.embedded import language
from longtake.models.embedded.network import FRAMES_PER_STEP
from longtake.models.embedded.objective import SHARPNESS, VIDEO_WINDOW
from longtake.models.embedded.world import SIZE, WORLD_VERSION

PREPROCESSING = {
    "do_resize": True,
    "size": {"height": SIZE, "width": SIZE},
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
}
RECIPE = {
    "world_version": WORLD_VERSION,
    "fps": 1.0,
    "window_s": float(VIDEO_WINDOW * FRAMES_PER_STEP),
    "top_k": 4,
    "dialogue_tokens": 0,
    "frames_per_step": FRAMES_PER_STEP,
    "stamp": "hh:mm:ss",
    "sharpness": SHARPNESS,
    "recall": "together",
    "select": "blind",
    "resize": "area",
    "note": "knows only its drawn world of coloured shapes",
}


def write_folder(model: LlavaOnevisionForConditionalGeneration, folder: Path) -> None:
    """Write everything that loading needs into ``folder``; the model becomes bf16."""
    model.bfloat16().save_pretrained(folder)
    _name_as_published(folder / "model.safetensors")
    language.tokenizer().save_pretrained(folder)
    for name, content in (("preprocessor_config", PREPROCESSING), ("longtake", RECIPE)):
        (folder / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n")


def _name_as_published(weights: Path) -> None:
    """Call the tensors of the vision tower as published checkpoints of this family do: newer
    transformers leave a level out of their names, which older ones do not find then."""
    published = re.compile(r"^vision_tower\.(?!vision_model\.)")
    with safe_open(weights, "pt") as file:
        tensors = {
            published.sub("vision_tower.vision_model.", name): file.get_tensor(name)
            for name in file.keys()
        }
        metadata = file.metadata()
    save_file(tensors, weights, metadata=metadata)
