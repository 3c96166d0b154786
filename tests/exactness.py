"""Print what docs/exactness.md shows: the worst errors by family, and how large mistakes are.

    python -m tests.exactness [FAMILY ...]

Three tables in Markdown, under the machine and the versions that they were measured on.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from longtake.hardware import machine
from longtake.settings import SELECTIONS
from tests import checkpoints, conformance, mutations
from tests.conformance import TOLERANCE, VARIANTS, Pair, Twins

Column = Mapping[str, str]  # of a table, one a family: what stands in each row


def main() -> None:
    families = sys.argv[1:] or sorted(checkpoints.FAMILIES)
    unknown = sorted(set(families) - set(checkpoints.FAMILIES))
    if unknown:
        sys.exit(f"{', '.join(unknown)}: not a family; {', '.join(checkpoints.FAMILIES)} are")
    torch.set_num_threads(1)
    exact, half, mistaken = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        for family in families:
            place = Path(folder) / family
            checkpoint = checkpoints.write(family, place / "default")
            twins = Twins.load(checkpoint)
            exact.append(float32(twins, family, place))
            half.append(bfloat16(checkpoint))
            mistaken.append(mistakes(twins))
    print(", ".join(f"{name} {value}" for name, value in machine().items()))
    for title, columns in (
        ("Float32, greatest difference of a logit", exact),
        ("Bfloat16, greatest difference as a share of the greatest logit", half),
        ("Mistakes, greatest difference of a logit of the answer", mistaken),
    ):
        print(f"\n{title}\n")
        print_table(families, columns)


def float32(twins: Twins, family: str, place: Path) -> Column:
    one_window = conformance.all_in_window(twins)
    found = {
        "greatest logit": f"{float(one_window.theirs.abs().max()):.1f}",
        "allowed": _small(TOLERANCE),
        "window longer than the stream": _small(one_window.worst),
        "all recalled, from RAM": _worst(conformance.all_recalled(twins)),
        "all recalled, from files": _worst(conformance.all_recalled(twins, 24, place / "take")),
    }
    for by in SELECTIONS:
        found[f"3 best chunks a layer, {by}"] = _worst(conformance.best_recalled(twins, by)[0])
    found["a question after every chunk"] = _small(conformance.trace_of_questions(twins))
    for variant, text in VARIANTS.items():
        other = Twins.load(checkpoints.write(family, place / variant, **text))
        pairs = [conformance.all_in_window(other), conformance.all_recalled(other)]
        pairs += [conformance.best_recalled(other, by)[0] for by in SELECTIONS]
        found[f"{variant}: all of these"] = _worst(*pairs)
    return found


def bfloat16(checkpoint: Path) -> Column:
    """Ours and plain transformers' own, both against float32 of the same rounded weights."""
    twins = Twins.load(checkpoint, "bfloat16")
    plain = conformance.load_plain(checkpoint, "bfloat16", "sdpa")
    heard = conformance.hear(twins.adapter, 7, window_s=20.0)
    exact = conformance.plain_logits(twins.plain, heard.parts)
    theirs = Pair(conformance.plain_logits(plain, heard.parts).float(), exact)
    return {
        "window longer than the stream": f"{conformance.all_in_window(twins).share:.1%}",
        "all recalled": f"{conformance.all_recalled(twins).share:.1%}",
        "plain transformers in bfloat16": f"{theirs.share:.1%}",
    }


def mistakes(twins: Twins) -> Column:
    found = {name: mistake(twins) for name, mistake in mutations.MISTAKES.items()}
    return {
        f"least that must be seen ({mutations.LEAST} x allowed)": _small(
            mutations.LEAST * TOLERANCE
        ),
        **{name: "-" if apart is None else f"{apart:.2g}" for name, apart in found.items()},
    }


def print_table(families: Sequence[str], columns: Sequence[Column]) -> None:
    print("| | " + " | ".join(families) + " |")
    print("|---" * (len(families) + 1) + "|")
    for row in columns[0]:
        print(f"| {row} | " + " | ".join(column[row] for column in columns) + " |")


def _worst(*pairs: Pair) -> str:
    return _small(max(pair.worst for pair in pairs))


def _small(error: float) -> str:
    return f"{error:.1e}" if error else "0"


if __name__ == "__main__":
    main()
