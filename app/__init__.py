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
    from longtake.alerts.alert import Alert as Alert
    from longtake.alerts.command import Command as Command
    from longtake.alerts.event import AlertEvent as AlertEvent
    from longtake.alerts.webhook import Webhook as Webhook
    from longtake.answer import Answer as Answer
    from longtake.answer import Choice as Choice
    from longtake.answer import Moment as Moment
    from longtake.asking import Asking as Asking
    from longtake.client.client import Client as Client
    from longtake.client.remote_take import RemoteTake as RemoteTake
    from longtake.engine import Engine as Engine
    from longtake.engine import open as open
    from longtake.inbox import Pushed as Pushed
    from longtake.live_watch import LiveWatch as LiveWatch
    from longtake.memory.config import MemoryConfig as MemoryConfig
    from longtake.memory.events import Event as Event
    from longtake.memory.marks import Gap as Gap
    from longtake.narration.narration import Line as Line
    from longtake.narration.narration import Narration as Narration
    from longtake.settings import TakeConfig as TakeConfig
    from longtake.streaming.capture import State as State
    from longtake.streaming.capture_config import CaptureConfig as CaptureConfig
    from longtake.streaming.errors import StaleFrame as StaleFrame
    from longtake.streaming.frame import Frame as Frame
    from longtake.streaming.masks import Mask as Mask
    from longtake.take import Take as Take
    from longtake.watch import Watch as Watch

__version__ = "0.1.0"

_HOMES = {
    "Alert": "longtake.alerts.alert",
    "AlertEvent": "longtake.alerts.event",
    "Answer": "longtake.answer",
    "Asking": "longtake.asking",
    "CaptureConfig": "longtake.streaming.capture_config",
    "Choice": "longtake.answer",
    "Client": "longtake.client.client",
    "Command": "longtake.alerts.command",
    "Engine": "longtake.engine",
    "Event": "longtake.memory.events",
    "Frame": "longtake.streaming.frame",
    "Gap": "longtake.memory.marks",
    "Line": "longtake.narration.narration",
    "LiveWatch": "longtake.live_watch",
    "Mask": "longtake.streaming.masks",
    "MemoryConfig": "longtake.memory.config",
    "Moment": "longtake.answer",
    "Narration": "longtake.narration.narration",
    "Pushed": "longtake.inbox",
    "RemoteTake": "longtake.client.remote_take",
    "StaleFrame": "longtake.streaming.errors",
    "State": "longtake.streaming.capture",
    "Take": "longtake.take",
    "TakeConfig": "longtake.settings",
    "Watch": "longtake.watch",
    "Webhook": "longtake.alerts.webhook",
    "open": "longtake.engine",
}

__all__ = [
    "Alert",
    "AlertEvent",
    "Answer",
    "Asking",
    "CaptureConfig",
    "Choice",
    "Client",
    "Command",
    "Engine",
    "Event",
    "Frame",
    "Gap",
    "Line",
    "LiveWatch",
    "Mask",
    "MemoryConfig",
    "Moment",
    "Narration",
    "Pushed",
    "RemoteTake",
    "StaleFrame",
    "State",
    "Take",
    "TakeConfig",
    "Watch",
    "Webhook",
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
