"""Full: everything seen stays on the device and in every context, as a plain model does it.

Exact, and bounded by the context that the model was trained for: a stream that is longer is
refused where it passes it.
"""

from __future__ import annotations

from longtake.memory.full_window import FullWindow
from longtake.memory.window import WindowShape
from longtake.models.base import Adapter, Step
from longtake.modes.base import BaseMode, fallback
from longtake.recalling import Reach
from longtake.settings import Pace, TakeConfig

_ROOM = 256  # tokens left for a question and its answer, at least


class Full(BaseMode):
    """``[sink | everything | dialogue and question]``."""

    name = "full"
    reach = Reach(recalls=False)

    def pace(self, config: TakeConfig, adapter: Adapter) -> Pace:
        room = min(_ROOM, adapter.shape.trained_tokens // 4)
        sink = adapter.sink().positions.shape[1]
        most = adapter.shape.trained_tokens - sink - adapter.step_tokens - room
        config = fallback(config, window_tokens=max(most, adapter.step_tokens), window_s=1e9)
        return Pace.settle(config, adapter.recipe, adapter.step_tokens, adapter.shape)

    def make_window(self, adapter: Adapter, shape: WindowShape, sink: Step) -> FullWindow:
        return FullWindow(shape, sink.positions, adapter.rotary, adapter.dtype, adapter.device)
