"""A WebSocket or an event stream through a running proxy, up to its first bytes."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator

from tests.traffic.wire import Node, RawBackend, Wire

# The handshake that RFC 6455 §1.3 works through.
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def asking(path: bytes = b"/chat", **fields: bytes | None) -> bytes:
    """A handshake; a field of None is left out."""
    given = {
        "Host": b"shop",
        "Connection": b"keep-alive, Upgrade",
        "Upgrade": b"websocket",
        "Sec-WebSocket-Key": KEY,
        "Sec-WebSocket-Version": b"13",
    } | {name.replace("_", "-"): value for name, value in fields.items()}
    lines = [b"%b: %b\r\n" % (name.encode(), value) for name, value in given.items() if value is not None]
    return b"GET %b HTTP/1.1\r\n%b\r\n" % (path, b"".join(lines))


def granting(
    version: bytes = b"1.1", upgrade: bytes = b"websocket", connection: bytes = b"Upgrade", accepted: bytes = ACCEPT
) -> bytes:
    return (
        b"HTTP/%b 101 Switching Protocols\r\nUpgrade: %b\r\nConnection: %b\r\nSec-WebSocket-Accept: %b\r\n"
        b"Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover\r\n\r\n"
        % (version, upgrade, connection, accepted)
    )


GRANTED = granting()


@contextlib.contextmanager
def tunnel(node: Node, backend: RawBackend, path: bytes = b"/chat", **fields: bytes) -> Iterator[tuple[Wire, Wire]]:
    with node.client() as client:
        client.send(asking(path, **fields))
        with backend.accept() as server:
            server.head()
            server.send(GRANTED)
            assert b" 101 " in client.head()
            yield client, server


def passes(client: Wire, server: Wire, word: bytes = b"ping") -> None:
    """Bytes go both ways."""
    client.send(word)
    assert server.exactly(len(word)) == word
    server.send(word[::-1])
    assert client.exactly(len(word)) == word[::-1]


def ended(node: Node) -> dict[str, object]:
    """The one line that was logged."""
    (line,) = node.log_lines(1)
    told: dict[str, object] = json.loads(line)
    return told


STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: Text/Event-Stream; charset=utf-8\r\n\r\n"


@contextlib.contextmanager
def stream(node: Node, backend: RawBackend, path: bytes, head: bytes = STREAM) -> Iterator[tuple[Wire, Wire]]:
    with node.client() as client:
        client.send(b"GET %b HTTP/1.1\r\nHost: shop\r\n\r\n" % path)
        with backend.accept() as server:
            server.head()
            server.send(head, b"data: 1\n\n")
            assert client.until(b"data: 1\n\n")
            yield client, server
