"""Where things lie on this machine is nobody's business who visits it: paths are taken out of what
visitors are told.  Paths of the API, devices, and addresses of cameras stay.
"""

from __future__ import annotations

import re

# Absolute, of two names or more; not a part of an address (`rtsp://host/a/b`) or of another path.
_PATH = re.compile(r"(?<![\w/:.\]~*-])/(?!v1/|dev/|static/)(?:[^\s/:'\",;()]+/)+([^\s/:'\",;()]*)")
_LEADING = re.compile(rf"\A['\"]?{_PATH.pattern}['\"]?: ")


def without_places(text: str) -> str:
    """A path at the beginning of a message goes; of any other one its last name stays."""
    return _PATH.sub(r"\1", _LEADING.sub("", text))
