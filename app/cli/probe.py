"""``longtake probe``: its flags."""

from __future__ import annotations

from typing import Annotated

import typer

from longtake.cli import capture_flags, flags


def probe(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE", help="a file, a folder, -, webcam:0, or an address (rtsp://...)"
        ),
    ],
    seconds: Annotated[
        float,
        typer.Option(
            parser=flags.number,
            metavar="S",
            show_default=False,
            help="how long to look (5 by default)",
        ),
    ] = 5.0,
    live: capture_flags.LiveOption = None,
    preset: capture_flags.PresetOption = None,
    av_opt: capture_flags.AvOption = None,
    allow_lavfi: capture_flags.AllowLavfiOption = False,
    as_json: flags.JsonOption = False,
) -> None:
    """Look at a camera or a video: what it is, how fast its frames come, what is odd about it.

    No model is loaded.

    longtake probe rtsp://user:password@cam.local/main

    longtake probe webcam:0 --av-opt video_size=1280x720 --av-opt framerate=30
    """
    from longtake.cli import run_probe

    capture = capture_flags.capture_config(
        base=capture_flags.set_capture(),
        live=live,
        preset=preset,
        av_opt=av_opt,
        allow_lavfi=allow_lavfi,
    )
    run_probe.run(source, capture, seconds, as_json)
