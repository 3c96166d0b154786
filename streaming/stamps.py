"""Which of a frame's two time stamps tells when it is shown.

A frame brings its presentation stamp and the decoding stamp of the packet that set it free.  The
first is the right one, but AVI knows none, and where FFmpeg makes them up they go back and forth
with every B-frame; then the second, which follows the order of display, serves.
"""

from __future__ import annotations

from av.video.frame import VideoFrame

FAULTS_ALLOWED = 1  # a splice brings one step back and proves nothing


class StampChoice:
    """Choose stamp by stamp, as FFmpeg's own best effort does: the kind with fewer steps back.

    Args:
        are_guessed: the container holds no presentation stamps (AVI).
    """

    def __init__(self, are_guessed: bool = False) -> None:
        self._are_guessed = are_guessed
        self._last_shown: int | None = None
        self._last_decoded: int | None = None
        self._excess_faults = 0  # of presentation stamps over decoding stamps

    def time_s(self, frame: VideoFrame) -> float | None:
        """When the frame is shown, in the stream's own seconds; None if no stamp tells."""
        if frame.time_base is None:
            return None
        stamp = self._choose(frame.pts, frame.dts)
        return None if stamp is None else float(stamp * frame.time_base)

    def _choose(self, shown: int | None, decoded: int | None) -> int | None:
        if shown is not None:
            self._excess_faults += self._last_shown is not None and shown <= self._last_shown
            self._last_shown = shown
        if decoded is not None:
            self._excess_faults -= self._last_decoded is not None and decoded <= self._last_decoded
            self._last_decoded = decoded
        are_faulty = self._excess_faults > FAULTS_ALLOWED
        if decoded is not None and (shown is None or self._are_guessed or are_faulty):
            return decoded
        # The last frames leave the decoder without a packet, and bring no decoding stamp.
        return None if are_faulty else shown
