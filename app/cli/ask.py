"""``longtake ask``: its flags."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from longtake.cli import capture_flags, flags, live_flags
from longtake.cli.flag_groups import Given, grouped


@grouped
def ask(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[VIDEO...] QUESTION...",
            help="files, folders (- is stdin) or live addresses (rtsp://, webcam:0 ...), then "
            "questions; no VIDEO where --memory holds the take",
        ),
    ] = None,
    *,
    model: Annotated[Given, flags.MODEL],
    memory: flags.MemoryOption = None,
    start: flags.StartOption = None,
    stop: flags.StopOption = None,
    between: flags.BetweenOption = None,
    at: flags.AtOption = None,
    recalling: Annotated[Given, flags.RECALL],
    stream: Annotated[Given, flags.STREAM],
    store: Annotated[Given, flags.STORE],
    decoding: Annotated[Given, flags.DECODING],
    evidence_dir: Annotated[
        Path | None,
        typer.Option(
            parser=flags.folder, metavar="DIR", help="write pictures of the evidence there, as JPEG"
        ),
    ] = None,
    capture: Annotated[Given, capture_flags.CAPTURE],
    camera: live_flags.CameraOption = None,
    for_s: live_flags.ForOption = None,
    as_json: flags.JsonOption = False,
    jsonl: Annotated[
        bool, typer.Option("--jsonl", help="one JSON object a line, as answers come")
    ] = False,
    srt: Annotated[
        bool, typer.Option("--srt", help="subtitles: the answers at the times of their evidence")
    ] = False,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="end with 7 where a video or an answer is not complete"),
    ] = False,
) -> int:
    """Ask one or more questions about a video, or a camera.

    longtake ask street.mp4 "what colour was the star?" "was there a red ring?"

    longtake ask --memory runs/street street.mp4 "what shape was green?"

    longtake ask --memory runs/street --at 2:00 "was there a red ring?"

    longtake ask monday.mp4 tuesday.mp4 "was there a blue star?" "what colour was the ring?"

    longtake ask street.mp4 "was there a blue star?" --srt > street.srt

    longtake ask rtsp://cam.local/main "is there a red ring?" --for 10

    ffmpeg -i rec.avi -f matroska - | longtake ask - "what shape was green?" --json
    """
    from longtake.cli import run_ask

    forms: dict[run_ask.Form, bool] = {"json": as_json, "jsonl": jsonl, "srt": srt}
    chosen = [name for name, on in forms.items() if on]
    if len(chosen) > 1:
        raise ValueError(f"--{' and --'.join(chosen)}: choose one form of output")
    settings = capture_flags.watching_settings(
        capture, **model, **stream, **recalling, **store, **decoding
    )
    return run_ask.run(
        run_ask.Request(
            words=tuple(words or ()),
            settings=settings,
            memory=memory,
            names=tuple(camera or ()),
            start_s=flags.seconds("--from", start),
            stop_s=flags.seconds("--to", stop),
            for_s=live_flags.for_s(for_s),
            between_s=flags.between(between),
            at_s=flags.seconds("--at", at),
            evidence_dir=evidence_dir,
            form=chosen[0] if chosen else "text",
            strict=strict,
        )
    )
