"""Who may connect to a served scanner, where, and what must be said for it."""

from __future__ import annotations

import sys
import threading

import pytest

from knightshift.core.clock import SystemClock, VirtualClock
from knightshift.core.errors import (
    ConfigError,
    LinkFault,
)
from knightshift.hardware.backends import open_scanner
from knightshift.hardware.contract import ScannerState
from knightshift.hardware.remote import ServeOptions, serve
from knightshift.hardware.remote.framing import Deframer, Frame, FrameKind, encode_frame
from knightshift.hardware.remote.messages import encode_body
from knightshift.hardware.site import SiteConfig, load_site

loop = sys.modules["remote_loop"]
S = ScannerState
PATIENCE = loop.QUICK.link_timeout
play, wait_for = loop.play, loop.wait_for


def open_remote(url, **settings):
    timing = loop.QUICK.model_dump()
    plain = {key: f"{value} s" for key, value in timing.items()}
    site = SiteConfig(backend="remote", limits="microimaging_9t4", settings={"url": url, "timing": plain, **settings})
    return open_scanner(site, clock=SystemClock())


def test_a_wrong_token_is_refused_and_the_scanner_left_alone(served_in_memory, counting) -> None:
    for token in (b"not the one that was agreed on", None):
        client = served_in_memory.client(SystemClock(), token=token)
        with pytest.raises(LinkFault, match="token") as caught:
            client.connect()
        assert not caught.value.transient
    assert counting.calls["connect"] == 0


def test_another_version_of_the_protocol_is_refused_with_both_numbers(served_in_memory) -> None:
    end = served_in_memory.open()
    hello = {"versions": [7], "software": "of the future", "client_nonce": "ab" * 16, "clock": "system"}
    end.write(encode_frame(Frame(FrameKind.HELLO, 0, 0, encode_body(hello), version=7)))
    (answer,) = Deframer().feed(end.read(2.0))
    assert answer.kind == FrameKind.REFUSED
    assert b"version 1" in answer.payload
    end.close()


def test_a_virtual_clock_needs_one_on_the_other_side(served_in_memory) -> None:
    with pytest.raises(LinkFault, match="real time") as caught:
        served_in_memory.client(VirtualClock(), token=served_in_memory.options.token()).connect()
    assert not caught.value.transient


def test_a_second_client_waits_until_the_first_has_left(counting, serve_on, plain_program) -> None:
    url = serve_on(counting, 0, ServeOptions(timing=loop.QUICK))
    first, second = (open_remote(url) for _ in range(2))
    with first:
        next(play(first, plain_program))
        with pytest.raises(LinkFault, match="another client") as caught:
            second.connect()
        assert caught.value.transient
        assert first.identify().backend == "remote"
        assert counting.calls["connect"] == 1
    with second:
        assert second.status().state is S.IDLE


def test_a_served_tcp_port_needs_a_token_on_both_sides(monkeypatch, counting) -> None:
    monkeypatch.delenv("KNIGHTSHIFT_SCANNER_TOKEN")
    with pytest.raises(ConfigError, match="token"):
        serve(counting, 0, stop=threading.Event())
    with pytest.raises(ConfigError, match="token"):
        open_remote("tcp://127.0.0.1:7523")


def test_a_token_comes_from_a_file_and_is_never_short(tmp_path) -> None:
    path = tmp_path / "token"
    path.write_text("0123456789abcdef0123456789abcdef\nnothing else counts\n")
    assert ServeOptions(token_file=path).token() == b"0123456789abcdef0123456789abcdef"
    path.write_text("short\n")
    with pytest.raises(ConfigError, match="too short"):
        ServeOptions(token_file=path).token()
    with pytest.raises(ConfigError, match="cannot be read"):
        ServeOptions(token_file=tmp_path / "nowhere").token()


def test_serving_beyond_loopback_must_be_said(counting) -> None:
    with pytest.raises(ConfigError, match="network"):
        serve(counting, "tcp://0.0.0.0:0", stop=threading.Event())


@pytest.mark.parametrize("url", ["tcp://", "tcp://host", "tcp://host:port", "tcp://127.0.0.1:99999"])
def test_an_address_that_is_none_is_refused(counting, url: str) -> None:
    with pytest.raises(ConfigError, match="host:port"):
        serve(counting, url, stop=threading.Event())


@pytest.mark.parametrize("url", ["/dev/no_such_port", "loop://", "tcp://127.0.0.1:1", "socket://127.0.0.1:1"])
def test_a_port_that_is_not_there_is_a_link_fault(url: str) -> None:
    with pytest.raises(LinkFault):
        open_remote(url).connect()


def test_phantom_and_seed_belong_to_the_serving_side() -> None:
    site = SiteConfig(backend="remote", limits="microimaging_9t4", settings={"url": "/dev/ttyUSB0"})
    for options in ({"seed": 3}, {"phantom": "shorted"}):
        with pytest.raises(ConfigError, match="serves"):
            open_scanner(site, clock=SystemClock(), **options)


def test_patience_must_allow_several_tries() -> None:
    with pytest.raises(ConfigError, match="three tries"):
        open_remote("/dev/ttyUSB0", timing={"heartbeat": "2 s", "link_timeout": "3 s"})


def test_the_shipped_site_file_is_good() -> None:
    assert open_scanner(load_site("remote"), clock=SystemClock()).status().state is S.DISCONNECTED
