"""The ways to see and to answer, by name: a policy object each."""

from __future__ import annotations

from longtake.modes.base import Mode
from longtake.settings import MODES


def find_mode(name: str) -> Mode:
    """The policy of that name.

    Raises:
        ValueError: lists the modes there are.
    """
    from longtake.modes.full import Full
    from longtake.modes.recall import Recall
    from longtake.modes.rekv import Rekv
    from longtake.modes.sliding import Sliding
    from longtake.modes.streamingvlm import StreamingVlm

    modes: tuple[Mode, ...] = (Recall(), Rekv(), StreamingVlm(), Sliding(), Full())
    for mode in modes:
        if mode.name == name:
            return mode
    raise ValueError(f"mode={name!r}: known are {', '.join(MODES)}")
