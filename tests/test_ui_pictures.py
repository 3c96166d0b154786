"""What the page shows of words that others wrote: as text, whatever they look like."""

from __future__ import annotations

import re

import pytest

from longtake.ui import pictures
from longtake.ui.chats import Chat, Turn
from longtake.ui.messages import NO_WORDS, as_of, messages, text
from longtake.ui.needs import Hit, Shown
from longtake.ui.toasts import problem
from longtake.ui.visit import Visit, script
from tests.rigs.made_up_backend import answer

ODD = (
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    "![](http://evil.example/pixel.png)",
    "[a](javascript:alert(1))",
    '"><svg onload=alert(1)>',
    "${alert(1)} {{constructor}}",
    "&lt;b&gt; &amp;",
)
OURS = re.compile(r"</?(a|ul|ol|li|img|span|div|i|q|p)( [a-z-]+=\"[^\"<>]*\")*>")


def html_of(content: object) -> str:
    """The HTML of a message: its words, and what is drawn below them."""
    parts = content if isinstance(content, list) else [content]
    return "".join(each if isinstance(each, str) else str(each.value) for each in parts)


def foreign(html: str) -> str:
    """What is left of HTML when our own tags are taken out of it."""
    return OURS.sub("", html)


@pytest.mark.parametrize("odd", ODD)
def test_no_word_of_an_answer_or_question_becomes_a_tag(odd: str) -> None:
    chat = Chat("live", None)
    chat.add(Turn(odd, None, odd, answer(odd, missing=(odd,))))
    chat.add(Turn(odd, None, odd, None, trouble=odd))
    drawn = "".join(html_of(message["content"]) for message in messages(chat))
    left = foreign(drawn)
    assert "<" not in left and ">" not in left
    assert text(odd) in left


@pytest.mark.parametrize("odd", ODD)
def test_no_word_of_a_caption_or_camera_becomes_a_tag(odd: str) -> None:
    hit = Hit(Shown(1.0, 2.0, 0.5, odd, 4), ("keys", odd), odd)
    left = foreign(pictures.hits("live", [hit]))
    assert "<" not in left and ">" not in left and 'alert(1)"' not in left


def test_the_foreign_tags_are_noticed() -> None:
    assert foreign('<ul class="a"><img src="x"></ul>') == ""
    assert foreign("<img src=x onerror=alert(1)>") != ""
    assert foreign('<img src="x" onerror=alert(1)>') != ""


@pytest.mark.parametrize("odd", ODD)
def test_a_toast_shows_words_as_they_are(odd: str) -> None:
    assert "<" not in str(problem(odd).message)


def test_evidence_links_to_its_moment_with_picture_time_and_score() -> None:
    html = pictures.evidence("live", [Shown(12.0, 15.5, 0.25, "door", 3)])
    assert 'href="#moment=3@12-15.5"' in html
    assert '<img src="/v1/takes/live/frames/3.jpg" alt="0:12-0:15"' in html
    assert "width:25%" in html and "door" in html


def test_a_moment_without_a_picture_says_so_and_can_be_opened() -> None:
    html = pictures.evidence("live", [Shown(1.0, 2.0, 7.0, "", None)])
    assert "<img" not in html and "no picture" in html
    assert 'href="#moment=@1-2"' in html and "width:100%" in html


def test_nothing_found_says_what_to_do() -> None:
    assert pictures.NOTHING_FOUND in pictures.hits("live", [])


def test_an_answer_says_what_it_knew() -> None:
    assert as_of(answer("yes")) == "as of 1:05"
    told = as_of(
        answer("yes", staleness_s=2.4, is_partial=True, coverage=0.5, missing=("0:03 (dropped)",))
    )
    assert told == (
        "as of 1:05, 2 s behind · cut short · 50% of the chosen past was there in time · "
        "not held: 0:03 (dropped)"
    )


def test_an_answer_without_words_says_what_to_do() -> None:
    chat = Chat("live", None)
    chat.add(Turn("?", None, " ", answer(" ")))
    assert NO_WORDS in html_of(messages(chat)[1]["content"])


def test_a_question_about_a_span_shows_it() -> None:
    chat = Chat("live", None)
    chat.add(Turn("what was it?", (5.0, 7.0)))
    assert messages(chat)[0]["content"] == "[0:05-0:07] what was it?"


# ------------------------------------------------------------------ what a browser says

VISITOR = "0123456789abcdef"


def test_a_visit_is_read_as_the_browser_says_it() -> None:
    said = f'{{"take": "kitchen", "visitor": "{VISITOR}", "span": [1.5, 3]}}'
    assert Visit.read(said) == Visit("kitchen", VISITOR, (1.5, 3.0))


def test_a_visit_is_said_without_its_span() -> None:
    visit = Visit("kitchen", VISITOR, (1.5, 3.0))
    assert Visit.read(visit.said()) == Visit("kitchen", VISITOR)


@pytest.mark.parametrize(
    "said",
    [None, 7, "", "{", "[]", "[" * 5000, '{"visitor": 5}', '{"visitor": "../../x"}', '{"span": 1}']
    + [
        f'{{"span": {span}}}'
        for span in (
            "[1]",
            "[2, 1]",
            "[-1, 2]",
            "[1, NaN]",
            "[1, Infinity]",
            "[true, 2]",
            '["1",2]',
        )
    ]
    + ['{"take": null}', f'{{"visitor": "{"a" * 2000}"}}'],
)
def test_what_is_odd_in_a_visit_is_left_out(said: object) -> None:
    assert Visit.read(said) == Visit()


@pytest.mark.parametrize("take", ['"../x"', "5", '"A"', '{"a": 1}'])
def test_a_take_that_cannot_be_is_not_the_usual_one(take: str) -> None:
    assert Visit.read(f'{{"take": {take}}}').take == "-"


def test_every_input_but_the_first_is_sent_as_it_is() -> None:
    assert script(1) == "() => window.longtakeVisit()"
    assert "given.slice(1, 3)" in script(3)
