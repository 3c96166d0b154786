"""Make a clip, watch it, ask about it, and compare with what is known to be right.

`scripts/demo` runs this.  Everything stays in runs/demo; a second run answers from the memory
that the first one made.  Further arguments go to ``longtake ask``.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import make_clips
from make_clips import Known

CLIP = "demo.mp4"
SECONDS, FPS = 240, 4


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = Path(__file__).resolve().parents[1] / "runs" / "demo"
    parser.add_argument("--folder", type=Path, default=default, help="clip, memory and pictures")
    parser.add_argument("--seconds", type=int, default=SECONDS, help="length of a new clip")
    chosen, further = parser.parse_known_args()
    folder = Path(os.path.relpath(chosen.folder))
    known = find_or_make(folder, chosen.seconds)
    clip, memory, pictures = (str(folder / name) for name in (CLIP, "memory", "evidence"))
    was_there = Path(memory).exists()
    command = [*program(), "ask", clip, *(k["question"] for k in known)]
    command += ["--memory", memory, "--evidence-dir", pictures, *further]
    print(f"\n$ {shlex.join(command)}\n", flush=True)
    begun = time.monotonic()
    code, spoken = run(command)
    took_s = time.monotonic() - begun
    if code:
        print(f"\nThe command failed with exit code {code}.", file=sys.stderr)
        if was_there:
            print(f"If its memory is the reason, start afresh: rm -r {folder}", file=sys.stderr)
        return code
    compare(known, spoken)
    print(f"\n{took_s:.1f} s in all, the start of Python and the model included.")
    suggest(clip, memory, pictures)
    return 0


def find_or_make(folder: Path, seconds: int) -> list[Known]:
    """The clip's questions; draws it where it is missing."""
    if (folder / CLIP).is_file() and (folder / make_clips.ANSWERS).is_file():
        print(f"{folder / CLIP} is there already; delete {folder} to begin anew.")
        known: list[Known] = json.loads((folder / make_clips.ANSWERS).read_text())
        return [k for k in known if k["clip"] == CLIP]
    print("There is no clip to watch yet: colored shapes, drawn from a seed, so that every")
    print("right answer is known.")
    return make_clips.make(folder, 1, [(CLIP, seconds, FPS)])


def program() -> list[str]:
    """The command line as one would type it here."""
    script = Path(sys.executable).with_name("longtake")
    return [os.path.relpath(script)] if script.exists() else [sys.executable, "-m", "longtake"]


def run(command: list[str]) -> tuple[int, list[str]]:
    """Run it in sight; its exit code, and the answers that it printed."""
    spoken = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            if line.startswith("A  "):
                spoken.append(line[3:].strip())
    return process.returncode, spoken


def compare(known: list[Known], spoken: list[str]) -> None:
    """Say which answers are right."""
    print("\nWhat the clip really showed:")
    right = 0
    for k, text in zip(known, spoken, strict=True):
        is_right = text.casefold() in [answer.casefold() for answer in k["answers"]]
        right += is_right
        span = k["span_s"]
        shown = "" if span is None else f"  (last shown from {span[0]:.0f} to {span[1]:.0f} s)"
        said = "right" if is_right else f"WRONG: it said {text!r}"
        print(f"  {k['question']:<36} {' or '.join(k['answers'])}{shown}: {said}")
    print(f"{right} of {len(known)} answers are right.")


def suggest(clip: str, memory: str, pictures: str) -> None:
    """What to try next."""
    longtake = shlex.join(program())
    print("\nTo try next:")
    print(f'  {longtake} ask {clip} "What shape was red?" "Did you see a blue star?"')
    print(f'  {longtake} ask --memory {memory} --at 1:00 "Was there a ring?"   # without the video')
    print(f"  ls {pictures}   # a picture of each piece of evidence;  {longtake} ask --help")


if __name__ == "__main__":
    raise SystemExit(main())
