"""Flags that several commands share, and how their values are read.

Values are words here; a value that makes no sense is a `ValueError` that names it and the rule.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from longtake.cli.common import config_file
from longtake.cli.flag_groups import Group
from longtake.config import size

if TYPE_CHECKING:
    from longtake.config import Settings


def number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a number") from None


def whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a whole number") from None


def folder(text: str) -> Path:
    """Where something is kept; an empty name would be the current folder, which nobody meant."""
    if not text:
        raise ValueError("the name of a folder is empty (an unset variable?); . is the current one")
    return Path(text)


def seconds(flag: str, text: str | None) -> float | None:
    """``90``, ``1:30`` or ``0:01:30`` -> seconds.

    Raises:
        ValueError: names the flag and the forms that are understood.
    """
    if text is None:
        return None
    try:
        parts = [float(part) for part in text.removesuffix("s").split(":")]
    except ValueError:
        parts = []
    bad = not 1 <= len(parts) <= 3 or any(not 0 <= p < float("inf") for p in parts)
    if bad or any(p >= 60 for p in parts[1:]):
        raise ValueError(f"{flag} {text}: must be seconds (90), m:ss (1:30) or h:mm:ss")
    total = 0.0
    for part in parts:
        total = total * 60 + part
    return total


def between(texts: tuple[str, str] | None) -> tuple[float, float] | None:
    """Two times in order."""
    if texts is None:
        return None
    first, last = (seconds("--between", text) for text in texts)
    assert first is not None and last is not None
    if last < first:
        raise ValueError(f"--between {texts[0]} {texts[1]}: the second time must not be earlier")
    return first, last


ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        metavar="NAME",
        help="embedded (default), a checkpoint folder, or a hub id",
    ),
]
MemoryOption = Annotated[
    Path | None,
    typer.Option(
        parser=folder, metavar="DIR", help="folder that keeps the take; made where missing"
    ),
]
DeviceOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="auto (default), cpu, cuda, cuda:1 ...")
]
DtypeOption = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="auto (default), float32, bfloat16, float16"),
]
QuantizeOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="none (default), 4bit or 8bit: weights in fewer bits, by bitsandbytes",
    ),
]
MaxPixelsOption = Annotated[
    int | None,
    typer.Option(
        parser=whole, metavar="N", help="most pixels of a step's frames; fewer need less memory"
    ),
]
FpsOption = Annotated[
    float | None,
    typer.Option(parser=number, metavar="N", help="frames a second that the model sees"),
]
StartOption = Annotated[
    str | None, typer.Option("--from", metavar="T", help="see the video from here (m:ss or s)")
]
StopOption = Annotated[
    str | None, typer.Option("--to", metavar="T", help="see the video up to here")
]
BetweenOption = Annotated[
    tuple[str, str] | None,
    typer.Option(metavar="A B", help="recall only from between these two times"),
]
AtOption = Annotated[
    str | None, typer.Option(metavar="T", help="answer as if nothing later had been seen")
]
WindowOption = Annotated[
    float | None,
    typer.Option(parser=number, metavar="S", help="seconds of stream kept on the device"),
]
TopKOption = Annotated[
    int | None,
    typer.Option(parser=whole, metavar="K", help="chunks that each layer recalls"),
]
ModeOption = Annotated[
    str | None,
    typer.Option(
        metavar="MODE",
        help="how it sees and answers: recall (default), rekv, streamingvlm, window, full",
    ),
]
SelectOption = Annotated[
    str | None,
    typer.Option(
        metavar="HOW",
        help="how layers choose what they recall: dependent (real checkpoints) or blind",
    ),
]
RecallOption = Annotated[
    str | None,
    typer.Option(
        metavar="PLAN",
        help="who chooses: model (default), recent:N, uniform:N, times, embedding:NAME; "
        "several with commas",
    ),
]
RecallTokensOption = Annotated[
    int | None,
    typer.Option(parser=whole, metavar="N", help="most tokens that recall may bring a layer"),
]
ScoresOption = Annotated[
    str | None,
    typer.Option(
        metavar="HOW",
        help="what the model's recall ranks chunks by: plain (default), centred, or centred:N",
    ),
]
DiversityOption = Annotated[
    float | None,
    typer.Option(
        parser=number,
        metavar="S",
        help="chunks that begin within S seconds of a better one are recalled last",
    ),
]
RamOption = Annotated[
    int | None,
    typer.Option(parser=size, metavar="SIZE", help="chunks kept in RAM beside the disk"),
]
DiskOption = Annotated[
    int | None,
    typer.Option(parser=size, metavar="SIZE", help="most that the memory may take on disk"),
]
CodecOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="how chunks are kept: raw (default), int8, kivi4, kivi2; fewer bits"
    ),
]
LadderOption = Annotated[
    str | None,
    typer.Option(
        metavar="RUNGS",
        help="what becomes of old chunks: int8@1h,kivi4@1d,kivi2,picture,gone@90d; none",
    ),
]
BackPressureOption = Annotated[
    str | None,
    typer.Option(
        metavar="POLICY",
        help="where the disk is too slow: block (default), degrade, drop",
    ),
]
IndexOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="who searches the memory: auto (default), exact, faiss, staged"
    ),
]
TemperatureOption = Annotated[
    float | None, typer.Option(parser=number, metavar="X", help="0: greedy; above: sampled")
]
TopPOption = Annotated[
    float | None,
    typer.Option(parser=number, metavar="P", help="sample from this share of probability"),
]
SeedOption = Annotated[int | None, typer.Option(parser=whole, metavar="N", help="of the sampling")]
JsonOption = Annotated[bool, typer.Option("--json", help="one JSON object on stdout")]

MODEL = Group.of(
    model=ModelOption,
    device=DeviceOption,
    dtype=DtypeOption,
    quantize=QuantizeOption,
    max_pixels=MaxPixelsOption,
)
STREAM = Group.of(mode=ModeOption, fps=FpsOption, window=WindowOption)
RECALL = Group.of(
    top_k=TopKOption,
    select=SelectOption,
    recall=RecallOption,
    recall_tokens=RecallTokensOption,
    scores=ScoresOption,
    diversity=DiversityOption,
)
STORE = Group.of(
    ram_bytes=RamOption,
    disk_bytes=DiskOption,
    codec=CodecOption,
    ladder=LadderOption,
    back_pressure=BackPressureOption,
    index=IndexOption,
)
DECODING = Group.of(temperature=TemperatureOption, top_p=TopPOption, seed=SeedOption)


_KEYS = {
    "model": "model",
    "device": "device",
    "dtype": "dtype",
    "quantize": "quantize",
    "max_pixels": "max_pixels",
    "mode": "take.mode",
    "select": "take.select",
    "recall": "take.recall",
    "recall_tokens": "take.recall_tokens",
    "scores": "take.scores",
    "diversity": "take.diversity_s",
    "fps": "take.fps",
    "window": "take.window_s",
    "top_k": "take.top_k",
    "ram_bytes": "memory.ram_bytes",
    "disk_bytes": "memory.disk_bytes",
    "codec": "memory.codec",
    "ladder": "memory.ladder",
    "back_pressure": "memory.back_pressure",
    "index": "memory.index",
    "temperature": "decoding.temperature",
    "top_p": "decoding.top_p",
    "seed": "decoding.seed",
    "preset": "capture.preset",
    "policy": "capture.policy",
    "sampling": "capture.sampling",
    "still": "capture.still",
    "scene": "capture.scene",
    "stall": "capture.stall_s",
    "reconnects": "capture.reconnects",
}


def settings(given: Mapping[str, object]) -> Settings:
    """Flags, the environment and the configuration file, settled.

    Args:
        given: values of flags by their key in the configuration, None where one was not given.

    Raises:
        ConfigError: if the file or the environment holds what cannot be used.
        ValueError: if a flag does.
    """
    from longtake.config import gather

    return gather(config_file(), os.environ, given).settings


def settings_of_flags(given: Mapping[str, object]) -> Settings:
    """Flags alone, where neither file nor environment can be used.  Raises ValueError."""
    from longtake.config import gather

    return gather(None, {}, given).settings


def take_settings(more: Mapping[str, object] | None = None, /, **given: object) -> Settings:
    """The flags of commands that open a take, by name (`_KEYS`), and more by key; see
    `settings`."""
    return settings({**{_KEYS[name]: value for name, value in given.items()}, **(more or {})})
