"""The opening handshake of a WebSocket, as far as somebody in between must understand it (RFC 6455 §4).

Only what decides whether bytes may become a tunnel is read. Version, subprotocol, extensions and origin are between
client and backend, and pass untouched; frames are never read.
"""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha1
from typing import Final

from proxy.core.http.badmessage import BadMessage
from proxy.core.http.framing import NO_BODY
from proxy.core.http.message import AnswerHead, Head, RequestHead

SWITCH_LINES: Final = (b"Connection: Upgrade", b"Upgrade: websocket")
"""What says it anew on each side: these fields concern one connection, so the other side's never pass."""

SWITCH_HEAD: Final = b"".join(line + b"\r\n" for line in SWITCH_LINES)

SWITCHING: Final = 101
"""The status of an answer that makes the two connections a tunnel."""

_MAGIC: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 §1.3
_PREFIX: Final = b"sec-websocket-"


def websocket_key(head: RequestHead) -> bytes | None:
    """The key of a request that asks for a WebSocket; None: it doesn't, or not well enough to be passed on as one.

    What isn't passed on is a plain GET to the backend, which then says what it misses. A version other than 13 is
    the backend's to refuse: it knows which ones it speaks.
    """
    if b"upgrade" not in head.connection or head.method != b"GET" or not head.minor or head.body != NO_BODY:
        return None
    if any(option.startswith(_PREFIX) for option in head.connection):
        return None  # would be taken away as the connection's own
    keys = head.all(b"sec-websocket-key")
    if len(keys) != 1 or not keys[0] or len(head.all(b"sec-websocket-version")) != 1:
        return None
    return keys[0] if b"websocket" in _protocols(head) else None


def check_switch(key: bytes | None, head: AnswerHead) -> None:
    """Whether a 101 makes the two connections a tunnel.

    Args:
        key: what was sent to the backend; None: no WebSocket was asked for.
        head: the backend's 101.

    Raises:
        BadMessage: it doesn't: the backend answers something that wasn't asked (RFC 6455 §4.1).
    """
    if key is None:
        raise BadMessage("101 was not asked for")
    if not head.minor or b"upgrade" not in head.connection or _protocols(head) != [b"websocket"]:
        raise BadMessage("101 switches to something else than a WebSocket")
    if head.all(b"sec-websocket-accept") != [accept(key)]:
        raise BadMessage("101 with a wrong Sec-WebSocket-Accept")


def offered(head: AnswerHead) -> bytes:
    """The lines for a client whose backend wants a WebSocket (426), which has to say so (RFC 9110 §15.5.22); none otherwise."""
    return SWITCH_HEAD if b"websocket" in _protocols(head) else b""


def accept(key: bytes) -> bytes:
    """What a server that understood the key says (RFC 6455 §4.2.2)."""
    return b64encode(sha1(key + _MAGIC, usedforsecurity=False).digest())


def _protocols(head: Head) -> list[bytes]:
    return [one.strip(b" \t").lower() for value in head.all(b"upgrade") for one in value.split(b",")]
