"""``longtake watch``: its flags."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from longtake.cli import capture_flags, flags, live_flags
from longtake.cli.flag_groups import Given, grouped


@grouped
def watch(
    videos: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="live addresses (rtsp://, webcam:0 ...), together; or files, one after the other",
        ),
    ],
    *,
    when: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CONDITION",
            help="tell when this comes true: words, or a question of yes and no; repeatable",
        ),
    ] = None,
    notify: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URL",
            help="send each event there, as JSON; repeatable [env var: LONGTAKE_WEBHOOK_SECRET "
            "signs it]",
        ),
    ] = None,
    run: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CMD",
            help="run this for each event, without a shell, with JSON on its stdin; repeatable",
        ),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="end at the first event")] = False,
    until: live_flags.UntilOption = None,
    every: Annotated[
        float,
        typer.Option(
            parser=flags.number, metavar="S", help="seconds from one judgement to the next"
        ),
    ] = 1.0,
    cooldown: Annotated[
        float,
        typer.Option(
            parser=flags.number, metavar="S", help="seconds from one event to the next, at least"
        ),
    ] = 30.0,
    confirm: Annotated[
        int,
        typer.Option(
            parser=flags.whole, metavar="N", help="judgements in a row that make an event"
        ),
    ] = 2,
    threshold: Annotated[
        float,
        typer.Option(
            parser=flags.number, metavar="P", help="probability of yes from which it is true"
        ),
    ] = 0.5,
    evidence_dir: Annotated[
        Path | None,
        typer.Option(
            parser=flags.folder, metavar="DIR", help="write pictures of the evidence there, as JPEG"
        ),
    ] = None,
    model: Annotated[Given, flags.MODEL],
    memory: flags.MemoryOption = None,
    stream: Annotated[Given, flags.STREAM],
    start: flags.StartOption = None,
    stop: flags.StopOption = None,
    store: Annotated[Given, flags.STORE],
    capture: Annotated[Given, capture_flags.CAPTURE],
    camera: live_flags.CameraOption = None,
    as_json: flags.JsonOption = False,
    jsonl: Annotated[
        bool, typer.Option("--jsonl", help="one JSON object a line, as events come")
    ] = False,
) -> int:
    """Watch cameras or files, and tell when something comes true.

    longtake watch rtsp://cam.local/main --memory runs/door

    longtake watch rtsp://cam.local/main --when "is there a red ring?" --notify https://my.host/in

    longtake watch webcam:0 --when "is there a blue star?" --once --until 10m

    longtake watch rtsp://a/1 rtsp://b/1 --camera door --camera yard --when "there is a star"

    longtake watch street.mp4 --when "is there a red ring?" --jsonl

    Without --when the memory is filled, until Ctrl-C, --until or the source's end.
    """
    from longtake.cli import run_watch

    if as_json and jsonl:
        raise ValueError("--json and --jsonl: choose one form of output")
    settings = capture_flags.watching_settings(capture, **model, **stream, **store)
    return run_watch.run(
        run_watch.Request(
            videos=tuple(videos),
            settings=settings,
            memory=memory,
            names=tuple(camera or ()),
            start_s=flags.seconds("--from", start),
            stop_s=flags.seconds("--to", stop),
            conditions=tuple(when or ()),
            notify=tuple(notify or ()),
            commands=tuple(run or ()),
            once=once,
            until=live_flags.until(until, datetime.now()),
            every_s=every,
            cooldown_s=cooldown,
            confirm=confirm,
            threshold=threshold,
            evidence_dir=evidence_dir,
            form="json" if as_json else "jsonl" if jsonl else "text",
        )
    )
