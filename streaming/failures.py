"""FFmpeg's errors on live addresses, in words that a person can act on.

FFmpeg's own messages and attributes carry the login; of them only the kind is looked at.
"""

from __future__ import annotations

import errno

import av
from av import error as ffmpeg

from longtake.streaming.addresses import Address
from longtake.streaming.capture_config import CaptureConfig
from longtake.streaming.errors import (
    NotAVideo,
    SourceError,
    SourceLost,
    SourceNotFound,
    SourceNotSupported,
    SourceRefused,
    SourceTimeout,
)

_UNREACHABLE = frozenset(
    {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN, errno.EADDRNOTAVAIL}
)


def explain(
    error: Exception, address: Address, config: CaptureConfig, *, waited_s: float
) -> SourceError:
    """What to raise instead of an error of connecting, where that is not being handled any more.

    Args:
        waited_s: how long connecting took; a timeout does not always call itself so.
    """
    is_late = isinstance(error, (TimeoutError, ffmpeg.ExitError))
    if isinstance(error, ffmpeg.InvalidDataError):
        is_late = waited_s >= 0.9 * config.connect_s
    kind, words = _of_connecting(error, address, config, is_late)
    return kind(f"{address.shown}: {words}")


def explain_reading(error: Exception, address: Address, config: CaptureConfig) -> SourceError:
    """The same for an error that came while frames were read."""
    if isinstance(error, SourceError):  # of a passage: it says what is refused
        return error
    if isinstance(error, (TimeoutError, ffmpeg.ExitError)):
        return SourceTimeout(f"{address.shown}: {no_frame(config.stall_s)}")
    return SourceLost(f"{address.shown}: the connection broke ({_word(error)})")


def no_frame(seconds: float) -> str:
    return f"no frame for {seconds:.1f} s; is the camera on? Raise stall_s to wait longer"


def _of_connecting(
    error: Exception, address: Address, config: CaptureConfig, is_late: bool
) -> tuple[type[SourceError], str]:
    if address.kind == "device":
        return _of_device(error, address)
    number = getattr(error, "errno", None)
    if is_late or (address.kind == "udp" and number == errno.EIO):
        return SourceTimeout, _no_answer(address, config)
    if isinstance(error, ConnectionRefusedError) or number == errno.ECONNREFUSED:
        return (
            SourceLost,
            "nothing answers at this address (connection refused); is the camera on?",
        )
    if number in _UNREACHABLE:
        return SourceLost, f"its host cannot be reached ({_word(error)}); is the network up?"
    if number == errno.EIO and address.kind in ("rtsp", "http"):  # FFmpeg's for an unknown name
        return SourceLost, "its host cannot be found; is the name right, and the network up?"
    return _of_answer(error, address, config)


def _of_answer(
    error: Exception, address: Address, config: CaptureConfig
) -> tuple[type[SourceError], str]:
    """Somebody was there, and said something."""
    if isinstance(error, ffmpeg.HTTPUnauthorizedError):
        return SourceRefused, "the login was refused (401); check user and password"
    if isinstance(error, ffmpeg.HTTPForbiddenError):
        return SourceRefused, "access is forbidden (403); check user, password and rights"
    if isinstance(error, ffmpeg.HTTPNotFoundError):
        return SourceNotFound, "nothing is there under this path (404); check the path"
    if isinstance(error, ffmpeg.HTTPTooManyRequestsError):
        return SourceRefused, "too many requests (429); raise backoff_s"
    if isinstance(error, (ffmpeg.HTTPServerError, ffmpeg.HTTPClientError)):
        return SourceLost, f"the server has a problem of its own ({_word(error)})"
    if isinstance(error, (ffmpeg.ProtocolNotFoundError, ffmpeg.DemuxerNotFoundError)):
        return SourceNotSupported, "this FFmpeg cannot read addresses of this kind"
    if isinstance(error, ffmpeg.InvalidDataError):
        what = "answered, but sent no video that can be read"
        return NotAVideo, f"{what} within {config.connect_s:g} s; is it the right address?"
    if getattr(error, "errno", None) == errno.EPROTONOSUPPORT:
        return SourceLost, "its transport was refused; try preset low-latency, robust or udp"
    if isinstance(error, ffmpeg.OptionNotFoundError):
        return SourceNotSupported, "FFmpeg does not know one of the options; check av_options"
    if isinstance(error, ffmpeg.ArgumentError) and address.kind == "lavfi":
        return SourceNotSupported, "this filter graph cannot be read; check its filters"
    return SourceLost, f"cannot be opened ({_word(error)})"


def _of_device(error: Exception, address: Address) -> tuple[type[SourceError], str]:
    device = address.url
    if isinstance(error, FileNotFoundError):
        return SourceNotFound, f"there is no {device}; is the camera plugged in?"
    if isinstance(error, PermissionError):
        return SourceRefused, f"{device} may not be read; add this user to the group video"
    if getattr(error, "errno", None) == errno.EBUSY:
        return SourceRefused, f"{device} is in use; close the program that holds it"
    if isinstance(error, (TimeoutError, ffmpeg.ExitError)):
        return SourceTimeout, f"{device} did not send a picture in time"
    return SourceLost, f"{device} cannot be opened ({_word(error)})"


def _no_answer(address: Address, config: CaptureConfig) -> str:
    if address.kind == "udp":
        return f"nothing was sent to it within {config.connect_s:g} s; is the sender on?"
    return f"accepted the connection and did not answer within {config.connect_s:g} s"


def _word(error: Exception) -> str:
    """FFmpeg's short word for a kind of error; never its message, which holds the address."""
    if isinstance(error, (av.FFmpegError, OSError)):
        return str(error.strerror or type(error).__name__)
    return type(error).__name__
