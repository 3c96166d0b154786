"""Write a tiny random checkpoint, by hand."""

from __future__ import annotations

import argparse
from pathlib import Path

from tests.checkpoints import FAMILIES, write

parser = argparse.ArgumentParser(prog="tests.checkpoints", description=__doc__)
parser.add_argument("--family", choices=sorted(FAMILIES), required=True)
parser.add_argument("--out", type=Path, required=True)
parser.add_argument("--seed", type=int, default=0)
chosen = parser.parse_args()
print(write(chosen.family, chosen.out, chosen.seed))
