"""``longtake ask``: its flags."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from longtake.cli import capture_flags, flags, live_flags


def ask(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[VIDEO...] QUESTION...",
            help="files, folders (- is stdin) or live addresses (rtsp://, webcam:0 ...), then "
            "questions; no VIDEO where --memory holds the take",
        ),
    ] = None,
    model: flags.ModelOption = None,
    memory: flags.MemoryOption = None,
    fps: flags.FpsOption = None,
    start: flags.StartOption = None,
    stop: flags.StopOption = None,
    between: flags.BetweenOption = None,
    at: flags.AtOption = None,
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
    evidence_dir: Annotated[
        Path | None,
        typer.Option(
            parser=flags.folder, metavar="DIR", help="write pictures of the evidence there, as JPEG"
        ),
    ] = None,
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
    return run_ask.run(
        run_ask.Request(
            words=tuple(words or ()),
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
            for_s=live_flags.for_s(for_s),
            between_s=flags.between(between),
            at_s=flags.seconds("--at", at),
            evidence_dir=evidence_dir,
            form=chosen[0] if chosen else "text",
            strict=strict,
        )
    )
