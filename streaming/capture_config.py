"""How a live source is opened, drained and sampled: one checked set of settings.

The command line, the server and the API build the same object.  What the presets mean to FFmpeg
is known in `camera_stream`; which frames are kept, in `sampling`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from longtake.streaming.masks import Mask
    from longtake.streaming.passage import Passage

PRESETS: Mapping[str, str] = {
    "low-latency": "RTSP over TCP where the server allows it, little probing, no buffering",
    "robust": "RTSP over TCP alone, longer probing, FFmpeg's own buffering",
    "udp": "RTSP over UDP, else as low-latency",
}
POLICIES = ("auto", "every", "newest")
SAMPLINGS = ("fixed", "adaptive")
ALLOWABLE = frozenset({"lavfi"})
LEAST_WAIT_S = 0.1  # below this FFmpeg's timeouts and our own watch race one another
_OPTION_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]*")


@dataclass(frozen=True, kw_only=True, slots=True)
class CaptureConfig:
    """How one source, or several alike, are captured.

    Raises:
        ValueError: names the setting, its value and what it may be.
    """

    live: bool | None = None  # True: as a camera; False: every sampled frame; None: as it is
    preset: str = "low-latency"  # one of `PRESETS`
    # FFmpeg's options over the preset's; may hold a key or a token, so never shown
    av_options: Mapping[str, str] = field(default_factory=dict, repr=False)
    connect_s: float = 5.0  # an attempt to open takes at most about this long
    stall_s: float = 5.0  # without a frame for so long the connection is made anew
    backoff_s: float = 2.0  # the longest wait between two attempts
    reconnects: int | None = None  # attempts in a row that may fail; None: for ever
    policy: str = "auto"  # auto: files every frame, cameras the newest
    sampling: str = "fixed"  # adaptive: no faster than the model sustains
    still: float = 0.0  # 0..1: what differs less from the last kept frame is dropped; 0: off
    scene: float = 0.0  # 0..1: what differs more is kept between two ticks; 0: off
    masks: tuple[Mask, ...] = ()  # blacked out before anything sees the pixels
    allow: frozenset[str] = frozenset()  # kinds of addresses that are refused unless named here
    # Of an address that a visitor named: what every connection goes through; None: the operator's
    passage: Passage | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "masks", tuple(self.masks))
        object.__setattr__(self, "allow", frozenset(self.allow))
        object.__setattr__(self, "av_options", dict(self.av_options))
        _one_of("preset", self.preset, PRESETS)
        _one_of("policy", self.policy, POLICIES)
        _one_of("sampling", self.sampling, SAMPLINGS)
        for name in ("connect_s", "stall_s"):
            _at_least(name, getattr(self, name), LEAST_WAIT_S)
        _at_least("backoff_s", self.backoff_s, 0.0)
        for name in ("still", "scene"):
            share = getattr(self, name)
            if not 0 <= share <= 1:
                raise ValueError(f"{name}={share}: needs a share of the full difference, 0 to 1")
        if self.reconnects is not None and self.reconnects < 0:
            raise ValueError(
                f"reconnects={self.reconnects}: needs 0 or more attempts; None tries for ever"
            )
        if not self.allow <= ALLOWABLE:
            unknown = ", ".join(sorted(self.allow - ALLOWABLE))
            raise ValueError(
                f"allow={unknown}: nothing to be allowed; known: {', '.join(sorted(ALLOWABLE))}"
            )
        _check_options(self.av_options)
        if self.passage is not None and self.av_options:
            raise ValueError(
                "av_options: FFmpeg's options could lead around the passage; leave out one of them"
            )

    @property
    def first_wait_s(self) -> float:
        """The first wait between two attempts; later ones double up to `backoff_s`."""
        return min(0.25, self.backoff_s)


def _one_of(name: str, value: str, known: Iterable[str]) -> None:
    if value not in known:
        raise ValueError(f"{name}={value!r}: must be one of {', '.join(known)}")


def _at_least(name: str, seconds: float, least_s: float) -> None:
    if not (math.isfinite(seconds) and seconds >= least_s):
        raise ValueError(f"{name}={seconds}: needs a finite time of {least_s:g} s or more")


def _check_options(options: Mapping[str, str]) -> None:
    for name, value in options.items():
        if not isinstance(name, str) or not _OPTION_NAME.fullmatch(name):
            raise ValueError(
                f"av_options: {name!r} is no name of an FFmpeg option; give NAME=VALUE, such as "
                "rtsp_transport=udp"
            )
        if not isinstance(value, str):
            raise ValueError(
                f"av_options: {name} is a {type(value).__name__}; FFmpeg's options are text"
            )
