"""Shares of many measurements, and rows that say what was hoped for beside what was found.

Knows nothing of what is measured.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def percentile(values: Sequence[float], share: float) -> float:
    """The value that ``share`` percent do not exceed: one that was measured, none in between.

    Raises:
        ValueError: if nothing was measured.
    """
    if not values:
        raise ValueError("nothing was measured")
    return float(np.percentile(values, share, method="inverted_cdf"))


def bounded(name: str, rule: str, bound: float, unit: str) -> str:
    """A row's name with its target: ``age, p95 [at most 120 ms]``."""
    return f"{name} [{rule} {bound:g} {unit}]"
