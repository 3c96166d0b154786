"""Measure frames as they come: their rate, their evenness, their time stamps, their sizes.

    lead = (stamp - first stamp) - (arrival - first arrival)

A camera's backlog comes in faster than it was filmed: the lead rises by as much and then stays.
So its greatest value is the backlog, and behind the frame that reaches it arrivals are the
camera's own: from the first one that did not come in less than half its step.  Where frames come
from is not known here.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from itertools import pairwise

from av.video.frame import VideoFrame

from longtake.streaming.probed import ENOUGH_FRAMES, Measured, Stamps

MAX_FRAMES = 20_000  # a source without any pace ends the look by this
LIVE_JUMP_S = 1.0  # a step of stamps that is this much longer than what passed by the clock
FILE_JUMP_S = 10.0  # recordings may show one picture for a while
LEAD_TOLERANCE_S = 0.1


class Look:
    """What was seen of a stream so far.

    Args:
        seconds: how long to look, from the first frame on: by the clock, or by the stamps of a
            recording, whichever is over first.
        is_live: whether arrival means anything.
        are_made_up: the stamps are FFmpeg's own, and say nothing.
    """

    def __init__(self, seconds: float, *, is_live: bool, are_made_up: bool = False) -> None:
        self._seconds = seconds
        self._is_live = is_live
        self._are_made_up = are_made_up
        self._arrivals: list[float] = []
        self._stamps: list[float | None] = []
        self._first_stamp_s: float | None = None
        self._last_stamp_s: float | None = None
        self._key_frames: list[int] = []
        self._size: tuple[int, int] | None = None
        self._first_size = (0, 0)
        self._rotation = self._size_changes = self._corrupt = 0

    def saw(self, frame: VideoFrame, stamp_s: float | None, arrived_s: float) -> None:
        """Take one more frame in.

        Args:
            stamp_s: its own time; None where it has none.
            arrived_s: when it came out of the decoder, on a clock that never goes back.
        """
        size = (frame.width, frame.height)
        if self._size is None:
            self._first_size, self._rotation = size, round(frame.rotation / 90) % 4 * 90
        self._size_changes += self._size not in (None, size)
        self._size = size
        self._corrupt += bool(frame.is_corrupt)
        if frame.key_frame:
            self._key_frames.append(len(self._arrivals))
        self._arrivals.append(arrived_s)
        self._stamps.append(stamp_s)
        if stamp_s is not None:
            self._first_stamp_s = stamp_s if self._first_stamp_s is None else self._first_stamp_s
            self._last_stamp_s = stamp_s

    @property
    def frames(self) -> int:
        return len(self._arrivals)

    @property
    def is_done(self) -> bool:
        """Whether it was long enough."""
        if not self._arrivals:
            return False
        passed_s = max(self._looked_s(), self._arrivals[-1] - self._arrivals[0])
        return passed_s >= self._seconds or self.frames >= MAX_FRAMES

    def measured(self, bad_packets: int) -> Measured:
        """What the frames say, of at least one."""
        lead = self._leads()
        begin = self._behind_fast(_behind_burst(lead))
        steps = _steps(self._arrivals[begin:])
        is_paced = self._is_live and len(steps) >= ENOUGH_FRAMES
        return Measured(
            looked_s=self._looked_s(),
            frames=self.frames,
            corrupt=self._corrupt,
            bad_packets=bad_packets,
            size_changes=self._size_changes,
            size=self._first_size,
            rotation=self._rotation,
            fps_by_stamps=self._fps_by_stamps(),
            fps_by_arrival=_rate(steps) if is_paced else None,
            jitter_s=_jitter(steps) if is_paced else None,
            backlog_s=max(0.0, *lead) if lead else None,
            key_frame_s=self._key_frame_s(),
            stamps=self._judged_stamps(),
        )

    def _looked_s(self) -> float:
        if self._is_live:
            return self._arrivals[-1] - self._arrivals[0] if self._arrivals else 0.0
        if self._first_stamp_s is None or self._last_stamp_s is None:
            return 0.0
        return max(0.0, self._last_stamp_s - self._first_stamp_s)

    def _own_steps(self) -> list[tuple[float, float]]:
        """From frame to frame, where both have stamps: by stamps, by arrival."""
        both = list(zip(self._stamps, self._arrivals, strict=True))
        return [
            (to - start, to_arrival - start_arrival)
            for (start, start_arrival), (to, to_arrival) in pairwise(both)
            if start is not None and to is not None
        ]

    def _is_jump(self, step_s: float, arrival_s: float) -> bool:
        return step_s > (arrival_s + LIVE_JUMP_S if self._is_live else FILE_JUMP_S)

    def _fps_by_stamps(self) -> float | None:
        own = [s for s, arrival in self._own_steps() if s >= 0 and not self._is_jump(s, arrival)]
        return _rate(own) if len(own) >= 1 else None

    def _leads(self) -> list[float]:
        """How far each frame's stamp is ahead of its arrival; empty where stamps say nothing."""
        if not self._is_live or self._are_made_up:
            return []
        lead, leads = 0.0, [0.0]
        for step_s, arrival_s in self._own_steps():
            if step_s >= 0 and not self._is_jump(step_s, arrival_s):
                lead += step_s - arrival_s
            leads.append(lead)
        return leads if len(leads) > ENOUGH_FRAMES else []

    def _behind_fast(self, begin: int) -> int:
        """The first frame from `begin` on behind which the next one takes half its step or more.

        The end of a burst is within the tolerance of its lead, or there are no stamps to tell it.
        """
        steps = _steps(self._arrivals)
        usual_s = statistics.median(steps) if steps else 0.0
        while begin < len(steps) and steps[begin] < 0.5 * self._own_step_s(begin, usual_s):
            begin += 1
        return begin

    def _own_step_s(self, number: int, usual_s: float) -> float:
        """By its stamps from this frame to the next, where they tell; else as usual."""
        start, to = self._stamps[number : number + 2]
        if self._are_made_up or start is None or to is None or to < start:
            return usual_s
        step_s, arrival_s = to - start, self._arrivals[number + 1] - self._arrivals[number]
        return usual_s if self._is_jump(step_s, arrival_s) else step_s

    def _key_frame_s(self) -> float | None:
        times: Sequence[float | None] = self._stamps
        is_stampless = self._are_made_up or 2 * self._stamps.count(None) > self.frames
        if self._is_live and is_stampless:
            times = self._arrivals
        at = [time for number in self._key_frames if (time := times[number]) is not None]
        return max(_steps(at)) if len(at) > 1 else None

    def _judged_stamps(self) -> Stamps:
        own = self._own_steps()
        return Stamps(
            first_s=self._first_stamp_s,
            missing=self._stamps.count(None),
            backwards=sum(step_s < 0 for step_s, _ in own),
            jumps=sum(self._is_jump(*step) for step in own),
            are_made_up=self._are_made_up,
        )


def _behind_burst(lead: Sequence[float]) -> int:
    """The first frame that came when it was filmed, or nearly so."""
    if not lead:
        return 0
    greatest = max(lead)
    return next(n for n, ahead in enumerate(lead) if ahead >= greatest - LEAD_TOLERANCE_S)


def _steps(times: Sequence[float]) -> list[float]:
    return [to - start for start, to in pairwise(times)]


def _rate(steps: Sequence[float]) -> float | None:
    total_s = sum(steps)
    return len(steps) / total_s if total_s > 0 else None


def _jitter(steps: Sequence[float]) -> float:
    middle = statistics.median(steps)
    off = sorted(abs(step - middle) for step in steps)
    return off[min(len(off) - 1, int(0.95 * len(off)))]
