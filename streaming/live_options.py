"""FFmpeg's options for a live address: what a preset means, kind by kind.

The user's own options lie over these.  Facts behind them were measured: both timeouts are needed
(the option here and PyAV's), `stimeout` is no more, a default open of a slow stream probes for
seconds and then bursts its backlog.
"""

from __future__ import annotations

from longtake.streaming.addresses import Address
from longtake.streaming.capture_config import CaptureConfig
from longtake.streaming.opening import decoder_options

# No fflags=nobuffer: it throws away what probing looked at, and with it the first key frame; the
# first picture then waits for the next one, up to half a minute.  Half a second of backlog is
# decoded in no time instead.
LOW_LATENCY = {"flags": "low_delay", "analyzeduration": "500000"}
ROBUST = {"analyzeduration": "3000000", "probesize": "10000000"}
# Which of FFmpeg's protocols an address may lead to: a playlist reaches no file of this machine.
WHITELISTS = {
    "rtsp": "rtsp,rtsps,rtp,srtp,udp,tcp,tls,http,https,httpproxy,crypto",
    "http": "http,https,tcp,tls,httpproxy,crypto,data",
    "udp": "udp,rtp",
}
# rtsp_flags=prefer_tcp begins with TCP and takes what the server offers.
RTSP_TRANSPORTS = {
    "low-latency": {"rtsp_flags": "prefer_tcp"},
    "robust": {"rtsp_transport": "tcp"},
    "udp": {"rtsp_transport": "udp"},
}
# A visitor's source: FFmpeg reads through the passage, and by no protocol of its own.  RTSP has a
# connection to the passage alone, over which the camera's answers come checked.
PASSAGE_OPTIONS = {
    "rtsp": {"protocol_whitelist": "tcp", "format_whitelist": "rtsp", "rtsp_transport": "tcp"},
    # http_persistent: FFmpeg would abort the process on a playlist that it does not open itself.
    # Formats: no list of other files among them (concat, sdp, dash); none opens a second address.
    "http": {
        "protocol_whitelist": "none",
        "format_whitelist": "hls,mpjpeg,mpegts,mov,matroska,flv,avi,mpeg,ogg,mjpeg,h264,hevc,m4v,"
        "mpegvideo,gif,jpeg_pipe,png_pipe,webp_pipe,bmp_pipe,aac,ac3,eac3,mp3,webvtt",
        "http_persistent": "0",
    },
}
UDP_QUERY = {"fifo_size": "50000", "overrun_nonfatal": "1"}  # packets of 188 bytes


def options_of(address: Address, config: CaptureConfig, *, as_camera: bool) -> dict[str, str]:
    """Everything that is handed to FFmpeg on opening, the user's options last.

    Args:
        as_camera: False where it is read from its beginning, as a file: nothing is hurried then.
    """
    options: dict[str, str] = {}
    if as_camera and address.kind != "lavfi":
        options |= ROBUST if config.preset == "robust" else LOW_LATENCY
    if address.kind in WHITELISTS:
        options["protocol_whitelist"] = WHITELISTS[address.kind]
    if address.kind in ("rtsp", "http"):
        options["timeout"] = str(timeout_us(config))
    if address.kind == "rtsp" and "rtsp_transport" not in config.av_options:
        options |= RTSP_TRANSPORTS[config.preset]
    if address.kind == "http" and as_camera:
        options["live_start_index"] = "-1"  # else HLS begins three segments back
    if config.passage is not None:
        options = {name: text for name, text in options.items() if name != "rtsp_flags"}
        return {**options, **decoder_options(), **PASSAGE_OPTIONS.get(address.kind, {})}
    return {**options, **decoder_options(), **config.av_options}


def url_of(address: Address, config: CaptureConfig) -> str:
    """What FFmpeg opens: over UDP it takes its settings in the address."""
    if address.kind != "udp":
        return address.url
    base, _, query = address.url.partition("?")
    given = {part.partition("=")[0] for part in query.split("&")}
    ours = {**UDP_QUERY, "timeout": str(timeout_us(config))}
    added = [f"{name}={text}" for name, text in ours.items() if name not in given]
    return f"{base}?{'&'.join([*([query] if query else []), *added])}"


def timeout_us(config: CaptureConfig) -> int:
    """For a single wait inside FFmpeg: longer than PyAV's, which tell connecting from reading."""
    return int(1.5 * max(config.connect_s, config.stall_s) * 1_000_000)
