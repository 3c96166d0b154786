"""Qwen2.5-VL (arXiv 2502.13923): two frames to a temporal patch, sectioned M-RoPE.

The model was trained with joined grids, whose time axis counts seconds (times
``tokens_per_second``); relative rows and columns inside a step are the same here.
"""

from __future__ import annotations

from longtake.models.families.qwen_vl import QwenVL


class Qwen25VL(QwenVL):
    """See `models.base.Adapter`."""

    family = "qwen2_5_vl"
    model_class = "Qwen2_5_VLForConditionalGeneration"
