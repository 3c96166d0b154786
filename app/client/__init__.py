"""longtake from another machine: the verbs of a take against a server.

What is imported here knows no model and no torch: a robot's machine needs httpx and websockets,
and numpy and OpenCV where it shows arrays of pixels in place of JPEGs.
"""

from longtake.busy import Busy
from longtake.client.client import Client
from longtake.client.frame_sender import PushCounts, Pushed
from longtake.client.remote_alert import RemoteAlert
from longtake.client.remote_asking import RemoteAsking
from longtake.client.remote_errors import RemoteError
from longtake.client.remote_take import Erased, RemoteTake
from longtake.client.remote_watch import RemoteWatch

__all__ = [
    "Busy",
    "Client",
    "Erased",
    "PushCounts",
    "Pushed",
    "RemoteAlert",
    "RemoteAsking",
    "RemoteError",
    "RemoteTake",
    "RemoteWatch",
]
