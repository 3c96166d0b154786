"""Connect to an address that FFmpeg reads by itself: camera, network, filter graph.

Every error leaves as a `SourceError` that names the address without its login, and carries no
other error with it: FFmpeg's hold the password.  What is read from it then is not known here.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import av
from av.container import InputContainer

from longtake.streaming.addresses import Address
from longtake.streaming.capture_config import CaptureConfig
from longtake.streaming.errors import SourceError
from longtake.streaming.failures import explain
from longtake.streaming.live_options import options_of, url_of
from longtake.streaming.passage_dial import split

if TYPE_CHECKING:
    from longtake.streaming.passage import Passage

CUSTOM_IO = 0x80  # AVFMT_FLAG_CUSTOM_IO
SEGMENT_S = 12.0  # a segment of HLS may last so long, and nothing comes meanwhile


@dataclass(frozen=True, slots=True)
class Remote:
    """Something that is no file of this machine, and is read like one: a recording over HTTP."""

    address: Address
    config: CaptureConfig

    @property
    def shown(self) -> str:
        return self.address.shown


def connect(address: Address, config: CaptureConfig, *, as_camera: bool) -> InputContainer:
    """Open an address; FFmpeg may look at its first packets.

    Args:
        as_camera: what matters is now; else it is read from its beginning, as a file.

    Raises:
        SourceError: why not; never with another error in its back.
    """
    av.logging.set_level(None)  # see `decoding.VideoFile`
    options = options_of(address, config, as_camera=as_camera)
    is_named_hls = PurePosixPath(address.url.partition("?")[0]).suffix.lower() == ".m3u8"
    container = _open(address, config, options, is_segmented=is_named_hls)
    if container.format.name == "hls" and not is_named_hls:  # only now it is known
        container.close()
        container = _open(address, config, options, is_segmented=True)
    return container


def read_timeout_s(address: Address, config: CaptureConfig, *, is_segmented: bool) -> float:
    """How long FFmpeg waits for a packet.

    RTSP asks twice before it gives up: after the first wait its parser hands out what it held.
    Elsewhere the first wait in vain is taken for the end.
    """
    stall_s = config.stall_s / 2 if address.kind == "rtsp" else config.stall_s
    return max(stall_s, SEGMENT_S) if is_segmented else stall_s


def may_be_named(address: str | os.PathLike[str]) -> None:
    """Whether an address is of a kind that visitors may name; what lies there is not looked at.

    Raises:
        SourceError: if it is not.
    """
    split(os.fspath(address))


def _open(
    address: Address, config: CaptureConfig, options: dict[str, str], *, is_segmented: bool
) -> InputContainer:
    read_s = read_timeout_s(address, config, is_segmented=is_segmented)
    started_s = time.monotonic()
    try:
        if config.passage is not None:
            return _open_through(config.passage, address, config, options, read_s)
        return av.open(
            url_of(address, config),
            "r",
            format=address.format,
            options=options,
            timeout=(config.connect_s, read_s),
            metadata_errors="ignore",
        )
    except SourceError as error:
        words = str(error).removeprefix(f"{address.shown}: ")
        failure = type(error)(f"{address.shown}: {words}")
    except (av.FFmpegError, OSError, ValueError, OverflowError) as error:
        waited_s = time.monotonic() - started_s
        failure = explain(error, address, config, waited_s=waited_s)
    raise failure  # outside of the handler, or it would carry FFmpeg's along


def _open_through(
    passage: Passage,
    address: Address,
    config: CaptureConfig,
    options: dict[str, str],
    read_s: float,
) -> InputContainer:
    """The same for an address that a visitor named.

    Raises:
        SourceForbidden: if it, or what it leads to, may not be read.
    """
    times_s = (config.connect_s, read_s)
    split(address.url)
    if address.kind == "rtsp":
        relay, url = passage.relay(address.url, connect_s=config.connect_s)
        given = {**options, "user_agent": relay.agent}
        try:
            return av.open(url, "r", options=given, timeout=times_s, metadata_errors="ignore")
        except BaseException as error:
            relay.close()
            raise (relay.failure or error) from None
    visit = passage.visit(connect_s=config.connect_s, read_s=read_s)
    try:
        container = av.open(
            address.url,
            "r",
            options=options,
            timeout=times_s,
            metadata_errors="ignore",
            io_open=visit.open,
        )
    except BaseException as error:
        visit.close()
        is_other = not isinstance(error, Exception)  # Ctrl-C
        raise (error if is_other else visit.failure or error) from None
    visit.settle()
    if container.format.name != "hls":  # which closes all by itself, and asks for this flag
        container.flags &= ~CUSTOM_IO  # now closing it closes what it reads from
    return container
