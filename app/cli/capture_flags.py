"""Flags of commands that watch cameras, and the `CaptureConfig` that they make.

Values are words here; which of them make sense is known to `CaptureConfig`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from longtake.cli.common import config_file
from longtake.cli.flag_groups import Given, Group
from longtake.cli.flags import number, settings, take_settings, whole

if TYPE_CHECKING:
    from longtake.config import Settings
    from longtake.streaming.capture_config import CaptureConfig

LiveOption = Annotated[
    bool | None,
    typer.Option(
        "--live/--no-live",
        show_default=False,
        help="watch as a camera (newest frame, reconnect), or read to its end; else as it is",
    ),
]
PresetOption = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="how cameras are opened: low-latency (default), robust, udp"),
]
AvOption = Annotated[
    list[str] | None,
    typer.Option(
        "--av-opt", metavar="K=V", help="an option of FFmpeg's, over the preset's; repeatable"
    ),
]
PolicyOption = Annotated[
    str | None,
    typer.Option(metavar="HOW", help="which frames are kept: auto (default), every, newest"),
]
SamplingOption = Annotated[
    str | None,
    typer.Option(metavar="HOW", help="fixed (default) rate, or adaptive: what the model sustains"),
]
StillOption = Annotated[
    float | None,
    typer.Option(parser=number, metavar="X", help="drop frames that differ less than this, 0 to 1"),
]
SceneOption = Annotated[
    float | None,
    typer.Option(
        parser=number, metavar="X", help="see frames that differ more than this at once, 0 to 1"
    ),
]
MaskOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="POLYGON",
        help='black out "0,0 0.5,0 0.5,1" (shares of width, height); "door:..." of one camera; '
        "repeatable",
    ),
]
StallOption = Annotated[
    float | None,
    typer.Option(parser=number, metavar="S", help="reconnect after S seconds without a frame"),
]
ReconnectsOption = Annotated[
    int | None,
    typer.Option(
        parser=whole, metavar="N", help="give up after N failed attempts in a row; else never"
    ),
]
AllowLavfiOption = Annotated[
    bool, typer.Option("--allow-lavfi", help="let lavfi:GRAPH addresses run FFmpeg's filters")
]


_OF_ONE_SOURCE = ("live", "av_opt", "mask", "allow_lavfi")  # no key of the configuration
CAPTURE = Group(
    {
        "live": (LiveOption, None),
        "preset": (PresetOption, None),
        "av_opt": (AvOption, None),
        "policy": (PolicyOption, None),
        "sampling": (SamplingOption, None),
        "still": (StillOption, None),
        "scene": (SceneOption, None),
        "mask": (MaskOption, None),
        "stall": (StallOption, None),
        "reconnects": (ReconnectsOption, None),
        "allow_lavfi": (AllowLavfiOption, False),
    }
)


def watching_settings(
    capture: Given, *, more: Mapping[str, object] | None = None, **given: object
) -> Settings:
    """Settings of a command that may watch cameras.

    Args:
        capture: of `CAPTURE`.
        more: values by their key in the configuration.
        given: the command's other flags, as `take_settings` takes them.

    Raises:
        ConfigError: if the configuration cannot be used.
        ValueError: if a flag is out of range or not understood.
    """
    keys = {name: value for name, value in capture.items() if name not in _OF_ONE_SOURCE}
    settled = take_settings(more, **given, **keys)
    of_one = {name: capture[name] for name in _OF_ONE_SOURCE}
    own = capture_config(base=settled.take.capture, **of_one)
    return replace(settled, take=replace(settled.take, capture=own))


def capture_config(
    *,
    live: bool | None = None,
    preset: str | None = None,
    av_opt: Sequence[str] | None = None,
    policy: str | None = None,
    sampling: str | None = None,
    still: float | None = None,
    scene: float | None = None,
    mask: Sequence[str] | None = None,
    stall: float | None = None,
    reconnects: int | None = None,
    allow_lavfi: bool = False,
    base: CaptureConfig | None = None,
) -> CaptureConfig:
    """The flags that were given, over `base` (the defaults if None).

    ``--av-opt`` adds to the options of `base`; ``--mask`` to its masks.

    Raises:
        ValueError: if a flag is out of range or not understood.
    """
    from longtake.streaming.capture_config import CaptureConfig
    from longtake.streaming.masks import Mask

    base = CaptureConfig() if base is None else base
    given: dict[str, Any] = {
        "live": live,
        "preset": preset,
        "policy": policy,
        "sampling": sampling,
        "still": still,
        "scene": scene,
        "stall_s": stall,
        "reconnects": reconnects,
        "av_options": {**base.av_options, **av_options(av_opt)} if av_opt else None,
        "masks": (*base.masks, *(Mask.parse(text) for text in mask)) if mask else None,
        "allow": base.allow | {"lavfi"} if allow_lavfi else None,
    }
    return replace(base, **{name: value for name, value in given.items() if value is not None})


def set_capture() -> CaptureConfig:
    """What the configuration file and its variables say of cameras.

    Settling all settings needs torch; where nothing is said of cameras that is spared.

    Raises:
        ConfigError: if the file or a variable cannot be used.
    """
    from dataclasses import fields

    from longtake.config import TABLES, default_file, variable
    from longtake.config_file import read_entries
    from longtake.streaming.capture_config import CaptureConfig

    named = config_file()
    file = default_file(os.environ) if named is None else named
    entries = [] if file is None else read_entries(file, TABLES, is_named=named is not None)
    variables = [variable(f"capture.{each.name}") for each in fields(CaptureConfig)]
    is_in_file = any(place[0] == "capture" for place, *_ in entries)
    if is_in_file or any(os.environ.get(name) for name in variables):
        return settings({}).take.capture
    return CaptureConfig()


def av_options(texts: Sequence[str] | None) -> dict[str, str]:
    """``["stimeout=5", "fflags=nobuffer"]`` -> a dictionary; a later one of a name counts.

    Raises:
        ValueError: for one without a name or without ``=``.  Values stay unsaid: some are secret.
    """
    options = {}
    for text in texts or ():
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            said = repr(name.strip()) if not equals else "an option"
            raise ValueError(f"--av-opt: {said} is no NAME=VALUE (as in rtsp_transport=udp)")
        options[name.strip()] = value
    return options
