"""Connections to addresses that were checked, and an end to all waiting at one moment.

A host's name is resolved once, where the connection is made: what was checked is what is connected to, so that a name
server which answers differently the second time gains nothing. Every read and write waits no longer than until the
common end, however slowly the other side sends.
"""

import socket
from collections.abc import Callable, Iterable, Sequence
from ssl import SSLContext
from time import monotonic
from typing import Any

import httpcore

from ..time_limit import OutOfTime, within
from .addresses import Network, is_reachable
from .allowed_places import Refused

Resolve = Callable[[str, int], Sequence[str]]
"""From a host's name and a port to its addresses."""


def resolve(host: str, port: int) -> list[str]:
    """The addresses of ``host``, as the system tells them."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class CheckedNetwork(httpcore.NetworkBackend):
    """Connects to public addresses and those in ``private``, until the moment ``until`` of the monotonic clock."""

    def __init__(self, until: float, resolve: Resolve, private: Sequence[Network]) -> None:
        self._until, self._resolve, self._private = until, resolve, private
        self._plain = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        try:
            addresses = within(left(self._until), lambda: self._resolve(host, port))
        except OutOfTime:
            raise httpcore.ConnectTimeout from None
        except (OSError, UnicodeError):
            raise Refused(f"{host} has no address") from None
        if not addresses or not all(is_reachable(address, self._private) for address in addresses):
            raise Refused(f"{host} does not lead to the public internet")
        for number, address in enumerate(addresses, start=1):
            try:
                stream = self._plain.connect_tcp(address, port, left(self._until), socket_options=socket_options)
            except httpcore.ConnectError:
                if number == len(addresses):
                    raise
            else:
                return _Stream(stream, self._until)
        raise httpcore.ConnectError  # pragma: no cover


class _Stream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream, until: float) -> None:
        self._stream, self._until = stream, until

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, left(self._until))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, left(self._until))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, left(self._until)), self._until)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def left(until: float) -> float:
    """Seconds until that moment.

    Raises:
        httpcore.ReadTimeout: it is over.
    """
    seconds = until - monotonic()
    if seconds <= 0:
        raise httpcore.ReadTimeout
    return seconds
