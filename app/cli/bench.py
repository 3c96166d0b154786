"""``longtake bench``: its commands and their flags."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from longtake.cli import flags
from longtake.cli.common import say, shared

if TYPE_CHECKING:
    from longtake.bench.model import Model

app = typer.Typer(
    help="Measure this machine: every run prints machine, versions, sizes and ratios.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


RepeatsOption = Annotated[
    int,
    typer.Option(
        parser=flags.whole, metavar="N", help="interleaved runs of each, the median counts"
    ),
]


@app.command()
@shared
def ingest(
    minutes: Annotated[
        float, typer.Option(parser=flags.number, metavar="M", help="length of the drawn clip")
    ] = 5.0,
    repeats: RepeatsOption = 5,
    model: flags.ModelOption = None,
    device: flags.DeviceOption = None,
    dtype: flags.DtypeOption = None,
    as_json: flags.JsonOption = False,
) -> None:
    """How fast a file is taken in, beside the model's bare forward.

    longtake bench ingest --minutes 1
    """
    from longtake.bench import ingest

    ingest.run(_settled(model, device, dtype), minutes, repeats, as_json, say)


@app.command()
@shared
def ask(
    minutes: Annotated[
        str,
        typer.Option(
            metavar="M[,M...]",
            help="length of the stream in memory; several (10,600) are compared with the first",
        ),
    ] = "60",
    repeats: Annotated[
        int, typer.Option(parser=flags.whole, metavar="N", help="questions, the median counts")
    ] = 20,
    model: flags.ModelOption = None,
    device: flags.DeviceOption = None,
    dtype: flags.DtypeOption = None,
    as_json: flags.JsonOption = False,
) -> None:
    """How fast an answer comes, beside encoding the video again.

    longtake bench ask --minutes 10,600
    """
    from longtake.bench import ask

    lengths_min = [flags.number(part) for part in minutes.split(",")]
    ask.run(_settled(model, device, dtype), lengths_min, repeats, as_json, say)


@app.command()
@shared
def decode(
    seconds: Annotated[
        float, typer.Option(parser=flags.number, metavar="S", help="length of the 1080p clip")
    ] = 30.0,
    repeats: RepeatsOption = 5,
    as_json: flags.JsonOption = False,
) -> None:
    """How fast a 1080p file is read at 1 frame/s, beside ffmpeg's command line.

    longtake bench decode --repeats 3
    """
    from longtake.bench import decode

    decode.run(seconds, repeats, as_json, say)


@app.command()
@shared
def start(
    repeats: RepeatsOption = 5,
    model: flags.ModelOption = None,
    device: flags.DeviceOption = None,
    dtype: flags.DtypeOption = None,
    as_json: flags.JsonOption = False,
) -> None:
    """How soon a new process answers, beside one that only loads the weights.

    longtake bench start
    """
    from longtake.bench import start

    start.run(_settled(model, device, dtype), repeats, as_json, say)


@app.command()
@shared
def needle(
    seed: Annotated[
        int, typer.Option(parser=flags.whole, metavar="N", help="draws streams and questions")
    ] = 1,
    episodes: Annotated[
        int,
        typer.Option(
            parser=flags.whole, metavar="N", help="questions of each kind at each distance"
        ),
    ] = 24,
    distance: Annotated[
        str, typer.Option(metavar="T,T...", help="how far beyond the window the evidence lies")
    ] = "8s,16s,32s,64s,128s,256s,512s",
    top_k: Annotated[
        int, typer.Option(parser=flags.whole, metavar="K", help="chunks that each layer is given")
    ] = 8,
    codec: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="how all chunks are written: raw, int8, kivi4, kivi2; compared with raw",
        ),
    ] = "raw",
    index: Annotated[
        str, typer.Option(metavar="NAME", help="who searches: auto, exact, faiss, staged")
    ] = "auto",
    scores: Annotated[
        str,
        typer.Option(metavar="HOW", help="what recall ranks by: plain, centred, or centred:N"),
    ] = "plain",
    diversity: Annotated[
        float,
        typer.Option(
            parser=flags.number,
            metavar="S",
            help="chunks within S seconds of a better one are recalled last",
        ),
    ] = 0.0,
    mode: Annotated[
        str, typer.Option(metavar="MODE", help="how it sees and answers: recall or rekv")
    ] = "recall",
    model: flags.ModelOption = None,
    device: flags.DeviceOption = None,
    dtype: flags.DtypeOption = None,
    as_json: flags.JsonOption = False,
) -> None:
    """Whether recall finds what left the window long ago, beside what else could be recalled.

    longtake bench needle --episodes 8 --distance 8s,64s

    longtake bench needle --episodes 8 --codec kivi4
    """
    from longtake.bench import needle
    from longtake.bench.needle_setup import Setup
    from longtake.bench.needle_streams import Plan

    plan = Plan(seed=seed, episodes=episodes, distances_s=distances(distance), top_k=top_k)
    setup = Setup(mode=mode, codec=codec, index=index, scores=scores, diversity_s=diversity)
    needle.run(_settled(model, device, dtype), plan, setup, as_json, say)


@app.command()
@shared
def memory(
    only: Annotated[
        str,
        typer.Option(metavar="PART,...", help="some of codecs, disk, search, stream"),
    ] = "codecs,disk,search,stream",
    folder: Annotated[
        Path | None,
        typer.Option(
            "--dir", parser=flags.folder, metavar="DIR", help="on the disk that is measured"
        ),
    ] = None,
    repeats: RepeatsOption = 5,
    model: flags.ModelOption = None,
    device: flags.DeviceOption = None,
    dtype: flags.DtypeOption = None,
    as_json: flags.JsonOption = False,
) -> None:
    """What it costs to keep the past: bytes by codec, the log beside other stores, search, CPU.

    longtake bench memory --only disk --dir /mnt/disk
    """
    from longtake.bench import memory

    parts = [part.strip() for part in only.split(",")]
    memory.run(_settled(model, device, dtype), parts, repeats, folder, as_json, say)


@app.command()
@shared
def live(
    seconds: Annotated[
        float,
        typer.Option(
            parser=flags.number, metavar="S", help="how long the camera is watched each time"
        ),
    ] = 60.0,
    only: Annotated[
        str, typer.Option(metavar="PART,...", help="some of age, push, ask, ingest")
    ] = "age,push,ask,ingest",
    repeats: RepeatsOption = 3,
    seed: Annotated[
        int, typer.Option(parser=flags.whole, metavar="N", help="draws pictures and moments")
    ] = 1,
    model: flags.ModelOption = None,
    device: flags.DeviceOption = None,
    dtype: flags.DtypeOption = None,
    as_json: flags.JsonOption = False,
) -> None:
    """How old a camera's newest picture is, what a push costs, and asking beside seeing.

    longtake bench live --seconds 120 --only age
    """
    from longtake.bench import live

    parts = [part.strip() for part in only.split(",")]
    settled = _settled(model, device, dtype)
    live.run(settled, parts, seconds, repeats, seed, as_json, say)


@app.command()
@shared
def serve(
    seconds: Annotated[
        float,
        typer.Option(
            parser=flags.number, metavar="S", help="how long cameras and viewers are measured"
        ),
    ] = 20.0,
    only: Annotated[
        str,
        typer.Option(metavar="PART,...", help="some of webcam, viewers, questions, first, page"),
    ] = "webcam,viewers,questions,first,page",
    browser: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="a Chromium; where not given, the one on the PATH"),
    ] = None,
    repeats: RepeatsOption = 5,
    seed: Annotated[int, typer.Option(parser=flags.whole, metavar="N", help="draws pictures")] = 1,
    model: flags.ModelOption = None,
    device: flags.DeviceOption = None,
    dtype: flags.DtypeOption = None,
    as_json: flags.JsonOption = False,
) -> None:
    """What the server and its page add: camera, viewers, many questions, first token, first use.

    longtake bench serve --only viewers,first
    """
    from longtake.bench import serve

    parts = [part.strip() for part in only.split(",")]
    settled = _settled(model, device, dtype)
    serve.run(settled, parts, seconds, repeats, seed, browser, as_json, say)


def distances(text: str) -> tuple[float, ...]:
    """``8s,64s`` -> seconds, rising, each once.

    Raises:
        ValueError: names the part that is no time, or not positive.
    """
    found = set()
    for part in text.split(","):
        distance_s = flags.seconds("--distance", part.strip())
        if not distance_s:
            raise ValueError(f"--distance {part}: must be more than 0 s, as in 8s,64s")
        found.add(distance_s)
    return tuple(sorted(found))


def _settled(model: str | None, device: str | None, dtype: str | None) -> Model:
    """Flags, the environment and the configuration file, as for every other command."""
    from longtake.bench.model import Model

    found = flags.settings({"model": model, "device": device, "dtype": dtype})
    return Model(found.model, found.device, found.dtype, found.quantize, found.max_pixels)
