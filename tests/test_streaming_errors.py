"""Secrets in addresses never reach a message."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtake.streaming.errors import redact


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rtsp://user:secret@cam.local/main", "rtsp://***@cam.local/main"),
        ("rtsp://user:p@ss@cam.local:554/main", "rtsp://***@cam.local:554/main"),
        ("rtsp://user:pa/s?s@cam.local/main", "rtsp://***@cam.local/main"),
        ("rtsp://user@cam.local", "rtsp://***@cam.local"),
        ("https://cam/live.m3u8?token=abc&t=1", "https://cam/live.m3u8?token=***&t=***"),
        ("https://cam/live?abc", "https://cam/live?***"),
        ("'http://a:b@c/' and 'http://d:e@f/?g=h'", "'http://***@c/' and 'http://***@f/?g=***'"),
        ("http://cam:8080/shot@2x.jpg", "http://cam:8080/shot@2x.jpg"),
        ("clips/what?now=1@home.mp4", "clips/what?now=1@home.mp4"),
        (
            "http://user:s3cret@127.0.0.1:1/?token=abc123: nothing answers at this address",
            "http://***@127.0.0.1:1/?token=***: nothing answers at this address",
        ),
        ("http://a/?t=x:y,z;w) and", "http://a/?t=***) and"),
        ("http://a/?t=x), http://b/?u=y; gone", "http://a/?t=***), http://b/?u=***; gone"),
        ("udp://239.0.0.1:1234?timeout=3", "udp://239.0.0.1:1234?timeout=***"),
    ],
)
def test_logins_and_query_values_are_hidden(text: str, shown: str) -> None:
    assert redact(text) == shown
    assert redact(shown) == shown


@given(
    password=st.text("abcXYZ019:@/?#!$%&*=-_.~", min_size=1).map(lambda text: f"Q{text}Q"),
    scheme=st.sampled_from(["rtsp", "http", "https", "rtmp"]),
)
def test_no_password_survives(password: str, scheme: str) -> None:
    assert password not in redact(f"cannot open {scheme}://admin:{password}@10.0.0.7:554/main: no")


@given(value=st.text("abcXYZ019:,;()@/?#!$%*=-_.~", min_size=1).map(lambda text: f"Q{text}Q"))
def test_no_value_of_a_query_survives(value: str) -> None:
    assert value not in redact(f"http://cam/live?token={value}&b={value}: nothing answers")
