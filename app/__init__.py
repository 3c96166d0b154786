"""longtake: watch a video stream for hours or days, and ask about any moment of it.

    with longtake.open(model="embedded", memory="runs/kitchen") as take:
        take.watch("kitchen.mp4")
        print(take.ask("Where did I leave the red mug?").text)

The public names are imported on first use, so that importing any room stays quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from longtake.answer import Answer as Answer
    from longtake.answer import Moment as Moment
    from longtake.engine import Engine as Engine
    from longtake.engine import open as open
    from longtake.inbox import Pushed as Pushed
    from longtake.narration.narration import Line as Line
    from longtake.narration.narration import Narration as Narration
    from longtake.take import Take as Take

__version__ = "0.1.0"

_HOMES = {
    "Answer": "longtake.answer",
    "Engine": "longtake.engine",
    "Line": "longtake.narration.narration",
    "Moment": "longtake.answer",
    "Narration": "longtake.narration.narration",
    "Pushed": "longtake.inbox",
    "Take": "longtake.take",
    "open": "longtake.engine",
}

__all__ = [
    "Answer",
    "Engine",
    "Line",
    "Moment",
    "Narration",
    "Pushed",
    "Take",
    "__version__",
    "open",
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
