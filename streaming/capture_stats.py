"""What is known of a camera while it is watched: its state, its outages, its counts.

Nothing here holds a login: addresses, errors and options are redacted before they come in.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

RATE_WINDOW_S = 5.0
RATE_FRAMES = 512  # at most so many arrivals are remembered
BURST_S = 0.3  # what a new connection hands out at once was waiting, and says nothing of the rate
PAUSE_S = 0.8
PAUSES = 8  # at most so many are remembered, for `PAUSE_WINDOW_S`
PAUSE_WINDOW_S = 60.0


class State(StrEnum):
    """Where a live source stands."""

    CONNECTING = "connecting"  # no frame yet
    LIVE = "live"
    STALLED = "stalled"  # connected, and no frame for a while
    RECONNECTING = "reconnecting"  # lost; tried again
    ENDED = "ended"  # at its end, or stopped
    FAILED = "failed"  # not tried any more

    @property
    def is_final(self) -> bool:
        return self in (State.ENDED, State.FAILED)


@dataclass(frozen=True, slots=True)
class Outage:
    """A stretch that was not seen: between the last frame before it and the first one after.

    Args:
        start_s: session time of the last frame before.
        end_s: session time of the first frame after.
        reason: in words, redacted.
    """

    start_s: float
    end_s: float
    reason: str


@dataclass(frozen=True, slots=True)
class CaptureStats:
    """One look at a camera; ``seen == kept + sum(dropped.values())``."""

    address: str  # redacted
    camera: str
    state: str
    error: str = ""  # the last one, redacted; '' if none
    size: tuple[int, int] | None = None  # width, height as decoded
    fps: float = 0.0  # arrivals a second, over the last seconds
    seen: int = 0  # frames that came out of the decoder
    kept: int = 0  # of these, put into the mailbox; what it lets go, it counts itself
    dropped: Mapping[str, int] = field(default_factory=dict)  # the others, by reason
    bad_packets: int = 0  # refused by the decoder
    corrupt: int = 0  # frames marked damaged; they are shown all the same
    reconnects: int = 0  # frames came again over a new connection
    outages: int = 0
    jumps: int = 0  # of its time stamps, clamped
    lag_s: float = 0.0  # since the newest frame was shown: since its arrival, and how late that was
    clock: str = "pts"  # what tells its time: "pts", "arrival" or "made up"
    options: Mapping[str, str] = field(default_factory=dict)  # FFmpeg's, that worked


class Tally:
    """The counts behind `CaptureStats`; its owner keeps threads apart."""

    def __init__(self) -> None:
        self.seen = self.kept = self.corrupt = self.reconnects = self.outages = 0
        self.bad_packets_before = 0  # of connections that are over
        self.size: tuple[int, int] | None = None
        self.dropped: Counter[str] = Counter()
        self._arrivals: deque[float] = deque(maxlen=RATE_FRAMES)
        self._pauses: deque[tuple[float, float]] = deque(maxlen=PAUSES)  # when, how long
        self._last_s: float | None = None
        self._connected_s = 0.0

    def saw(self, size: tuple[int, int], is_corrupt: bool, arrived_s: float) -> None:
        """A frame came; it counts as seen when it is known what became of it."""
        self.size = size
        self.corrupt += is_corrupt
        if self._last_s is not None and arrived_s - self._last_s >= PAUSE_S:
            self._pauses.append((arrived_s, arrived_s - self._last_s))
        self._last_s = arrived_s
        if arrived_s - self._connected_s >= BURST_S:
            self._arrivals.append(arrived_s)

    def count(self, reason: str | None) -> None:
        """What became of a frame: why it was dropped; None: it was kept."""
        self.seen += 1
        if reason is None:
            self.kept += 1
        else:
            self.dropped[reason] += 1

    def connect(self, connected_s: float) -> None:
        """A new connection may be faster or slower."""
        self._arrivals.clear()
        self._pauses.clear()
        self._last_s, self._connected_s = None, connected_s

    def step_s(self) -> float:
        """The mean distance of the last arrivals; 0 where it is not known."""
        at = self._arrivals
        return (at[-1] - at[0]) / (len(at) - 1) if len(at) > 1 else 0.0

    def usual_pause_s(self) -> float:
        """How long nothing comes now and then, as between segments of HLS; once is not usual."""
        last_s = self._last_s or 0.0
        pauses = sorted(pause for at, pause in self._pauses if last_s - at <= PAUSE_WINDOW_S)
        return pauses[-2] if len(pauses) > 1 else 0.0

    def fps(self, now_s: float) -> float:
        """Arrivals a second over the last `RATE_WINDOW_S`; falls to 0 where nothing comes."""
        window_s = max(RATE_WINDOW_S, 3 * self.usual_pause_s())
        recent = [at for at in self._arrivals if now_s - at <= window_s]
        if len(recent) < 2:
            return 0.0
        mean_step_s = (recent[-1] - recent[0]) / (len(recent) - 1)
        usual_s = max(2 * mean_step_s, self.usual_pause_s())
        silence_s = max(0.0, now_s - recent[-1] - usual_s)
        span_s = recent[-1] - recent[0] + silence_s
        return (len(recent) - 1) / span_s if span_s > 0 else 0.0
