"""Bytes to and from the other end. The only module here that knows pyserial and sockets."""

from __future__ import annotations

import os
import select
import socket
import termios
import time
from typing import Protocol
from urllib.parse import urlsplit

import serial

from knightshift.core.errors import ConfigError, LinkFault

TCP = "tcp://"
"""How the URL of a TCP link begins."""

_CHUNK = 65_536
_WRITE_TIMEOUT = 3.0
_PORT_ERRORS = (OSError, termios.error)  # pyserial's own is an OSError; termios.error it lets through
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class ByteTransport(Protocol):
    """A byte stream in both directions. One thread reads, one writes."""

    name: str
    """What to call it in messages."""

    def read(self, timeout: float) -> bytes:
        """Wait up to `timeout` [s] for bytes; empty if none came. Raises `LinkFault` if the stream has ended."""
        ...

    def write(self, content: bytes) -> None:
        """Send all of `content`. Raises `LinkFault` if that is not possible in bounded time."""
        ...

    def write_at_once(self, content: bytes) -> int:
        """Send as much of `content` as goes without waiting, and give the number of bytes; 0 or more.

        Never called while another thread is in `write`. Raises `LinkFault` as `write`.
        """
        ...

    def reset_input(self) -> None:
        """Forget what has come but was not read."""
        ...

    def close(self) -> None:
        """Give the stream up; no other thread may be using it."""
        ...


class _DescriptorTransport:
    """Waits, reads and writes on a file descriptor that does not block."""

    def __init__(self, name: str, descriptor: int) -> None:
        self.name = name
        self._descriptor = descriptor
        self._input = select.poll()
        self._input.register(descriptor, select.POLLIN)
        os.set_blocking(descriptor, False)

    def read(self, timeout: float) -> bytes:
        try:
            if not self._input.poll(timeout * 1e3):
                return b""
            received = os.read(self._descriptor, _CHUNK)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise LinkFault(f"reading failed: {error}", self.name) from error
        if not received:
            raise LinkFault("the other end has closed the link", self.name)
        return received

    def write(self, content: bytes) -> None:
        deadline = time.monotonic() + _WRITE_TIMEOUT
        remaining = memoryview(content)
        while remaining:
            try:
                remaining = remaining[os.write(self._descriptor, remaining) :]
            except BlockingIOError:
                if not self._has_room(max(0.0, deadline - time.monotonic())):
                    raise LinkFault(f"nothing could be written for {_WRITE_TIMEOUT:g} s", self.name) from None
            except OSError as error:
                raise LinkFault(f"writing failed: {error}", self.name) from error

    def write_at_once(self, content: bytes) -> int:
        try:
            return os.write(self._descriptor, content)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise LinkFault(f"writing failed: {error}", self.name) from error

    def _has_room(self, timeout: float) -> bool:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        return bool(poll.poll(timeout * 1e3))


class SerialTransport(_DescriptorTransport):
    """A serial port, a pseudo-terminal, or another URL of pyserial that has a file descriptor.

    Parameters
    ----------
    url
        As for `serial.serial_for_url`.
    baud_rate
        Of a real line [baud].

    Raises
    ------
    LinkFault
        If it cannot be opened.
    """

    def __init__(self, url: str, baud_rate: int = 115_200) -> None:
        try:
            self._port = serial.serial_for_url(url, baudrate=baud_rate, timeout=0, exclusive=_is_device(url))
        except (*_PORT_ERRORS, ValueError) as error:
            raise LinkFault(f"cannot be opened: {error}", url) from error
        try:
            descriptor = self._port.fileno()
        except (OSError, AttributeError) as error:
            self._port.close()
            raise LinkFault(
                "has no file descriptor: use a device, socket:// or tcp://", url, transient=False
            ) from error
        super().__init__(url, descriptor)
        if url.startswith("socket://"):
            with socket.socket(fileno=os.dup(descriptor)) as twin:
                twin.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def reset_input(self) -> None:
        """Forget what has come but was not read."""
        try:
            self._port.reset_input_buffer()
        except _PORT_ERRORS as error:
            raise LinkFault(f"cannot be reset: {error}", self.name) from error

    def close(self) -> None:
        """Give the port up."""
        self._port.close()


class SocketTransport(_DescriptorTransport):
    """One TCP connection, or one end of a pair of sockets in this process.

    Parameters
    ----------
    connection
        A connected socket, which the transport owns from now on.
    name
        What to call it.
    """

    def __init__(self, connection: socket.socket, name: str) -> None:
        if connection.family != socket.AF_UNIX:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = connection
        super().__init__(name, connection.fileno())

    def reset_input(self) -> None:
        """Do nothing: nothing is left over in a new connection."""

    def close(self) -> None:
        """Give the connection up."""
        self._socket.close()


def open_transport(url: str, baud_rate: int, timeout: float) -> ByteTransport:
    """Open the client's end.

    Parameters
    ----------
    url
        ``tcp://host:port``, or whatever pyserial understands.
    baud_rate
        Of a serial line [baud].
    timeout
        How long a TCP connection may take to open [s].

    Raises
    ------
    LinkFault
        If nobody is there.
    """
    if not url.startswith(TCP):
        return SerialTransport(url, baud_rate)
    host, port = split_tcp(url)
    try:
        return SocketTransport(socket.create_connection((host, port), timeout=timeout), url)
    except OSError as error:
        raise LinkFault(f"cannot connect: {error}: is the scanner being served there?", url) from error


class TcpListener:
    """Listens for clients.

    Parameters
    ----------
    url
        ``tcp://host:port``; port 0 takes a free one.
    any_interface
        Allow a host beyond loopback.

    Raises
    ------
    ConfigError
        If the host is not on loopback and that was not allowed.
    LinkFault
        If the address cannot be had.
    """

    def __init__(self, url: str, *, any_interface: bool = False) -> None:
        host, port = split_tcp(url)
        if host not in _LOOPBACK and not any_interface:
            raise ConfigError(
                f"{url}: would serve the scanner to the network: listen on 127.0.0.1 (through a tunnel, if need be), "
                "or allow other interfaces explicitly"
            )
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            self._socket = socket.create_server((host, port), family=family, backlog=4)
        except OSError as error:
            raise LinkFault(f"cannot listen: {error}", url) from error
        self.url = f"{TCP}{f'[{host}]' if ':' in host else host}:{self._socket.getsockname()[1]}"
        """Where clients find it, with the port that it got."""

    def accept(self, timeout: float) -> SocketTransport | None:
        """Wait up to `timeout` [s] for a client."""
        self._socket.settimeout(timeout)
        try:
            connection, address = self._socket.accept()
        except TimeoutError:
            return None
        except OSError as error:
            raise LinkFault(f"cannot accept: {error}", self.url) from error
        return SocketTransport(connection, f"client {address[0]}:{address[1]}")

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()


def split_tcp(url: str) -> tuple[str, int]:
    """Host and port of ``tcp://host:port``. Raises `ConfigError`."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not url.startswith(TCP) or not host or port is None:
        raise ConfigError(f"{url!r} is not tcp://host:port: write e.g. tcp://127.0.0.1:7523")
    return host, port


def _is_device(url: str) -> bool | None:
    """Ask for exclusive use of a device; other URLs have no such thing."""
    return None if "://" in url else True
