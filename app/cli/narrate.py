"""``longtake narrate``: its flags."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from longtake.cli import capture_flags, flags, live_flags
from longtake.cli.flag_groups import Given, grouped


@grouped
def narrate(
    videos: Annotated[
        list[str],
        typer.Argument(
            metavar="VIDEO...",
            help="files, folders (- is stdin) or live addresses (rtsp://, webcam:0 ...)",
        ),
    ],
    *,
    request: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="what the lines are to be about; or a question"),
    ] = None,
    every: Annotated[
        float,
        typer.Option(parser=flags.number, metavar="S", help="seconds from one moment to the next"),
    ] = 1.0,
    rule: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="when something is said: livestar (default), silence, always (default of "
            "--mode streamingvlm)",
        ),
    ] = None,
    ratio: Annotated[
        float | None,
        typer.Option(
            parser=flags.number,
            metavar="X",
            help="livestar: how far a line's perplexity may rise [default: 1.03]",
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            parser=flags.number,
            metavar="P",
            help="silence: probability of silence from which nothing is said [default: 0.725]",
        ),
    ] = None,
    model: Annotated[Given, flags.MODEL],
    memory: flags.MemoryOption = None,
    stream: Annotated[Given, flags.STREAM],
    start: flags.StartOption = None,
    stop: flags.StopOption = None,
    store: Annotated[Given, flags.STORE],
    decoding: Annotated[Given, flags.DECODING],
    capture: Annotated[Given, capture_flags.CAPTURE],
    camera: live_flags.CameraOption = None,
    until: live_flags.UntilOption = None,
    as_json: flags.JsonOption = False,
    jsonl: Annotated[
        bool, typer.Option("--jsonl", help="one JSON object a line, as lines are spoken")
    ] = False,
    srt: Annotated[bool, typer.Option("--srt", help="subtitles, as SubRip")] = False,
    vtt: Annotated[bool, typer.Option("--vtt", help="subtitles, as WebVTT")] = False,
) -> int:
    """Say what happens in a video, as it is seen.

    longtake narrate street.mp4 --model DIR

    longtake narrate street.mp4 --model DIR --every 5 --srt > street.srt

    longtake narrate street.mp4 --model DIR --mode streamingvlm --vtt > street.vtt

    longtake narrate rtsp://cam.local/main --model DIR --until 18:30

    longtake narrate street.mp4 --request "what colour was the star?" --window 2

    The embedded model was not trained to narrate: it answers the request anew at each moment, so
    it needs a question that it knows, as in the last line.
    """
    from longtake.cli import run_narrate

    forms: dict[run_narrate.Form, bool] = {"json": as_json, "jsonl": jsonl, "srt": srt, "vtt": vtt}
    chosen = [name for name, on in forms.items() if on]
    if len(chosen) > 1:
        raise ValueError(f"--{' and --'.join(chosen)}: choose one form of output")
    settings = capture_flags.watching_settings(capture, **model, **stream, **store, **decoding)
    return run_narrate.run(
        run_narrate.Request(
            videos=tuple(videos),
            settings=settings,
            telling=run_narrate.make_telling(request, every, rule, ratio, threshold),
            sampling=decoding,
            memory=memory,
            names=tuple(camera or ()),
            start_s=flags.seconds("--from", start),
            stop_s=flags.seconds("--to", stop),
            until=live_flags.until(until, datetime.now()),
            form=chosen[0] if chosen else "text",
        )
    )
