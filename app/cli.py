"""The command line: what can be typed, and how it ends.

Only words and numbers are read here; what a command does is imported when it runs, so that
``--help`` needs neither torch nor a model.  Answers go to stdout, everything else to stderr.

Exit codes: 0 ok, 2 usage, 3 configuration (a memory folder that cannot be used), 4 source,
5 model or device, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from longtake import __version__

USAGE, CONFIGURATION, SOURCE, MODEL, INTERRUPTED = 2, 3, 4, 5, 130

app = typer.Typer(
    name="longtake",
    help="Watch a video for hours, forget nothing, and ask about any moment of it.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
bench = typer.Typer(
    help="Measure this machine: every run prints machine, versions, sizes and ratios.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(bench, name="bench")

ModelOption = Annotated[
    str,
    typer.Option(
        "--model", "-m", metavar="NAME", help="embedded, a checkpoint folder, or a hub id"
    ),
]
DeviceOption = Annotated[str, typer.Option(metavar="NAME", help="auto, cpu, cuda, cuda:1 ...")]
DtypeOption = Annotated[str, typer.Option(metavar="NAME", help="auto, float32, bfloat16, float16")]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a number") from None


def _bytes(text: str) -> int:
    """``1500``, ``200M``, ``4G``, ``1.5T``: powers of 1024."""
    number, unit = (text[:-1], text[-1].upper()) if text[-1:].isalpha() else (text, "")
    units = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
    try:
        return int(float(number) * units[unit])
    except (KeyError, ValueError, OverflowError):
        raise ValueError(f"{text!r} is not a size: write bytes, or 200M, 4G, 1.5T") from None


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a whole number") from None


JsonOption = Annotated[bool, typer.Option("--json", help="one JSON object on stdout")]


def _version(wanted: bool) -> None:
    if wanted:
        print(f"longtake {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="show and leave")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="let the traceback of an error through")
    ] = False,
) -> None:
    if debug:
        os.environ["LONGTAKE_DEBUG"] = "1"


@app.command()
def ask(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[VIDEO] QUESTION...",
            help="a file or folder, then questions; no VIDEO where --memory holds the take",
        ),
    ] = None,
    model: ModelOption = "embedded",
    memory: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="folder that keeps the take; made where missing"),
    ] = None,
    fps: Annotated[
        float | None,
        typer.Option(parser=_number, metavar="N", help="frames a second that the model sees"),
    ] = None,
    start: Annotated[
        str | None, typer.Option("--from", metavar="T", help="see the video from here (m:ss or s)")
    ] = None,
    stop: Annotated[
        str | None, typer.Option("--to", metavar="T", help="see the video up to here")
    ] = None,
    between: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="A B", help="recall only from between these two times"),
    ] = None,
    at: Annotated[
        str | None, typer.Option(metavar="T", help="answer as if nothing later had been seen")
    ] = None,
    window: Annotated[
        float | None,
        typer.Option(parser=_number, metavar="S", help="seconds of stream kept on the device"),
    ] = None,
    top_k: Annotated[
        int | None,
        typer.Option(parser=_whole, metavar="K", help="chunks that each layer recalls"),
    ] = None,
    ram_bytes: Annotated[
        int | None,
        typer.Option(parser=_bytes, metavar="SIZE", help="chunks kept in RAM beside the disk"),
    ] = None,
    disk_bytes: Annotated[
        int | None,
        typer.Option(parser=_bytes, metavar="SIZE", help="most that the memory may take on disk"),
    ] = None,
    temperature: Annotated[
        float, typer.Option(parser=_number, metavar="X", help="0: greedy; above: sampled")
    ] = 0.0,
    top_p: Annotated[
        float,
        typer.Option(parser=_number, metavar="P", help="sample from this share of probability"),
    ] = 1.0,
    seed: Annotated[int, typer.Option(parser=_whole, metavar="N", help="of the sampling")] = 0,
    evidence_dir: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="write pictures of the evidence there, as JPEG"),
    ] = None,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Ask one or more questions about a video.

    longtake ask street.mp4 "what colour was the star?" "was there a red ring?"

    longtake ask --memory runs/street street.mp4 "what shape was green?"

    longtake ask --memory runs/street --at 2:00 "was there a red ring?"
    """
    from longtake import ask_command

    ask_command.run(
        ask_command.Request(
            words=tuple(words or ()),
            model=model,
            memory=memory,
            fps=fps,
            start_s=ask_command.parse_time("--from", start),
            stop_s=ask_command.parse_time("--to", stop),
            between_s=ask_command.parse_between(between),
            at_s=ask_command.parse_time("--at", at),
            window_s=window,
            top_k=top_k,
            ram_bytes=ram_bytes,
            disk_bytes=disk_bytes,
            temperature=temperature,
            top_p=top_p,
            seed=seed,
            evidence_dir=evidence_dir,
            device=device,
            dtype=dtype,
            as_json=as_json,
        )
    )


@bench.command("ingest")
def bench_ingest(
    minutes: Annotated[
        float, typer.Option(parser=_number, metavar="M", help="length of the drawn clip")
    ] = 5.0,
    repeats: Annotated[
        int,
        typer.Option(
            parser=_whole, metavar="N", help="interleaved runs of each, the median counts"
        ),
    ] = 5,
    model: ModelOption = "embedded",
    as_json: JsonOption = False,
) -> None:
    """How fast a file is taken in, beside the model's bare forward."""
    from longtake import bench_command

    bench_command.ingest(model, minutes, repeats, as_json)


@bench.command("ask")
def bench_ask(
    minutes: Annotated[
        float, typer.Option(parser=_number, metavar="M", help="length of the stream in memory")
    ] = 60.0,
    repeats: Annotated[
        int, typer.Option(parser=_whole, metavar="N", help="questions, the median counts")
    ] = 20,
    model: ModelOption = "embedded",
    as_json: JsonOption = False,
) -> None:
    """How fast an answer comes, beside encoding the video again."""
    from longtake import bench_command

    bench_command.ask(model, minutes, repeats, as_json)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns its exit code and prints one line for an error."""
    try:
        code = _run(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = INTERRUPTED
    except SystemExit:  # typer's way with a closed pipe
        return 0
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if os.environ.get("LONGTAKE_DEBUG"):
            raise
        return _end(_one_line(error), _exit_code(error))
    if code == INTERRUPTED:
        _end("interrupted; what was seen is kept where --memory names a folder", code)
    return code


def _run(arguments: list[str] | None) -> int:
    """Parse and run; what typer complains about while parsing ends with `USAGE`."""
    try:
        result: Any = app(args=arguments, prog_name="longtake", standalone_mode=False)
    except Exception as error:
        describe = getattr(error, "format_message", None)
        if describe is None:
            raise
        context = getattr(error, "ctx", None)
        path = "longtake" if context is None else context.command_path
        return _end(f"{describe()} (see {path} --help)", USAGE)
    return result if isinstance(result, int) else 0


def _end(message: str, code: int) -> int:
    print(f"longtake: {message}", file=sys.stderr)
    return code


def _exit_code(error: Exception) -> int:
    """By where the error comes from; unknown ones are our own mistakes."""
    from longtake.memory.catalog import WrongModel
    from longtake.memory.record import MemoryFromFuture
    from longtake.models.base import ModelError
    from longtake.streaming.errors import SourceError

    for kind, code in (
        (SourceError, SOURCE),
        (WrongModel, MODEL),
        (ModelError, MODEL),
        (MemoryFromFuture, CONFIGURATION),
        (ValueError, USAGE),
        (OSError, CONFIGURATION),
    ):
        if isinstance(error, kind):
            return code
    return 1


def _one_line(error: Exception) -> str:
    from longtake.streaming.errors import redact

    text = " ".join(str(error).split()) or type(error).__name__
    return redact(text)
