"""Which model a benchmark measures, and where it runs.

Knows nothing of what is measured, nor of where these were settled.
"""

from __future__ import annotations

from dataclasses import dataclass

from longtake.engine import Engine
from longtake.models.loader import load


@dataclass(frozen=True, slots=True)
class Model:
    """What `longtake.models.loader.load` is given."""

    name: str = "embedded"  # or a folder, or a hub id
    device: str = "auto"
    dtype: str = "auto"
    quantize: str = "none"
    max_pixels: int | None = None

    def engine(self) -> Engine:
        """The model loaded, ready for takes.

        Raises:
            ModelError: if it cannot be used.
        """
        return Engine(
            load(
                self.name,
                device=self.device,
                dtype=self.dtype,
                quantize=self.quantize,
                max_pixels=self.max_pixels,
            )
        )
