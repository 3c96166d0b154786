"""How one take sees, keeps and answers: the session's configuration."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from longtake.memory.config import MemoryConfig
from longtake.memory.selection import Selection
from longtake.models.base import DecoderShape
from longtake.models.decode import Decoding
from longtake.models.recipe import Recipe
from longtake.strategies.parse import plan
from longtake.streaming.capture_config import CaptureConfig

MODES = ("recall", "rekv", "streamingvlm", "window", "full")
SELECTIONS = ("dependent", "blind")


@dataclass(frozen=True, kw_only=True, slots=True)
class TakeConfig:
    """What is None comes from the model's recipe."""

    fps: float | None = None  # frames a second that the model sees
    window_s: float | None = None  # newest part of the stream, kept on the device
    window_tokens: int | None = None  # bound of the same in tokens; from window_s and fps
    top_k: int | None = None  # chunks that each layer recalls
    mode: str = "recall"  # how it sees and answers: one of MODES
    select: str | None = None  # how layers choose what they recall: dependent or blind
    recall: str = "model"  # who chooses: the model's own recall, other strategies, or several
    recall_tokens: int | None = None  # what they may bring together; None: what each one chose
    scores: str = "plain"  # that the model's recall chooses by; or centred, or centred:N
    diversity_s: float = 0.0  # chunks this near a better one are recalled last; 0: as they score
    dialogue_tokens: int | None = None  # of a conversation's earlier turns, newest first
    mailbox_frames: int = 64  # frames that may wait for the model
    batch_frames: int = 16  # frames put through vision at once, where so many wait
    evidence: int = 4  # chunks looked at for evidence
    capture: CaptureConfig = field(default_factory=CaptureConfig)  # of cameras, where not given
    memory: MemoryConfig = field(default_factory=MemoryConfig)
    decoding: Decoding = field(default_factory=Decoding)

    def __post_init__(self) -> None:
        for name in ("fps", "window_s"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name}={value}: must be a positive number")
        for name in ("window_tokens", "top_k", "recall_tokens"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}={value}: must be at least 1")
        for name in ("mailbox_frames", "batch_frames", "evidence"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: must be at least 1")
        if self.mode not in MODES:
            raise ValueError(f"mode={self.mode!r}: known are {', '.join(MODES)}")
        if self.select is not None and self.select not in SELECTIONS:
            raise ValueError(f"select={self.select!r}: must be {' or '.join(SELECTIONS)}")
        if self.recall != "model":
            plan(self.recall)  # says what it does not understand
        Selection.of(self.scores, self.diversity_s)  # as well
        if self.dialogue_tokens is not None and self.dialogue_tokens < 0:
            raise ValueError(f"dialogue_tokens={self.dialogue_tokens}: must be 0 (none) or more")


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """`TakeConfig` and a model's recipe, settled."""

    fps: float
    window_s: float
    window_tokens: int
    top_k: int
    select: str
    dialogue_tokens: int

    @classmethod
    def settle(
        cls, config: TakeConfig, recipe: Recipe, step_tokens: int, shape: DecoderShape
    ) -> Pace:
        """Fill in from the recipe, whose window and recall are lowered to what the model was
        trained for; what the config says itself is not.

        Raises:
            ValueError: if the window is larger than the context that the model was trained for.
        """
        fps = config.fps or recipe.fps
        free = shape.trained_tokens - shape.trained_tokens // 8  # beside question and answer
        window_s = config.window_s
        if window_s is None:
            fitting = max(1, free // 2 // step_tokens)
            window_s = min(recipe.window_s, fitting * recipe.frames_per_step / fps)
        steps = math.ceil(window_s * fps / recipe.frames_per_step)
        window_tokens = config.window_tokens or max(1, steps) * step_tokens
        window_tokens = max(window_tokens, step_tokens)
        if window_tokens + step_tokens > shape.trained_tokens:
            raise ValueError(
                f"a window of {window_s:g} s at {fps:g} frames/s is {window_tokens} tokens, and "
                f"the model was trained for {shape.trained_tokens}: lower --window, --fps or "
                "--max-pixels"
            )
        return cls(
            fps=fps,
            window_s=window_s,
            window_tokens=window_tokens,
            top_k=config.top_k or max(1, min(recipe.top_k, (free - window_tokens) // step_tokens)),
            select=config.select or recipe.select,
            dialogue_tokens=(
                recipe.dialogue_tokens if config.dialogue_tokens is None else config.dialogue_tokens
            ),
        )
