"""``longtake doctor``: its flags."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from longtake.cli import flags


def doctor(
    model: flags.ModelOption = None,
    memory: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="look at this memory folder; the current one else"),
    ] = None,
    device: flags.DeviceOption = None,
    dtype: flags.DtypeOption = None,
    quantize: flags.QuantizeOption = None,
    max_pixels: flags.MaxPixelsOption = None,
    as_json: flags.JsonOption = False,
) -> int:
    """Look at this machine: what is there, what is missing, and what to do about it.

    With --model, load it too, time it, and compare it with plain transformers in float32.

    longtake doctor

    longtake doctor --model embedded --memory runs/street
    """
    from longtake.cli import run_doctor

    return run_doctor.run(
        model=model,
        memory=memory,
        device=device,
        dtype=dtype,
        quantize=quantize,
        max_pixels=max_pixels,
        as_json=as_json,
    )
