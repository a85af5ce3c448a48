"""The answers that the proxy gives itself."""

from __future__ import annotations

from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from proxy.core.http.lasthop import OFFERED, LastHop
from proxy.core.telling.faults import Fault, Kind

if TYPE_CHECKING:
    from proxy.core.http.errorpage import LiveErrorPage

RETRY_AFTER_S: Final = 1
"""What a client is told when a limit was reached: the next second may be different, a stampede sooner doesn't help."""

_EXPLAINED: Final = {
    Kind.MALFORMED: "a message could be read in more than one way, or in none",
    Kind.LOOPED: "this proxy has passed the request on before",
    Kind.TOO_LARGE: "a message is larger than is taken here",
    Kind.TIMEOUT: "nothing came for too long",
    Kind.CUT: "the connection ended before the answer did",
    Kind.LEFT: "the client hung up",
    Kind.UNREACHABLE: "no connection could be made",
    Kind.UNTRUSTED: "the certificate of a system behind this proxy can't be trusted",
    Kind.HANDSHAKE: "no TLS could be agreed on with a system behind this proxy",
    Kind.BUSY: "as many requests are in flight as are allowed",
    Kind.CAPPED: "more requests came than are taken in this time",
    Kind.TRIPPED: "a system behind this proxy left too many requests unanswered; it is let alone for a moment",
    Kind.DRAINED: "this process is ending",
    Kind.DRILLED: "a drill: it stands for an answer of the system behind this proxy",
    Kind.FROZEN: "writes stand still for a moment, while data is moved",
    Kind.ROLLED_BACK: "a rollback covers it",
    Kind.FAILED: "a defect of the proxy; its log has the trace",
}


def refusal(
    fault: Fault,
    status: int,
    *,
    request_id: bytes,
    why: str | None,
    close: bool,
    minor: int = 1,
    head_only: bool = False,
    retry_after_s: int = RETRY_AFTER_S,
    page: LiveErrorPage | None = None,
    told: bytes = b"",
) -> bytes:
    """A whole answer.

    Args:
        fault: named in the marker header.
        status: usually the fault's own.
        request_id: told in header and body, so that a person can quote it.
        why: what was wrong, when the fault's kind doesn't say enough; never a client's bytes.
        close: whether the connection ends after it.
        minor: the x of the request's HTTP/1.x.
        head_only: the request was HEAD.
        retry_after_s: when to try again, where that makes sense.
        page: the operator's; None: a few lines of text.
        told: the line that says who was to answer, with its CRLF, for a trusted peer.
    """
    phrase = HTTPStatus(status).phrase
    name, told_id = fault.name, request_id.decode()
    if page is None:
        content_type = "text/plain; charset=utf-8"
        text = f"{status} {phrase}\n{why or _EXPLAINED[fault.kind]}\nfault: {name}\nrequest: {told_id}\n"
        body = text.encode()
    else:
        content_type = page.content_type
        body = page.filled(status=status, reason=phrase, fault=name, request_id=told_id)
    lines = [
        f"HTTP/1.1 {status} {phrase}",
        f"Date: {formatdate(usegmt=True)}",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        f"X-Strangler-Error: {name}",
        f"X-Request-ID: {told_id}",
    ]
    if fault.kind in (Kind.BUSY, Kind.TRIPPED, Kind.CAPPED, Kind.DRAINED, Kind.FROZEN):
        lines.append(f"Retry-After: {retry_after_s}")
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        lines.append(f"Allow: {OFFERED}")
    if close:
        lines.append("Connection: close")
    elif minor == 0:
        lines.append("Connection: keep-alive")
    head = "\r\n".join([*lines, ""]).encode() + told + b"\r\n"
    return head if head_only else head + body


def last_hop(last: LastHop, *, request_id: bytes, close: bool, minor: int) -> bytes:
    """The whole answer to a request that may go no further; the arguments are those of `refusal`."""
    lines = [
        "HTTP/1.1 200 OK",
        f"Date: {formatdate(usegmt=True)}",
        *last.fields,
        f"Content-Length: {len(last.body)}",
        "Cache-Control: no-store",
        f"X-Request-ID: {request_id.decode()}",
    ]
    if close:
        lines.append("Connection: close")
    elif minor == 0:
        lines.append("Connection: keep-alive")
    return "\r\n".join([*lines, "", ""]).encode() + last.body
