"""What is to be watched, as it was typed; what cannot work is refused before anything is loaded.

No address on a network is opened here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from longtake.memory.folder import CATALOG
from longtake.memory.survey import is_memory
from longtake.streaming.addresses import Address, is_live, parse_address
from longtake.streaming.capture_config import CaptureConfig
from longtake.streaming.errors import SourceNotFound


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Files, one after the other, or live sources, together.

    Args:
        names: of cameras, in the order of their addresses; see `cameras`.
        start_s, stop_s: the part of a file that is wanted.

    Raises:
        ValueError: if there is nothing to watch and no memory, or what stands beside does not fit.
        SourceError: if a source is missing, or of a kind that cannot be watched.
    """

    addresses: tuple[str, ...]
    capture: CaptureConfig = field(default_factory=CaptureConfig)
    names: tuple[str, ...] = ()
    memory: Path | None = None
    start_s: float | None = None
    stop_s: float | None = None

    def __post_init__(self) -> None:
        self._check_range()
        if self.addresses.count("-") > 1:
            raise ValueError("- stands twice: standard input can be read once")
        self._check_memory()
        for address in self.parsed:
            _check_there(address)
        self._check_kinds()
        self._check_names()

    @cached_property
    def parsed(self) -> tuple[Address, ...]:
        return tuple(parse_address(address, self.capture.allow) for address in self.addresses)

    @cached_property
    def live(self) -> tuple[bool | None, ...]:
        """Of each address; None: only opening it tells."""
        return tuple(is_live(address, self.capture.live) for address in self.parsed)

    @property
    def may_be_live(self) -> bool:
        return any(live is not False for live in self.live)

    @cached_property
    def cameras(self) -> tuple[str, ...]:
        """A name for each address, or none: several live ones need some."""
        made = []
        for number, live in enumerate(self.live, 1):
            needed = f"camera{number}" if live is not False and len(self.live) > 1 else ""
            made.append(self.names[number - 1] if number <= len(self.names) else needed)
        return tuple(made)

    def recordings(self) -> list[str]:
        """Those that are surely no live ones, as they are shown."""
        return [a.shown for a, live in zip(self.parsed, self.live, strict=True) if live is False]

    def _check_range(self) -> None:
        start_s, stop_s, count = self.start_s, self.stop_s, len(self.addresses)
        if start_s is not None and stop_s is not None and stop_s <= start_s:
            raise ValueError(f"--to {stop_s:g}: must be later than --from {start_s:g} (seconds)")
        if count > 1 and (start_s is not None or stop_s is not None):
            raise ValueError(
                f"--from and --to bound one video, and there are {count}: watch them one by "
                "one into the same --memory"
            )

    def _check_memory(self) -> None:
        memory, has_none = self.memory, not self.addresses
        if has_none and memory is None:
            raise ValueError("no video: name a file or folder first, or a --memory that has one")
        if memory is None or not has_none:
            return
        if not (memory / CATALOG).is_file() and not is_memory(memory):
            raise ValueError(
                f"--memory {memory}: there is no memory yet, and no video to make one from"
            )

    def _check_kinds(self) -> None:
        surely = [a.shown for a, live in zip(self.parsed, self.live, strict=True) if live]
        if not surely:
            return
        if self.start_s is not None or self.stop_s is not None:
            raise ValueError(
                f"--from and --to bound a recording, and {surely[0]} is live: leave them out"
            )
        recorded = self.recordings()
        if recorded:
            raise ValueError(
                f"{surely[0]} is live and {recorded[0]} is not: watch the recording into a "
                "--memory first, or as a camera with --live"
            )

    def _check_names(self) -> None:
        count = len(self.addresses)
        if len(self.names) > count:
            raise ValueError(f"--camera {self.names[count]}: there are {count} sources to name")
        if not all(name.strip() for name in self.names):
            raise ValueError("--camera: a name is empty (an unset variable?)")
        together = [c for c, live in zip(self.cameras, self.live, strict=True) if live is not False]
        for name in together:
            if together.count(name) > 1:
                raise ValueError(f"--camera {name}: two sources would have this name")
        _check_masks(self.capture, self.cameras)


def _check_masks(capture: CaptureConfig, cameras: Sequence[str]) -> None:
    for mask in capture.masks:
        if mask.camera and mask.camera not in cameras:
            known = ", ".join(name for name in cameras if name) or "none; --camera gives names"
            raise ValueError(f"--mask {mask.camera}:...: no such camera (there are: {known})")


def _check_there(address: Address) -> None:
    """A device exists; of paths `parse_address` knows.  Raises SourceError."""
    if address.kind == "device" and not Path(address.url).exists():
        found = sorted(str(path) for path in Path("/dev").glob("video*"))
        there = ", ".join(found) if found else "no camera at all"
        raise SourceNotFound(f"{address.shown}: there is no {address.url} (there is {there})")
