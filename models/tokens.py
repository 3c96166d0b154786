"""A checkpoint's tokenizer, with the template that its processor would use.

The template is cut elsewhere (`models.template`); here it is only found, and the special tokens
that the config counts on are looked up.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from longtake.models.base import ModelError

_FILES = ("tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json")
_OF_PROCESSORS = (
    "chat_template.json",
    "processor_config.json",
)  # before 2025's chat_template.jinja


def read_tokenizer(folder: Path, again: str) -> Any:
    """The tokenizer.

    Raises:
        ModelError: if its files are missing or cannot be read.
    """
    import transformers

    if not any((folder / name).is_file() for name in _FILES):
        raise ModelError(f"holds no tokenizer ({_FILES[0]}); {again}")
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            folder, trust_remote_code=False, local_files_only=True
        )
    except Exception as error:  # a foreign file can be wrong in any way
        said = " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, ImportError) and "sentencepiece" in said.lower():
            raise ModelError(
                "its tokenizer needs SentencePiece: pip install sentencepiece"
            ) from error
        raise ModelError(f"its tokenizer cannot be read ({said[:200]}); {again}") from error
    template = _processors_template(folder)
    if template is not None:
        tokenizer.chat_template = template
    return tokenizer


def check_special(tokenizer: Any, config: Any) -> None:
    """Every token that the config names by number must be one that the tokenizer knows.

    Raises:
        ModelError: names the field, the number, and what the tokenizer has.
    """
    rows = config.get_text_config().vocab_size
    for field in ("video_token_id", "image_token_id", "vision_start_token_id"):
        number = getattr(config, field, None)
        if number is None:
            continue
        if number not in tokenizer.added_tokens_decoder:
            raise ModelError(
                f"{field}={number} is no special token of its tokenizer (of {len(tokenizer)} "
                "tokens): config.json and tokenizer are of different models: download both again"
            )
    beyond = sorted(i for i in tokenizer.added_tokens_decoder if i >= rows)
    used = [i for i in beyond if i in tokenizer.all_special_ids]
    if used:
        names = ", ".join(map(str, tokenizer.convert_ids_to_tokens(used[:3])))
        raise ModelError(
            f"its tokenizer has special tokens that the model has no embedding for ({names}; "
            f"{rows} rows): tokenizer and weights are of different models: download both again"
        )


def _processors_template(folder: Path) -> str | None:
    """Older checkpoints keep the template for pictures and videos apart from the tokenizer's,
    which may be one for text alone.  A chat_template.jinja is read by the tokenizer itself."""
    if (folder / "chat_template.jinja").is_file():
        return None
    for name in _OF_PROCESSORS:
        path = folder / name
        if not path.is_file():
            continue
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ModelError(f"{name} is no JSON: download it again") from error
        template = found.get("chat_template") if isinstance(found, dict) else None
        if isinstance(template, str):
            return template
    return None
