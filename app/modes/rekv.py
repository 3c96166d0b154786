"""ReKV as its paper describes it (arXiv 2503.00540), training-free.

Seeing: a local window of ``n_local`` tokens, token by token, and the sink at the one relative
distance ``n_local - 1`` once it has left that window.  Every frame is a block that may come back,
those still in the window too.  Answering: a pass over the raw question, in which each layer
attends to ``[sink | the blocks it chose]``, chooses; then the question in its template over the
same blocks.  No window, no dialogue.

Where the released code counts the sink twice (in the one chunk in which the window first
overflows its tokens are both local and sink), this does not.  The one distance of the sink is
defined for 1-D positions; with M-RoPE the sink stands just before the window.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from longtake import scope
from longtake.asked import Asked
from longtake.memory.clamped_window import ClampedWindow
from longtake.memory.window import Window, WindowShape
from longtake.models.base import Adapter, Prompt, Step
from longtake.modes.base import BaseMode, fallback
from longtake.recalling import Laid, Reach, Recalling
from longtake.settings import Pace, TakeConfig

if TYPE_CHECKING:
    from longtake.session import Session

FPS, N_LOCAL, TOP_K = 0.5, 15_000, 64  # frames a second, tokens, frames (sections 4.1 and B)


class Rekv(BaseMode):
    """``[sink | recalled | question]``."""

    name = "rekv"
    reach = Reach(recalls_window=True, with_window=False)

    def pace(self, config: TakeConfig, adapter: Adapter) -> Pace:
        """The paper's values, lowered where the model was trained for less."""
        step, trained = adapter.step_tokens, adapter.shape.trained_tokens
        each = adapter.recipe.frames_per_step
        room = adapter.sink().positions.shape[1] + trained // 8
        most = max(step, min(N_LOCAL, trained - 2 * step - room))
        top_k = max(1, min(TOP_K // each, (trained - room) // step))
        config = self.without_dialogue(config)
        config = fallback(config, fps=FPS, top_k=top_k, select="dependent")
        if config.window_s is None:
            steps = (config.window_tokens or most) / step
            window_s = steps * each / (config.fps or FPS)
            config = fallback(config, window_tokens=most, window_s=window_s)
        return Pace.settle(config, adapter.recipe, step, adapter.shape)

    def make_window(self, adapter: Adapter, shape: WindowShape, sink: Step) -> Window:
        kind = ClampedWindow if adapter.shape.axes == 1 else Window
        return kind(shape, sink.positions, adapter.rotary, adapter.dtype, adapter.device)

    def lay(self, session: Session, asked: Asked, prompt: Prompt, known: scope.Scope) -> Laid:
        recalling = Recalling(session, asked, prompt, known, self.reach)
        if asked.select is not None or (asked.select_by or session.pace.select) == "blind":
            return recalling.lay()
        return recalling.lay_dependent_on(session.adapter.encode(asked.question))
