"""``longtake chat``: its flags."""

from __future__ import annotations

from typing import Annotated

import typer

from longtake.cli import capture_flags, flags, live_flags


def chat(
    videos: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[VIDEO...]",
            help="files, folders or live addresses (rtsp://, webcam:0 ...); none needed where "
            "--memory holds the take",
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

    settings = flags.take_settings(
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
    )
    return run_chat.run(
        run_chat.Request(
            videos=tuple(videos or ()),
            settings=settings,
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
            as_json=as_json,
        )
    )
