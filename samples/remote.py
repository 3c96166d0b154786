"""A robot whose longtake runs on another machine: ``remote.py http://host:7860 --seconds 20``.

The robot shows ten pictures a second, asks a question whenever the last one is answered, and stops
when an alert says so.  Nothing here needs a model or torch: the server has them.  `push` never
waits; where the network is away the newest picture waits for it.

    longtake serve --token-file token.txt        on the machine with the model
    LONGTAKE_TOKEN=... python remote.py http://host:7860

The camera is drawn: put your own in place of `Camera`.
"""

from __future__ import annotations

import argparse
import math
import os
import threading
import time

import cv2
import numpy as np
from numpy.typing import NDArray

import longtake

HZ, QUESTION = 10.0, "is there a red ring?"


class Camera:
    """A ring that is blue at first and red later."""

    def __init__(self, red_s: float) -> None:
        self._red_s = red_s

    def look(self, at_s: float) -> NDArray[np.uint8]:
        """Uint8 RGB ``[96, 96, 3]``."""
        picture = np.full((96, 96, 3), (126, 120, 112), np.uint8)
        x, y = round(48 + 20 * math.cos(at_s)), round(48 + 20 * math.sin(at_s))
        color = (40, 70, 200) if at_s < self._red_s else (205, 40, 40)
        cv2.circle(picture, (x, y), 12, color, 5, cv2.LINE_AA)
        return picture


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url", help="of the server, such as http://host:7860")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long the robot works")
    parser.add_argument("--certificate", help="of a server with --tls auto")
    chosen = parser.parse_args()
    token = os.environ.get("LONGTAKE_TOKEN")
    with longtake.Client(chosen.url, token=token, verify=chosen.certificate or True) as client:
        # of what comes the server takes five pictures a second
        with client.open(fps=5.0, window_s=4.0) as take:
            try:
                work(take, chosen.seconds)
            finally:
                take.close(remove=True)


def work(take: longtake.RemoteTake, seconds: float) -> None:
    """The loop: look, push, ask, obey."""
    camera, stop, begun = Camera(seconds / 3), threading.Event(), time.monotonic()
    asking, said = None, ""
    with take.alert(QUESTION, lambda event: stop.set(), every_s=0.5, name="red"):
        while (now_s := time.monotonic() - begun) < seconds and not stop.is_set():
            take.push(camera.look(now_s))
            if asking is None or asking.done():
                if asking is not None and asking.result().text != said:
                    said = asking.result().text
                    print(f"{now_s:5.1f} s: {QUESTION} {said}")
                asking = ask(take)
            stop.wait(1 / HZ)
    print(f"{now_s:5.1f} s: {'the alert stopped the robot' if stop.is_set() else 'done'}")
    print(f"{take.pushes().pushed} pictures pushed, {take.pushes().accepted} of them taken")


def ask(take: longtake.RemoteTake) -> longtake.Asking | None:
    """On its way; None while the server has seen nothing yet."""
    try:
        return take.submit(QUESTION, choices=("yes", "no"), deadline_s=2.0)
    except RuntimeError as error:
        if getattr(error, "code", "") != "nothing_seen":
            raise
        return None


if __name__ == "__main__":
    main()
