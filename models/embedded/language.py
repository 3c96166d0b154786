"""The embedded model's words: a word-level tokenizer, and the frame of a conversation.

Case, full stops and question marks are ignored, American spelling is British, digits stand
alone, and a word that was never taught becomes ``<unk>``.
"""

from __future__ import annotations

from functools import cache

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from longtake.models.embedded import questions

SPECIAL = ("<pad>", "<|im_start|>", "<|im_end|>", "<image>", "<video>", "<unk>")
PAD, START, END, IMAGE, VIDEO, UNKNOWN = range(len(SPECIAL))
FRAME = "system user assistant you are watching a video".split()

# What transformers' chat templates do for any family; the part before <video> is the sink.
CHAT_TEMPLATE = (
    "<|im_start|> system you are watching a video <|im_end|>"
    "{% for message in messages %} <|im_start|> {{ message['role'] }}"
    "{% if message['content'] is string %} {{ message['content'] }}"
    "{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'video' %} <video>{% else %} {{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %} <|im_end|>{% endfor %}"
    "{% if add_generation_prompt %} <|im_start|> assistant{% endif %}"
)


def vocabulary() -> list[str]:
    """All tokens, in the order of their ids."""
    words = set("0123456789:") | set(FRAME) | set(questions.words()) | {"yes", "no"}
    words |= set(questions.NOT_SEEN.split()) | set(questions.UNKNOWN_KIND.split())
    return [*SPECIAL, *sorted(words)]


@cache
def tokenizer() -> PreTrainedTokenizerFast:
    ids = {word: i for i, word in enumerate(vocabulary())}
    inner = Tokenizer(models.WordLevel(ids, unk_token="<unk>"))
    inner.normalizer = normalizers.Sequence(
        [
            normalizers.NFKC(),
            normalizers.Lowercase(),
            normalizers.Replace(Regex(r"\bi\b"), "I"),
            normalizers.Replace("color", "colour"),
            normalizers.Replace(Regex(r"[.,;?!'\"]"), " "),
        ]
    )
    inner.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Whitespace(), pre_tokenizers.Digits(individual_digits=True)]
    )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=inner,
        pad_token="<pad>",
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        unk_token="<unk>",
        extra_special_tokens={"image_token": "<image>", "video_token": "<video>"},
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        model_max_length=4096,
    )


def encode(text: str) -> list[int]:
    ids: list[int] = tokenizer().encode(text, add_special_tokens=False)
    return ids


@cache
def sink_ids() -> tuple[int, ...]:
    """What every take begins with."""
    return tuple(
        encode("<|im_start|> system you are watching a video <|im_end|> <|im_start|> user")
    )


@cache
def turn_ids() -> tuple[int, ...]:
    """What stands between a question and its answer."""
    return tuple(encode("<|im_end|> <|im_start|> assistant"))
