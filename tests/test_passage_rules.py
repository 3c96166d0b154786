"""Which addresses a visitor may name, and which entries an operator may give."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from longtake.streaming.capture_config import CaptureConfig
from longtake.streaming.errors import SourceError, SourceForbidden, SourceNotSupported
from longtake.streaming.passage import Passage, Rules
from longtake.streaming.passage_dial import split
from longtake.streaming.passage_rules import METADATA

PUBLIC = ["8.8.8.8", "2606:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8"]
INNER = (
    "127.0.0.1 127.8.8.8 0.0.0.0 10.1.2.3 172.16.0.1 192.168.1.5 100.64.0.1 169.254.169.254 "
    "168.63.129.16 224.0.1.1 239.1.1.1 240.0.0.1 255.255.255.255 192.0.0.1 192.88.99.1 198.18.0.1 "
    "::1 :: fe80::1 fc00::1 fd00:ec2::254 fec0::1 ff02::1 2001:db8::1 ::127.0.0.1 "
    "::ffff:127.0.0.1 ::ffff:10.0.0.1 64:ff9b::7f00:1 64:ff9b:1::1 2002:7f00:1:: 2002:a00:1:: "
    "2001:0:4136:e378:8000:63bf:3fff:fdd2"
).split()


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_may_be_named(address: str) -> None:
    assert Rules().permits("cam.example", ip_address(address))


@pytest.mark.parametrize("address", INNER)
def test_inner_addresses_may_not_in_whatever_form(address: str) -> None:
    assert not Rules().permits("cam.example", ip_address(address))
    assert Rules().permitted("cam.example", [address, "8.8.8.8"]) == ["8.8.8.8"]


@pytest.mark.parametrize(
    ("allow", "yes", "no"),
    [
        ("192.168.1.0/24", "192.168.1.7", "192.168.2.7"),
        ("192.168.1.7", "::ffff:192.168.1.7", "192.168.1.8"),
        ("fd12::/16", "fd12::9", "fd13::9"),
        ("private", "10.9.9.9", "127.0.0.1"),
        ("private", "fd12::9", "169.254.169.254"),
        ("loopback", "127.0.0.1", "10.9.9.9"),
        ("loopback", "::1", "0.0.0.0"),
        ("169.254.169.254", "169.254.169.254", "169.254.169.253"),
    ],
)
def test_what_the_operator_allows_may_be_named_and_no_more(allow: str, yes: str, no: str) -> None:
    rules = Rules((allow,))
    assert rules.permits("cam", ip_address(yes))
    assert not rules.permits("cam", ip_address(no))


def test_a_group_never_reaches_what_a_cloud_tells_its_machines() -> None:
    rules = Rules(("private", "loopback"))
    assert not any(rules.permits("cam", address) for address in METADATA)


def test_a_host_that_is_allowed_leads_wherever_it_leads_and_others_do_not() -> None:
    rules = Rules(("Cam.Local",))
    assert rules.permits("cam.local.", ip_address("10.0.0.5"))
    assert not rules.permits("xcam.local", ip_address("10.0.0.5"))
    assert not rules.permits("cam.local.evil.example", ip_address("10.0.0.5"))


@pytest.mark.parametrize(
    "entry", ["*", "", "http://cam", "cam:554", "10.0.0.1/8", "10.0.0", "1.2.3.999", "a b", "cam/8"]
)
def test_an_entry_that_means_nothing_is_refused_with_a_way_out(entry: str) -> None:
    with pytest.raises(ValueError, match=r"allow=.*(write|must be)"):
        Rules((entry,))


@pytest.mark.parametrize(
    "address",
    "file:///etc/passwd /etc/passwd clip.mp4 - webcam:0 /dev/video0 udp://1.1.1.1:5 lavfi:testsrc "
    "tcp://8.8.8.8:80 concat:http://a|file:b httpproxy://8.8.8.8/x rtmp://8.8.8.8/x pipe:0 "
    "crypto:http://8.8.8.8/x http:8.8.8.8 data:text/plain,a FILE:///etc/passwd".split(),
)
def test_only_cameras_and_recordings_of_the_network_may_be_named(address: str) -> None:
    with pytest.raises(SourceForbidden, match="what is: rtsp, rtsps, http, https"):
        Passage(Rules(("loopback", "private"))).check(address)


@pytest.mark.parametrize(
    "address",
    [
        "http://",
        "rtsp:///x",
        "http://a b/x",
        "http://cam\r\nX: y/",
        "http://cam:99999/",
        "http://[::1",
    ],
)
def test_what_is_no_address_is_refused_before_anything_is_asked(address: str) -> None:
    with pytest.raises(SourceNotSupported, match="cannot be read as an address"):
        split(address)


@pytest.mark.parametrize(
    "address",
    ["http://127.0.0.1/", "http://2130706433/", "http://0x7f.1/", "http://127.1/", "http://[::1]/",
     "http://[::ffff:127.0.0.1]/", "http://public.example@127.0.0.1/", "http://localhost/"],
)  # fmt: skip
def test_this_machine_is_refused_however_it_is_written(address: str) -> None:
    with pytest.raises(SourceForbidden, match="an inner address"):
        Passage(Rules()).check(address)


def test_a_refusal_tells_what_to_allow_and_not_where_the_name_led() -> None:
    passage = Passage(Rules(), resolve=lambda host, port: ["10.20.30.40"])
    with pytest.raises(SourceForbidden) as told:
        passage.check("rtsp://user:s3cret@cam.corp/main?token=abc")
    assert "--allow-source cam.corp" in str(told.value)
    assert not any(word in str(told.value) for word in ("10.20", "s3cret", "abc"))


def test_words_for_what_is_on_this_machine_let_nobody_connect() -> None:
    rules = Rules(("files", "devices"))
    assert not rules.permits("files", ip_address("10.0.0.5"))
    with pytest.raises(SourceForbidden):
        Passage(rules).check("file:///etc/passwd")


def test_an_address_with_a_zone_is_never_connected_to() -> None:
    assert Rules(("fe80::/10",)).permitted("cam", ["fe80::1%lo"]) == []


def test_options_of_ffmpeg_do_not_go_with_a_passage() -> None:
    with pytest.raises(ValueError, match="around the passage"):
        CaptureConfig(passage=Passage(Rules()), av_options={"protocol_whitelist": "file"})


def test_a_passage_is_seen_in_no_settings() -> None:
    assert "assage" not in repr(CaptureConfig(passage=Passage(Rules())))
    assert issubclass(SourceForbidden, SourceError)
