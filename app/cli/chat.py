"""``longtake chat``: its flags."""

from __future__ import annotations

from typing import Annotated

import typer

from longtake.cli import flags


def chat(
    videos: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[VIDEO...]",
            help="files or folders; none needed where --memory holds the take",
        ),
    ] = None,
    model: flags.ModelOption = None,
    memory: flags.MemoryOption = None,
    fps: flags.FpsOption = None,
    start: flags.StartOption = None,
    stop: flags.StopOption = None,
    window: flags.WindowOption = None,
    top_k: flags.TopKOption = None,
    mode: flags.ModeOption = None,
    select: flags.SelectOption = None,
    recall: flags.RecallOption = None,
    recall_tokens: flags.RecallTokensOption = None,
    scores: flags.ScoresOption = None,
    diversity: flags.DiversityOption = None,
    ram_bytes: flags.RamOption = None,
    disk_bytes: flags.DiskOption = None,
    codec: flags.CodecOption = None,
    ladder: flags.LadderOption = None,
    back_pressure: flags.BackPressureOption = None,
    index: flags.IndexOption = None,
    temperature: flags.TemperatureOption = None,
    top_p: flags.TopPOption = None,
    seed: flags.SeedOption = None,
    device: flags.DeviceOption = None,
    dtype: flags.DtypeOption = None,
    quantize: flags.QuantizeOption = None,
    max_pixels: flags.MaxPixelsOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="one JSON object a line for each question")
    ] = False,
) -> int:
    """Talk about a video: earlier questions and answers are remembered.

    Questions are read from the terminal, or line by line from a pipe.  /help in the chat lists
    its commands; Ctrl-C stops an answer, Ctrl-D ends the chat.

    longtake chat street.mp4

    longtake chat monday.mp4 tuesday.mp4 --memory runs/street

    longtake chat --memory runs/street

    echo "what colour was the star?" | longtake chat street.mp4 --json
    """
    from longtake.cli import run_chat

    return run_chat.run(
        run_chat.Request(
            videos=tuple(videos or ()),
            settings=flags.take_settings(
                model=model,
                device=device,
                dtype=dtype,
                quantize=quantize,
                max_pixels=max_pixels,
                fps=fps,
                window=window,
                top_k=top_k,
                mode=mode,
                select=select,
                recall=recall,
                recall_tokens=recall_tokens,
                scores=scores,
                diversity=diversity,
                ram_bytes=ram_bytes,
                disk_bytes=disk_bytes,
                codec=codec,
                ladder=ladder,
                back_pressure=back_pressure,
                index=index,
                temperature=temperature,
                top_p=top_p,
                seed=seed,
            ),
            memory=memory,
            start_s=flags.seconds("--from", start),
            stop_s=flags.seconds("--to", stop),
            as_json=as_json,
        )
    )
