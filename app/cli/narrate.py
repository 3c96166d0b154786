"""``longtake narrate``: its flags."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from longtake.cli import capture_flags, flags, live_flags


def narrate(
    videos: Annotated[
        list[str],
        typer.Argument(
            metavar="VIDEO...",
            help="files, folders (- is stdin) or live addresses (rtsp://, webcam:0 ...)",
        ),
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
    live: capture_flags.LiveOption = None,
    preset: capture_flags.PresetOption = None,
    av_opt: capture_flags.AvOption = None,
    policy: capture_flags.PolicyOption = None,
    sampling: capture_flags.SamplingOption = None,
    still: capture_flags.StillOption = None,
    scene: capture_flags.SceneOption = None,
    mask: capture_flags.MaskOption = None,
    stall: capture_flags.StallOption = None,
    reconnects: capture_flags.ReconnectsOption = None,
    allow_lavfi: capture_flags.AllowLavfiOption = False,
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
    settings = flags.take_settings(
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
    )
    return run_narrate.run(
        run_narrate.Request(
            videos=tuple(videos),
            settings=settings,
            telling=run_narrate.make_telling(request, every, rule, ratio, threshold),
            sampling={"temperature": temperature, "top_p": top_p, "seed": seed},
            memory=memory,
            capture=capture_flags.capture_config(
                base=settings.take.capture,
                live=live,
                preset=preset,
                av_opt=av_opt,
                policy=policy,
                sampling=sampling,
                still=still,
                scene=scene,
                mask=mask,
                stall=stall,
                reconnects=reconnects,
                allow_lavfi=allow_lavfi,
            ),
            names=tuple(camera or ()),
            start_s=flags.seconds("--from", start),
            stop_s=flags.seconds("--to", stop),
            until=live_flags.until(until, datetime.now()),
            form=chosen[0] if chosen else "text",
        )
    )
