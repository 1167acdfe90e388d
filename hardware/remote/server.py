"""Serve a scanner: what ``knightshift serve-scanner`` runs."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from functools import partial

from knightshift.core.errors import ConfigError, LinkFault
from knightshift.hardware.contract import Scanner
from knightshift.hardware.remote.connection import Connection, Desk
from knightshift.hardware.remote.serving_session import as_fault
from knightshift.hardware.remote.settings import TOKEN_VARIABLE, ServeOptions
from knightshift.hardware.remote.transport import TCP, ByteTransport, SerialTransport, TcpListener

_LOG = logging.getLogger(__name__)
_POLL = 0.05
_REOPEN_AFTER = 1.0
_MOST_CONNECTIONS = 8


def serve(
    scanner: Scanner,
    port_or_url: int | str | Callable[[], ByteTransport],
    *,
    stop: threading.Event,
    options: ServeOptions | None = None,
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Serve `scanner` until `stop` is set; then it is safe and closed.

    One client at a time has the scanner. When its link dies, or is silent for `link_timeout`, the scanner is made safe.

    Parameters
    ----------
    scanner
        Any backend. This function connects it when a client comes.
    port_or_url
        A TCP port on the loopback interface; ``tcp://host:port`` (port 0: any free one); a serial port, pseudo-terminal
        or URL of pyserial; or a function that opens a transport of your own, called again when that has ended.
    stop
        Ends the serving, within a fraction of a second unless the scanner blocks.
    options
        Token, patience, clock; None: the defaults.
    on_ready
        Called with the URL for clients once they can connect.

    Raises
    ------
    ConfigError
        If TCP is to be served without a token, or beyond loopback without saying so.
    LinkFault
        If the port cannot be had.
    ScannerFault
        If the backend fails with something that is no fault of a scanner; the scanner was made safe.
    """
    options = options or ServeOptions()
    line = f"{TCP}127.0.0.1:{port_or_url}" if isinstance(port_or_url, int) else port_or_url
    url = line if isinstance(line, str) else ""
    token = options.token()
    if url.startswith(TCP) and token is None:
        raise ConfigError(
            f"{url}: a scanner is not served over TCP without a token: set token_file or {TOKEN_VARIABLE} on both "
            "sides, for example to the output of: openssl rand -hex 32"
        )
    desk = Desk(scanner, options, token)
    try:
        if url.startswith(TCP):
            _serve_tcp(TcpListener(url, any_interface=options.any_interface), desk, stop, on_ready)
        else:
            open_line = partial(SerialTransport, url, options.baud_rate) if isinstance(line, str) else line
            _serve_line(open_line, desk, stop, on_ready)
    finally:
        scanner.make_safe()
        desk.wait()
        scanner.close()
    if desk.crash is not None:
        raise as_fault(desk.crash) from desk.crash


def _serve_tcp(
    listener: TcpListener, desk: Desk, stop: threading.Event, on_ready: Callable[[str], None] | None
) -> None:
    """Accept clients; each has its own connection, one of them the scanner."""
    connections: list[tuple[Connection, float]] = []
    _LOG.info("serving on %s", listener.url)
    if on_ready is not None:
        on_ready(listener.url)
    try:
        while not stop.is_set() and desk.crash is None:
            transport = listener.accept(_POLL)
            connections = _tidy(connections, desk.options.timing.link_timeout)
            if transport is None:
                continue
            if len(connections) >= _MOST_CONNECTIONS:
                transport.close()
                continue
            connection = Connection(transport, desk)
            connection.start()
            connections.append((connection, time.monotonic()))
    finally:
        listener.close()
        for connection, _ in connections:
            connection.close()


def _tidy(connections: list[tuple[Connection, float]], patience: float) -> list[tuple[Connection, float]]:
    """Keep the connections that live; one that has no session is closed after three times `patience` [s]."""
    kept = []
    for connection, since in connections:
        if connection.is_serving:
            kept.append((connection, time.monotonic()))
        elif connection.ended.is_set() or time.monotonic() - since > 3 * patience:
            connection.close()
        else:
            kept.append((connection, since))
    return kept


def _serve_line(
    open_line: Callable[[], ByteTransport], desk: Desk, stop: threading.Event, on_ready: Callable[[str], None] | None
) -> None:
    """Serve on a line; one that was pulled out is tried again until it is back."""
    transport: ByteTransport | None = open_line()
    if on_ready is not None and transport is not None:
        on_ready(transport.name)
    while not stop.is_set() and desk.crash is None:
        if transport is None:
            transport = _try_to_open(open_line)
        if transport is None:
            stop.wait(min(_REOPEN_AFTER, desk.options.timing.link_timeout / 8))
            continue
        connection = Connection(transport, desk)
        connection.start()
        try:
            while not stop.is_set() and not connection.ended.is_set() and desk.crash is None:
                stop.wait(_POLL)
        finally:
            connection.close()
        transport = None


def _try_to_open(open_line: Callable[[], ByteTransport]) -> ByteTransport | None:
    try:
        transport = open_line()
        transport.reset_input()
    except LinkFault as fault:
        _LOG.debug("%s: trying again", fault)
        return None
    return transport
