"""Values that transformers' own processors gave, for `models.pixels` to be held against.

The processors need torchvision.  Where none fits this torch, importing this package before
transformers makes one importable whose compiled half does not work:

    TORCHVISION_FOLDER=DIR python -m tests.golden.make
    TORCHVISION_FOLDER=DIR python -m pytest -p tests.golden tests/test_pixels.py

DIR is where ``pip install --no-deps --target DIR torchvision pillow num2words docopt`` put them
(the last two are for SmolVLM's prompts).  Resizing and normalising need torchvision's Python half
alone; of its operators the declarations are enough.  Without the variable nothing is done: the
torchvision that is installed is taken.
"""

from __future__ import annotations

import os
import sys

import torch

_DECLARED = ("nms", "qnms")  # what its import asks for
if "TORCHVISION_FOLDER" in os.environ:
    sys.path.append(os.environ["TORCHVISION_FOLDER"])
    library = torch.library.Library("torchvision", "DEF")  # kept: its declarations go with it
    for name in _DECLARED:
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
