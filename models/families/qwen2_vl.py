"""Qwen2-VL (arXiv 2409.12191): two frames to a temporal patch, sectioned M-RoPE.

The model was trained with joined grids, where a step's time follows the last one's by one and
rows and columns begin anew; relative rows and columns inside a step are the same here.
"""

from __future__ import annotations

from longtake.models.families.qwen_vl import QwenVL


class Qwen2VL(QwenVL):
    """See `models.base.Adapter`."""

    family = "qwen2_vl"
    model_class = "Qwen2VLForConditionalGeneration"
