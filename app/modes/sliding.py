"""Window: sink and sliding window alone, nothing comes back (StreamingLLM, arXiv 2309.17453)."""

from __future__ import annotations

from longtake.modes.base import BaseMode
from longtake.recalling import Reach


class Sliding(BaseMode):
    """``[sink | window | dialogue and question]``."""

    name = "window"
    reach = Reach(recalls=False)
