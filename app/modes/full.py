"""Full: everything seen stays on the device and in every context, as a plain model does it.

Exact, and bounded by the context that the model was trained for: a stream that is longer is
refused where it passes it, and so is a memory that holds more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from longtake.memory.chunk import ChunkInfo
from longtake.memory.full_window import FullWindow
from longtake.memory.window import WindowShape
from longtake.models.base import Adapter, Step
from longtake.modes.base import BaseMode, PlainStream, fallback
from longtake.recalling import Reach
from longtake.settings import Pace, TakeConfig

_ROOM = 256  # tokens left for a question and its answer, at least
_EVER_S = 1e9


class FullStream(PlainStream):
    """Steps go over everything before them."""

    def wanted(self, past: Sequence[ChunkInfo]) -> list[ChunkInfo]:
        """All.

        Raises:
            ValueError: if that is more than the window may hold.
        """
        tokens, most = sum(info.tokens for info in past), self.window.shape.window_tokens
        if tokens > most:
            raise ValueError(
                f"{tokens} tokens are in this memory, and mode full can hold {most}: open it with "
                "--mode recall"
            )
        return list(past)


class Full(BaseMode):
    """``[sink | everything | dialogue and question]``."""

    name = "full"
    reach = Reach(recalls=False)
    stream_class = FullStream

    def pace(self, config: TakeConfig, adapter: Adapter) -> Pace:
        if config.window_s is not None:
            raise ValueError(
                f"window_s={config.window_s:g}: mode full keeps everything; leave it out, or use "
                "--mode window"
            )
        room = min(_ROOM, adapter.shape.trained_tokens // 4)
        sink = adapter.sink().positions.shape[1]
        most = adapter.shape.trained_tokens - sink - adapter.step_tokens - room
        config = fallback(config, window_tokens=max(most, adapter.step_tokens))
        return super().pace(replace(config, window_s=_EVER_S), adapter)

    def make_window(self, adapter: Adapter, shape: WindowShape, sink: Step) -> FullWindow:
        return FullWindow(shape, sink.positions, adapter.rotary, adapter.dtype, adapter.device)
