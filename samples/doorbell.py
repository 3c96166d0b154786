"""A doorbell with evidence: says who is there, and leaves the pictures of the moment.

    python samples/doorbell.py                                        # a drawn clip, as a camera
    python samples/doorbell.py rtsp://cam/door --when "is somebody at the door?" --model CHECKPOINT
    python samples/doorbell.py recording.mp4 --notify https://example.org/hook

Each time the alert fires, ``--out`` gets a folder with the pictures that led up to it and a page,
`index.html`, that shows them; ``--notify`` posts the same event as JSON, signed where the
variable LONGTAKE_WEBHOOK_SECRET is set.  Without a source a clip of the embedded model's own
drawn world is played at its own pace, and what it really showed is told at the end.
It ends with the source, after ``--seconds``, or with Ctrl-C.
"""

from __future__ import annotations

import argparse
import html
import math
import os
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import longtake
from longtake.models.embedded.filming import write_film
from longtake.models.embedded.world import PAIRS, Film

VISITOR = ("heart", "red")
CONDITION = "is there a red heart?"
CAMERA = "door"
LOOK_S = 0.25  # how often it looks how the camera is
FINE = ("live", "ended")  # states that need no reason
LOOK_BACK_S = 6.0  # the page shows so much of the time before
MOST_PICTURES = 24
PAGE = """<!doctype html><meta charset="utf-8"><title>{title}</title>
<style>body{{font:16px sans-serif;margin:2em;background:#f6f6f4}}main{{display:flex;flex-wrap:wrap;
gap:1em}}figure{{margin:0}}img{{width:12em;border:4px solid #ccc}}.evidence img{{border-color:#d33}}
</style><h1>{title}</h1><p>{about}</p><main>{figures}</main>
"""
FIGURE = '<figure class="{kind}"><img src="{name}"><figcaption>{start:.1f} s</figcaption></figure>'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", nargs="?", help="camera or file; a drawn clip without one")
    parser.add_argument("--when", default=CONDITION, help="what rings the bell")
    parser.add_argument("--model", default="embedded", help="a checkpoint; it sees drawn shapes")
    parser.add_argument("--out", type=Path, default=Path("runs/doorbell"), help="for the pages")
    parser.add_argument("--notify", metavar="URL", help="a webhook that is told too")
    parser.add_argument("--seconds", type=above_0, help="end after so long")
    chosen = parser.parse_args()
    if chosen.source is None:
        watch_a_clip(chosen)
        return
    try:
        watch(chosen, chosen.source, longtake.CaptureConfig())
    except OSError as error:  # a file that is not there, an address of no kind that is known
        raise SystemExit(f"doorbell.py: {error}") from None


def above_0(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text}: must be more than 0")
    return seconds


def watch_a_clip(chosen: argparse.Namespace) -> None:
    """A drawn one, as if it were a camera."""
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "door.mp4"
        film = draw_street(clip, max(1, round(chosen.seconds or 30)))
        watch(chosen, str(clip), longtake.CaptureConfig(live=True))
    for thing in film.things:
        if (thing.shape, thing.color) == VISITOR:
            print(f"the visitor was really there from {thing.start_s:.0f} to {thing.end_s:.0f} s")


def watch(chosen: argparse.Namespace, source: str, capture: longtake.CaptureConfig) -> None:
    """Until the source ends, the time is over, or Ctrl-C."""
    secret = os.environ.get("LONGTAKE_WEBHOOK_SECRET")
    actions = [longtake.Webhook(chosen.notify, secret)] if chosen.notify else []
    with longtake.open(model=chosen.model) as take:
        bell = Bell(take, chosen.out)
        alert = take.alert(chosen.when, actions=actions, cooldown_s=10.0)
        watching = take.watch(source, camera=CAMERA, capture=capture)
        print(f"watching {watching.address}; {chosen.when}")
        try:
            for event in events(take, alert, watching, chosen.seconds):
                bell.ring(event)
        except KeyboardInterrupt:
            print("stopped by hand")
    stats = alert.stats()  # the take is closed: every event was told, or counted
    print(f"looked {stats.judged} times, rang {stats.fired} times")
    if stats.failed + stats.dropped:
        print(f"not delivered: {stats.failed + stats.dropped}")


def events(
    take: longtake.Take,
    alert: longtake.Alert,
    watching: longtake.Watch | longtake.LiveWatch,
    seconds: float | None,
) -> Iterator[longtake.AlertEvent]:
    """As they come; says how the camera is whenever that changes."""
    end_s = math.inf if seconds is None else time.monotonic() + seconds
    before = ""
    while not alert.is_over:
        event = alert.poll(LOOK_S)
        if event is not None:
            yield event
        camera = take.stats().cameras.get(CAMERA)  # a file that is read to its end has none
        if camera is not None and camera.state != before:
            before = camera.state
            reason = "" if before in FINE else f": {camera.error}"
            print(f"{CAMERA} is {before}{reason}")
        if time.monotonic() > end_s:
            end_s = math.inf
            watching.stop()  # the alert ends when what came by then has been seen
    while (event := alert.poll()) is not None:
        yield event


class Bell:
    """Writes a page for each event."""

    def __init__(self, take: longtake.Take, out: Path) -> None:
        self._take, self._out = take, out

    def ring(self, event: longtake.AlertEvent) -> None:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(event.wall_s or time.time()))
        folder = self._out / f"{when.replace(' ', '_').replace(':', '')}-{event.number}"
        folder.mkdir(parents=True, exist_ok=True)
        figures = [*self._evidence(event, folder), *self._before(event, folder)]
        about = f"{when}, {event.at_s:.1f} s into the stream; probability {event.probability:.0%}"
        page = PAGE.format(
            title=html.escape(event.condition), about=about, figures="\n".join(figures)
        )
        (folder / "index.html").write_text(page)
        print(f"ding dong! {about}: {folder / 'index.html'}")

    def _evidence(self, event: longtake.AlertEvent, folder: Path) -> list[str]:
        """What the answer rested on, best first."""
        found = []
        for number, moment in enumerate(event.evidence):
            if moment.thumbnail is not None:
                name = f"evidence-{number}.jpg"
                (folder / name).write_bytes(moment.thumbnail)
                found.append(FIGURE.format(kind="evidence", name=name, start=moment.start_s))
        return found

    def _before(self, event: longtake.AlertEvent, folder: Path) -> list[str]:
        """The time that led up to it."""
        begin_s = max(0.0, event.at_s - LOOK_BACK_S)
        found = []
        for picture in self._take.frames(begin_s, event.fired_s)[-MOST_PICTURES:]:
            if picture.jpeg is not None:
                name = f"before-{picture.number}.jpg"
                (folder / name).write_bytes(picture.jpeg)
                found.append(FIGURE.format(kind="before", name=name, start=picture.start_s))
        return found


def draw_street(path: Path, seconds: int) -> Film:
    """A clip in which the visitor comes by, among others, and is drawn as a file."""
    rng = random.Random(3)
    others = [p for p in rng.sample(PAIRS, len(PAIRS)) if not set(p) & set(VISITOR)]
    film = Film(rng, seconds, pairs=[*others[3:], VISITOR, *others[:2]], refill=others)
    write_film(film, path, fps=8)
    return film


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:  # before there was anything to stop
        raise SystemExit(130) from None
