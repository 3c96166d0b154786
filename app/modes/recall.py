"""Recall, the default: the window and the dialogue stand in the context beside what comes back."""

from __future__ import annotations

from longtake.modes.base import BaseMode


class Recall(BaseMode):
    """``[sink | recalled | window | dialogue and question]``."""

    name = "recall"
