"""Listening sockets that outlive the processes that accept from them. Standard library only."""

from __future__ import annotations

import socket
from typing import Final

BACKLOG: Final = 4096
"""Connections the kernel keeps for a worker that is being replaced; Linux cuts it to net.core.somaxconn."""


class BadAddress(Exception):
    """An address that can't be read or bound. The text says why, for people."""


def parse_address(text: str) -> tuple[str, int]:
    """Read HOST:PORT; the host of IPv6 stands in brackets, an empty one means every IPv4 address.

    Raises:
        BadAddress: it is neither.
    """
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise BadAddress(f"{text}: an IPv6 address stands in brackets: [{host}]:{port}")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise BadAddress(f"{text}: an address is HOST:PORT, such as 127.0.0.1:8080")
    return host or "0.0.0.0", int(port)  # noqa: S104 - the meaning of an empty host


def show_address(sock: socket.socket) -> str:
    """HOST:PORT of a bound socket."""
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def bind(text: str, count: int = 1) -> list[socket.socket]:
    """Bind sockets to one address, without listening yet: until then the kernel refuses connections.

    Several share the address with SO_REUSEPORT, so that the kernel spreads connections over them. A single one doesn't:
    otherwise any process of the same user could take half of the traffic unnoticed.

    Args:
        text: HOST:PORT; port 0 lets the kernel choose.
        count: how many sockets.

    Raises:
        BadAddress: unreadable, unknown host, in use, or not permitted.
    """
    host, port = parse_address(text)
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise BadAddress(f"{text}: {error.strerror}") from error
    sockets: list[socket.socket] = []
    try:
        if count > 1:
            # SO_REUSEPORT would share an address with a stranger's sockets: find out first, alone.
            with _bound(family, kind, protocol, address, shared=False) as probe:
                address = probe.getsockname()
        sockets.extend(_bound(family, kind, protocol, address, shared=count > 1) for _ in range(count))
    except OSError as error:
        for sock in sockets:
            sock.close()
        raise BadAddress(f"{text}: {error.strerror}") from error
    return sockets


def _bound(family: int, kind: int, protocol: int, address: object, *, shared: bool) -> socket.socket:
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind(address)  # type: ignore[arg-type]  # an address is a tuple whose shape depends on the family
    except BaseException:
        sock.close()
        raise
    return sock
