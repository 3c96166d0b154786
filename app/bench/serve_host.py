"""A server to be measured, in a process of its own; a program.

    python -m longtake.bench.serve_host '{"serves": "take", "model": {...}, "film_s": 40}'

`serves`: ``take`` (our server with its page), ``stream`` (a page with `gr.Image.stream`), ``empty``
(a page with one text box).  Says ``{"url": ...}`` when it answers, or ``{"error": ...}``; then each
line of its standard input is a wish, and each is answered by a line.  It ends when its standard
input does.  What is measured with it is not known here.
"""

from __future__ import annotations

import json
import os
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from longtake.bench.serve_browser import number_in

if TYPE_CHECKING:
    from longtake.server.takes.hall import Hall
    from longtake.server.takes.hosted import Hosted

START_S = 30.0
WAITING = 40  # frames of the film that may wait; fewer than a mailbox holds
SIZE = {"video": {"width": {"ideal": 640}, "height": {"ideal": 360}}}
SEED = 901

Wish = Callable[[dict[str, Any]], Any]


class Seen:
    """Pictures that reached Python, each with the moment and the number that its bars show."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: list[tuple[float, int]] = []

    def see(self, image: NDArray[np.uint8]) -> None:
        at_s, number = time.time(), number_in(image)
        if number is not None:
            with self._lock:
                self._seen.append((at_s, number))

    def taken(self, _: dict[str, Any]) -> list[tuple[float, int]]:
        """Those since the last time."""
        with self._lock:
            taken, self._seen = self._seen, []
        return taken


# ------------------------------------------------------------------------ what is served


def take(wish: dict[str, Any], stack: ExitStack) -> tuple[Any, dict[str, Wish]]:
    """Our server, whose take ``live`` has seen a drawn film."""
    from longtake.bench.model import Model
    from longtake.server.config import ServeConfig
    from longtake.server.takes.engines import Engines
    from longtake.server.takes.hall import Hall

    model = Model(**wish["model"])
    engines = Engines([model.name], load=lambda _: model.engine())
    config = ServeConfig(port=0)
    hall: Hall = stack.enter_context(Hall(engines, config))
    hosted = hall.open("live")
    from longtake.server.app import create_app  # what a model that fails does not wait for
    from longtake.server.door.access import Access
    from longtake.server.page.page import Page

    show(hosted, float(wish.get("film_s", 0.0)))
    seen = watched(hosted)
    app = create_app(hall, Access.of(), config, Page(hall))

    def first_piece(asked: dict[str, Any]) -> float:
        """Seconds from the call to the first piece of an answer, without HTTP."""
        begun = time.perf_counter()
        asking = hosted.take.stream(asked["question"])
        next(iter(asking), None)
        passed_s = time.perf_counter() - begun
        asking.result()
        return passed_s

    return app, {"frames": seen.taken, "first_piece": first_piece}


def show(hosted: Hosted, film_s: float) -> None:
    """So much of a drawn film, seen."""
    from longtake.models.embedded.world import long_film

    if not film_s:
        return
    film = long_film(random.Random(SEED), max(1, round(film_s)))
    for at_s, image in film.frames(hosted.take.pace.fps):
        if hosted.take.stats().waiting > WAITING:
            hosted.take.drain()
        hosted.take.push(image, at_s)
    hosted.take.drain()


def watched(hosted: Hosted) -> Seen:
    """Pictures that are pushed into it: decoded, as a callback of Gradio's gets them, then noted.

    This is beside what the take does with them, and costs our side a decoding more.
    """
    import cv2

    seen, push = Seen(), hosted.push

    def noted(data: bytes, **more: Any) -> Any:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        if image is not None:
            seen.see(np.asarray(image, np.uint8))
        return push(data, **more)

    hosted.push = noted  # type: ignore[method-assign]
    return seen


def stream(wish: dict[str, Any], stack: ExitStack) -> tuple[Any, dict[str, Wish]]:
    """Gradio's own way from a browser's camera to Python, as its guide shows it."""
    gr, seen = _gradio(stack), Seen()

    def see(image: Any) -> None:
        if image is not None:
            seen.see(image)

    with gr.Blocks(analytics_enabled=False) as page:
        camera = gr.Image(
            sources=["webcam"],
            streaming=True,
            type="numpy",
            elem_id="cam",
            webcam_options=gr.WebcamOptions(mirror=False, constraints=SIZE),
        )
        every = {} if wish["every_s"] is None else {"stream_every": wish["every_s"]}
        camera.stream(
            see,
            [camera],
            None,
            time_limit=None,
            concurrency_limit=4,
            show_progress="hidden",
            **every,
        )
    return mounted(page), {"frames": seen.taken}


def empty(_: dict[str, Any], stack: ExitStack) -> tuple[Any, dict[str, Wish]]:
    """The least page of Gradio's into which something can be typed."""
    gr = _gradio(stack)
    with gr.Blocks(analytics_enabled=False) as page:
        gr.Textbox(elem_id="box")
    return mounted(page), {}


def mounted(page: Any) -> Any:
    """A page of Gradio's on an application, as ours is."""
    import gradio
    from fastapi import FastAPI

    return gradio.mount_gradio_app(
        FastAPI(),
        page,
        path="/",
        footer_links=[],
        run_history=False,
        show_error=False,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
    )


def _gradio(stack: ExitStack) -> Any:
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_TEMP_DIR"] = stack.enter_context(tempfile.TemporaryDirectory())
    import gradio

    return gradio


SERVED = {"take": take, "stream": stream, "empty": empty}


# ------------------------------------------------------------------------ the process


def cpu_s(_: dict[str, Any]) -> float:
    """Of all threads of this process, so far."""
    return time.process_time()


def resident_bytes(_: dict[str, Any]) -> int | None:
    """None where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """On loopback, in a thread, with the settings of our server.  Yields its address."""
    from longtake.server.config import ServeConfig
    from longtake.server.running import Serving, listen, url_of

    config, ready = ServeConfig(port=0), threading.Event()
    listener = listen(config)
    server = Serving(app, config, on_ready=ready.set)
    thread = threading.Thread(target=server.serve_on, args=([listener],), name="bench-serving")
    thread.start()
    try:
        if not ready.wait(START_S):
            raise RuntimeError(f"the server did not answer within {START_S:g} s")
        yield url_of(listener)
    finally:
        server.stop()
        thread.join(START_S)
        listener.close()


def main() -> None:
    wish = json.loads(sys.argv[1])
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever else is printed is none of them

    def say(said: Any) -> None:
        answers.write(json.dumps(said) + "\n")

    try:
        with ExitStack() as stack:
            app, wishes = SERVED[wish["serves"]](wish, stack)
            say({"url": stack.enter_context(serving(app))})
            wishes |= {"cpu_s": cpu_s, "resident_bytes": resident_bytes}
            for line in sys.stdin:
                asked = json.loads(line)
                say(wishes[asked["wish"]](asked))
    except Exception as error:  # whoever started this raises it
        say({"error": str(error), "kind": type(error).__name__})
        raise


if __name__ == "__main__":
    main()
