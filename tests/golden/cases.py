"""What the golden values are of: frames that anyone can draw again, and who is shown them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

HERE = Path(__file__).parent
_SAMPLES = 1500  # values kept of a larger tensor


@dataclass(frozen=True, kw_only=True)
class Case:
    """One video processor, told by files as a checkpoint has them, and frames for it."""

    name: str
    files: dict[str, dict[str, Any]]  # JSON files, by name without suffix
    frames: int  # of a step
    sizes: tuple[tuple[int, int], ...]  # of frames: height, width
    arguments: dict[str, Any] = field(default_factory=dict)  # of the call

    @property
    def path(self) -> Path:
        return HERE / f"{self.name}.npz"


def draw(count: int, height: int, width: int) -> list[NDArray[np.uint8]]:
    """Frames with edges and slopes in every colour; integers alone, so the same everywhere."""
    y, x, color = np.ogrid[:height, :width, :3]
    drawn = []
    for i in range(count):
        slope = x * 3 + y * 5 + (x * y) // 7 + i * 40 + color * 70
        edges = ((x // 5 + y // 3 + i + color) % 3) * 90
        drawn.append(((slope + edges) % 256).astype(np.uint8))
    return drawn


def sample(values: Tensor) -> NDArray[Any]:
    """All of a small tensor, else values that lie evenly in it; one dimension."""
    flat = values.flatten()
    return flat[:: math.ceil(len(flat) / _SAMPLES) | 1].numpy()


_SIZES = ((5, 9), (30, 41), (97, 1600), (448, 448), (700, 60), (720, 1280))
_QWEN = {"merge_size": 2, "temporal_patch_size": 2}
_ONE_SIZE = ((1, 1), (30, 41), (97, 1600), (448, 448), (720, 1280))
CASES = (
    Case(  # also Qwen2.5-VL, whose processor it is
        name="qwen2_vl",
        files={
            "video_preprocessor_config": {
                **_QWEN,
                "patch_size": 14,
                "image_mean": [0.48145466, 0.4578275, 0.40821073],
                "image_std": [0.26862954, 0.26130258, 0.27577711],
                "min_pixels": 4 * 28 * 28,
                "max_pixels": 16384 * 28 * 28,
                "video_processor_type": "Qwen2VLVideoProcessor",
            }
        },
        frames=2,
        sizes=_SIZES,
        arguments={"size": {"shortest_edge": 4 * 28 * 28, "longest_edge": 256 * 28 * 28}},
    ),
    Case(
        name="qwen3_vl",
        files={
            "video_preprocessor_config": {
                **_QWEN,
                "patch_size": 16,
                "image_mean": [0.5, 0.5, 0.5],
                "image_std": [0.5, 0.5, 0.5],
                "size": {"shortest_edge": 4096, "longest_edge": 24576 * 32 * 32},
                "video_processor_type": "Qwen3VLVideoProcessor",
            }
        },
        frames=2,
        sizes=_SIZES,
        arguments={"size": {"shortest_edge": 4096, "longest_edge": 2 * 256 * 32 * 32}},
    ),
    Case(
        name="llava_onevision",
        files={
            "video_preprocessor_config": {
                "image_mean": [0.5, 0.5, 0.5],
                "image_std": [0.5, 0.5, 0.5],
                "resample": 3,
                "size": {"height": 384, "width": 384},
                "video_processor_type": "LlavaOnevisionVideoProcessor",
            }
        },
        frames=1,
        sizes=_ONE_SIZE,
    ),
    Case(
        name="internvl",
        files={
            "video_preprocessor_config": {
                "image_mean": [0.485, 0.456, 0.406],
                "image_std": [0.229, 0.224, 0.225],
                "resample": 3,
                "size": {"height": 448, "width": 448},
                "video_processor_type": "InternVLVideoProcessor",
            }
        },
        frames=2,
        sizes=_ONE_SIZE,
    ),
    Case(
        name="smolvlm",
        files={
            "preprocessor_config": {
                "image_mean": [0.5, 0.5, 0.5],
                "image_processor_type": "SmolVLMImageProcessor",
                "image_std": [0.5, 0.5, 0.5],
                "max_image_size": {"longest_edge": 512},
                "processor_class": "SmolVLMProcessor",
                "resample": 1,
                "size": {"longest_edge": 2048},
                "video_sampling": {"fps": 1, "max_frames": 64, "video_size": {"longest_edge": 512}},
            }
        },
        frames=1,
        sizes=_ONE_SIZE,
        arguments={"do_pad": False},  # else it gives a mask too: of ones, all frames being as large
    ),
)

# Whole prompts, by the families' processors on the tiny checkpoints of `tests.checkpoints`.
PROMPTS = ("internvl", "llava_onevision", "qwen2_5_vl", "qwen2_vl", "qwen3_vl", "smolvlm")
PROMPTS_PATH = HERE / "prompts.json"
QUESTION = "what was on the table?"
PROMPT_FRAMES = {"count": 6, "height": 24, "width": 33, "first": 3, "fps": 2.0}

# Frame sizes for `smart_resize`: ordinary, tiny and far too long ones, and the edges of its rules.
RULE_SIZES = [
    *((int(2 ** (i * 37 % 101 / 8)), int(2 ** (i * 53 % 103 / 8))) for i in range(240)),
    *((1, n) for n in (1, 199, 200, 201, 5000)),
    *((n, 7) for n in (1399, 1400, 1401)),
    (4320, 8192),
    (14, 14),
    (16, 16),
    (42, 70),
    (48, 80),
]
