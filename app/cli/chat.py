"""``longtake chat``: its flags."""

from __future__ import annotations

from typing import Annotated

import typer

from longtake.cli import capture_flags, flags, live_flags
from longtake.cli.flag_groups import Given, grouped


@grouped
def chat(
    videos: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[VIDEO...]",
            help="files, folders or live addresses (rtsp://, webcam:0 ...); none needed where "
            "--memory holds the take",
        ),
    ] = None,
    *,
    model: Annotated[Given, flags.MODEL],
    memory: flags.MemoryOption = None,
    start: flags.StartOption = None,
    stop: flags.StopOption = None,
    recalling: Annotated[Given, flags.RECALL],
    stream: Annotated[Given, flags.STREAM],
    store: Annotated[Given, flags.STORE],
    decoding: Annotated[Given, flags.DECODING],
    capture: Annotated[Given, capture_flags.CAPTURE],
    camera: live_flags.CameraOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="one JSON object a line for each question")
    ] = False,
) -> int:
    """Talk about a video, or with a camera: earlier questions and answers are remembered.

    Questions are read from the terminal, or line by line from a pipe.  /help in the chat lists
    its commands; Ctrl-C stops an answer, Ctrl-D ends the chat.

    longtake chat street.mp4

    longtake chat monday.mp4 tuesday.mp4 --memory runs/street

    longtake chat --memory runs/street

    longtake chat rtsp://cam.local/main --memory runs/door

    echo "what colour was the star?" | longtake chat street.mp4 --json
    """
    from longtake.cli import run_chat

    settings = capture_flags.watching_settings(
        capture, **model, **stream, **recalling, **store, **decoding
    )
    return run_chat.run(
        run_chat.Request(
            videos=tuple(videos or ()),
            settings=settings,
            memory=memory,
            names=tuple(camera or ()),
            start_s=flags.seconds("--from", start),
            stop_s=flags.seconds("--to", stop),
            as_json=as_json,
        )
    )
