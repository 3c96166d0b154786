"""Name a model by what it computes: config and weights.

Keys and values of one model are nonsense to another, so every memory carries this name.
"""

from __future__ import annotations

from pathlib import Path

import xxhash

_WHOLE_BYTES = 1 << 28  # files up to here are read whole
_SAMPLE_BYTES, _SAMPLES = 1 << 20, 32  # of greater ones: so many pieces, evenly spread


def fingerprint(folder: Path) -> str:
    """32 hexadecimal digits over config, tokenizer, recipe and every safetensors file.

    Of a weights file above 256 MiB, its size, its header and 32 pieces of 1 MiB are read.
    """
    state = xxhash.xxh3_128()
    for path in sorted([*folder.glob("*.json"), *folder.glob("*.jinja")]):
        state.update(path.name.encode())
        state.update(path.read_bytes())
    for path in sorted(folder.glob("*.safetensors")):
        size = path.stat().st_size
        state.update(f"{path.name} {size}".encode())
        with path.open("rb") as file:
            if size <= _WHOLE_BYTES:
                state.update(file.read())
                continue
            for i in range(_SAMPLES):
                file.seek(i * (size - _SAMPLE_BYTES) // (_SAMPLES - 1))
                state.update(file.read(_SAMPLE_BYTES))
    return state.hexdigest()
