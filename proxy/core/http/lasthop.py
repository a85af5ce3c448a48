"""`Max-Forwards`: how far an OPTIONS or a TRACE may still go, and what is answered where it ends (RFC 9110 §7.6.2).

The last hop answers as the final recipient would. A TRACE tells what arrived, and what arrived here may hold secrets
that its sender doesn't know (a gateway's token, an account, a cookie that scripts mustn't read): only lines of names
that are known to hold none are told (RFC 9110 §9.3.8 excludes the others by name; names of secrets are endless).
"""

from __future__ import annotations

from typing import Final

from proxy.core.http.badmessage import BadMessage
from proxy.core.http.message import RequestHead

FIELD: Final = b"max-forwards"
LIMITED: Final = frozenset({b"OPTIONS", b"TRACE"})
"""Methods to which it applies; with any other it passes as it came."""

OFFERED: Final = "GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH, TRACE"
"""`Allow`, of the proxy itself: every method passes but CONNECT."""

_MOST_DIGITS: Final = 9
_TOLD: Final = frozenset(
    {
        *(
            b"host",
            b"via",
            FIELD,
            b"user-agent",
            b"date",
            b"range",
            b"cache-control",
            b"content-length",
            b"content-type",
        ),
        *(b"accept", b"accept-encoding", b"accept-language", b"accept-charset", b"expect", b"te", b"connection"),
    }
)


class LastHop(Exception):
    """The request goes no further: `message` is the answer's fields and body, without status line and final fields."""

    def __init__(self, fields: tuple[str, ...], body: bytes) -> None:
        super().__init__("Max-Forwards: 0")
        self.fields = fields
        self.body = body


def one_hop_less(head: RequestHead) -> bytes:
    """The line that is passed on.

    Raises:
        LastHop: it may go no further; the proxy answers.
        BadMessage: the field can't be read (400).
    """
    value = head.values[FIELD]
    if not value.isdigit() or len(value) > _MOST_DIGITS or len(head.all(FIELD)) > 1:
        raise BadMessage("malformed Max-Forwards")
    left = int(value)
    if left == 0:
        raise _answered(head)
    return b"Max-Forwards: %d" % (left - 1)


def _answered(head: RequestHead) -> LastHop:
    if head.method == b"OPTIONS":
        return LastHop((f"Allow: {OFFERED}",), b"")
    told = [line for name, line in zip(head.names, head.lines, strict=True) if name in _TOLD]
    start = b"%b %b HTTP/1.%d" % (head.method, head.target, head.minor)
    return LastHop(("Content-Type: message/http",), b"\r\n".join([start, *told, b"", b""]))
