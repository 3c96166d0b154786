"""What a mode decides: how steps join the past, and what of the past a question gets.

A mode is a policy without state of a stream; what it makes for one stream is a `Stream`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from longtake import scope
from longtake.memory.chunk import Chunk, ChunkInfo
from longtake.memory.layout import Segment
from longtake.memory.selection import Selection
from longtake.memory.window import Window, WindowShape, fit
from longtake.models.base import Adapter, Prompt, Step
from longtake.narration.aside import Asides
from longtake.narration.narration import Narration
from longtake.narration.narrator import Narrator
from longtake.narration.telling import Telling
from longtake.recalling import Laid, Reach, Recalling
from longtake.settings import Pace, TakeConfig
from longtake.strategies.base import MODEL

if TYPE_CHECKING:
    from longtake.asked import Asked
    from longtake.session import Session


class Held(Protocol):
    """The newest part of a stream, on the device; `memory.window.Window` is one."""

    @property
    def sink(self) -> Segment: ...
    @property
    def infos(self) -> list[ChunkInfo]: ...
    @property
    def tokens(self) -> int: ...
    @property
    def device_bytes(self) -> int: ...
    def segments(self) -> list[Segment]: ...
    def chunks(self) -> list[Chunk]: ...


class Stream(Protocol):
    """How the steps of one stream go through the decoder."""

    @property
    def window(self) -> Held: ...

    def put(self, step: Step, info: ChunkInfo) -> list[Chunk]:
        """Take in a step as the chunk of this name; returns the chunks that leave the window."""
        ...

    def wanted(self, past: Sequence[ChunkInfo]) -> list[ChunkInfo]:
        """Which chunks of an earlier run the window wants back."""
        ...

    def restore(self, chunks: Sequence[Chunk]) -> None: ...

    def wipe(self) -> None:
        """Overwrite what is left on the device of chunks that have left."""
        ...


class Mode(Protocol):
    """One way to see and to answer."""

    name: str
    reach: Reach

    def pace(self, config: TakeConfig, adapter: Adapter) -> Pace:
        """Rate, window and recall: what the config leaves open is filled in.

        Raises:
            ValueError: if they ask for more than the model was trained for.
        """
        ...

    def stream(self, adapter: Adapter, pace: Pace, config: TakeConfig) -> Stream:
        """A new stream; its sink has gone through the decoder."""
        ...

    def renew(self, session: Session) -> Stream:
        """A new stream in place of the session's own, with nothing of what that one has seen; who
        narrates it goes on narrating this one."""
        ...

    def prompt(self, session: Session, asked: Asked) -> Prompt:
        """What is put behind the context: the question in its template."""
        ...

    def lay(self, session: Session, asked: Asked, prompt: Prompt, known: scope.Scope) -> Laid:
        """Choose and bring what the question attends to."""
        ...

    def narrate(self, session: Session, telling: Telling, narration: Narration) -> None:
        """Say lines about the stream from its next chunk on, until the narration is over.

        Raises:
            ValueError: if the mode cannot narrate like this.
        """
        ...


class PlainStream:
    """Steps go over ``[sink | window | step]``."""

    def __init__(self, adapter: Adapter, window: Window, sink: Step) -> None:
        self._adapter, self.window = adapter, window
        self._forward(sink)
        window.commit_sink()

    def put(self, step: Step, info: ChunkInfo) -> list[Chunk]:
        self._forward(step)
        return self.window.commit(info)

    def wanted(self, past: Sequence[ChunkInfo]) -> list[ChunkInfo]:
        return fit(past, self.window.shape)

    def restore(self, chunks: Sequence[Chunk]) -> None:
        self.window.restore(chunks)

    def wipe(self) -> None:
        self.window.wipe()

    def _forward(self, step: Step) -> None:
        self.window.begin(step.positions)
        self._adapter.decode_step(step.embeds, self.window, step.extra)


class BaseMode:
    """What most modes do; each says its `reach`."""

    name: str
    reach = Reach()
    stream_class: type[PlainStream] = PlainStream

    def pace(self, config: TakeConfig, adapter: Adapter) -> Pace:
        if not self.reach.recalls and (config.recall != MODEL or config.select is not None):
            given = f"recall={config.recall!r}" if config.select is None else "select"
            raise ValueError(f"{given}: mode {self.name} recalls nothing; leave it out")
        if not self.reach.recalls and not Selection.of(config.scores, config.diversity_s).is_plain:
            given = f"scores={config.scores!r}, diversity_s={config.diversity_s:g}"
            raise ValueError(f"{given}: mode {self.name} recalls nothing; leave them out")
        return Pace.settle(config, adapter.recipe, adapter.step_tokens, adapter.shape)

    def without_dialogue(self, config: TakeConfig) -> TakeConfig:
        """Of a mode that answers each question alone.

        Raises:
            ValueError: if the config wants a dialogue.
        """
        if config.dialogue_tokens:
            raise ValueError(
                f"dialogue_tokens={config.dialogue_tokens}: mode {self.name} answers every "
                "question alone; leave it out, or use --mode recall"
            )
        return replace(config, dialogue_tokens=0)

    def stream(self, adapter: Adapter, pace: Pace, config: TakeConfig) -> Stream:
        sink = adapter.sink()
        window = self.make_window(adapter, window_shape(adapter, pace), sink)
        return self.stream_class(adapter, window, sink)

    def renew(self, session: Session) -> Stream:
        return self.stream(session.adapter, session.pace, session.config)

    def make_window(self, adapter: Adapter, shape: WindowShape, sink: Step) -> Window:
        return Window(shape, sink.positions, adapter.rotary, adapter.dtype, adapter.device)

    def prompt(self, session: Session, asked: Asked) -> Prompt:
        return session.adapter.prompt(asked.question, asked.dialogue)

    def lay(self, session: Session, asked: Asked, prompt: Prompt, known: scope.Scope) -> Laid:
        return Recalling(session, asked, prompt, known, self.reach).lay()

    def narrate(self, session: Session, telling: Telling, narration: Narration) -> None:
        """Lines are asides: the stream does not know of them."""
        telling = telling.settle("livestar", session.config.decoding)
        Asides(session, Narrator(telling, narration, 1 / session.pace.fps, session.caption))


def window_shape(adapter: Adapter, pace: Pace) -> WindowShape:
    """Sizes of the window of one stream."""
    sizes = adapter.shape
    return WindowShape(
        layers=sizes.layers,
        kv_heads=sizes.kv_heads,
        head_dim=sizes.head_dim,
        window_s=pace.window_s,
        window_tokens=pace.window_tokens,
        step_tokens=adapter.step_tokens,
    )


def fallback(config: TakeConfig, **values: Any) -> TakeConfig:
    """The config, with a mode's own values where it leaves them open."""
    return replace(config, **{k: v for k, v in values.items() if getattr(config, k) is None})
