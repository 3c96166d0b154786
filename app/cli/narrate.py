"""``longtake narrate``: its flags."""

from __future__ import annotations

from typing import Annotated

import typer

from longtake.cli import flags


def narrate(
    videos: Annotated[
        list[str], typer.Argument(metavar="VIDEO...", help="files or folders (- is stdin)")
    ],
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
    model: flags.ModelOption = None,
    memory: flags.MemoryOption = None,
    mode: flags.ModeOption = None,
    fps: flags.FpsOption = None,
    start: flags.StartOption = None,
    stop: flags.StopOption = None,
    window: flags.WindowOption = None,
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

    longtake narrate street.mp4 --request "what colour was the star?" --window 2

    The embedded model was not trained to narrate: it answers the request anew at each moment, so
    it needs a question that it knows, as in the last line.
    """
    from longtake.cli import run_narrate

    forms: dict[run_narrate.Form, bool] = {"json": as_json, "jsonl": jsonl, "srt": srt, "vtt": vtt}
    chosen = [name for name, on in forms.items() if on]
    if len(chosen) > 1:
        raise ValueError(f"--{' and --'.join(chosen)}: choose one form of output")
    return run_narrate.run(
        run_narrate.Request(
            videos=tuple(videos),
            settings=flags.take_settings(
                model=model,
                mode=mode,
                device=device,
                dtype=dtype,
                quantize=quantize,
                max_pixels=max_pixels,
                fps=fps,
                window=window,
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
            telling=run_narrate.make_telling(request, every, rule, ratio, threshold),
            sampling={"temperature": temperature, "top_p": top_p, "seed": seed},
            memory=memory,
            start_s=flags.seconds("--from", start),
            stop_s=flags.seconds("--to", stop),
            form=chosen[0] if chosen else "text",
        )
    )
