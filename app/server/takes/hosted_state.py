"""How a hosted take stands, as one JSON object: what `GET /state` gives and viewers are sent.

Computed here; how often, and who gets it, is known to `hosted` and `viewing`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from longtake.server.takes.hosted import Hosted
    from longtake.stats import TakeStats
    from longtake.take import Take


def state_of(hosted: Hosted) -> dict[str, Any]:
    """Every number in it is finite."""
    take, stats, sources = hosted.take, hosted.take.stats(), hosted.sources()
    return {
        "kind": "state",
        "take": hosted.id,
        "model": hosted.model,
        "now_s": round(take.now_s, 3),
        "recording": any(source.state == "live" for source in sources),
        "frames": stats.frames,
        "received": stats.received,
        "waiting": stats.waiting,
        "dropped": dict(stats.dropped),
        "questions_waiting": take.questions_waiting,
        "viewers": hosted.viewers,
        "missed": hosted.missed,
        "sources": [source.as_json() for source in sources],
        "caption": caption_of(hosted),
        "narrating": hosted.is_narrating,
        "alerts": [alert.as_json() for alert in hosted.alerts()],
        "last_event": hosted.last_event,
        "meters": meters_of(hosted, stats),
    }


def caption_of(hosted: Hosted) -> dict[str, Any] | None:
    """The newest line, as it is spoken; else the newest caption of the memory."""
    line = hosted.line()
    if line is not None:
        end_s = hosted.take.now_s if line.end_s is None else line.end_s
        return {"text": line.text, "start_s": line.start_s, "end_s": max(line.start_s, end_s)}
    for caption in hosted.take.captions(most=1):
        return {"text": caption.text, "start_s": caption.start_s, "end_s": caption.end_s}
    return None


def meters_of(hosted: Hosted, stats: TakeStats) -> dict[str, Any]:
    """Bytes against their budgets, chunks by where they lie, the last answers' times."""
    memory = hosted.settings.memory
    return {
        "device_bytes": stats.device_bytes,
        "device_budget_bytes": device_budget(hosted.take, stats),
        "index_bytes": stats.index_bytes,
        "ram_bytes": stats.ram_bytes,
        "ram_budget_bytes": memory.ram_bytes,
        "disk_bytes": stats.disk_bytes,
        "disk_budget_bytes": memory.disk_bytes,
        "tiers": tiers_of(hosted.take, stats),
        "answers": hosted.answers.newest(),
        "gpu": gpu_of(hosted.take),
    }


def tiers_of(take: Take, stats: TakeStats) -> dict[str, int]:
    """Chunks in the window, and the others by codec: each is counted once.  What is in the window
    may lie in the memory as well; it is the newest there, so it is on the first rungs.

    Chunk by chunk (`Take.held`) it would cost 45 ms for 100,000.
    """
    around_s = max(0.0, stats.newest_s - 2 * take.pace.window_s - 1)
    held = take.held(around_s, math.inf) if math.isfinite(around_s) else []
    tiers = {"window": sum(run.chunks for run in held if run.place == "window")}
    twice = max(0, tiers["window"] + sum(stats.rungs.values()) - stats.chunks)
    for codec, chunks in stats.rungs.items():
        tiers[codec] = chunks - min(chunks, twice)
        twice -= min(chunks, twice)
    return tiers


def device_budget(take: Take, stats: TakeStats) -> int | None:
    """What sink and window take when the window is full; None before the first step."""
    if not stats.window_tokens:
        return None
    share = max(1.0, take.pace.window_tokens / stats.window_tokens)
    return round(stats.device_bytes * share)


def gpu_of(take: Take) -> dict[str, Any] | None:
    """Bytes of the GPU that the model is on; None where it is on none."""
    device = take.adapter.device
    if device.type != "cuda":
        return None
    import torch

    free, total = torch.cuda.mem_get_info(device)
    name = torch.cuda.get_device_name(device)
    return {"name": name, "used_bytes": total - free, "total_bytes": total}
