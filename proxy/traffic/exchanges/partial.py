"""What can be said already of a head that has not come whole: whether it can still become one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from proxy.core.http.badmessage import BadMessage, TooLarge
from proxy.core.http.message import BARE_LINE_END
from proxy.core.limits import Limit

if TYPE_CHECKING:
    from proxy.core.limits import Limits

_TOKEN_START: Final = frozenset(b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
_ANSWER_START: Final = b"HTTP/1."


def flaw_of_request(part: bytearray, searched: int, limits: Limits) -> BadMessage | None:
    """Why what came of a request's head can't become one; `searched` bytes of it were looked at before."""
    line_end = part.find(b"\r\n", 0, limits.request_line_bytes)
    if line_end < 0 and len(part) >= limits.request_line_bytes:
        return TooLarge("the request line is too long", Limit.REQUEST_LINE, 414)
    if len(part) > limits.head_bytes:
        return TooLarge("the head is too long", Limit.HEAD, 431)
    if part and part[0] not in _TOKEN_START and part != b"\r":
        # Another protocol (a TLS hello starts with 0x16): say so now, not when the time is up.
        return BadMessage("malformed request line")
    if BARE_LINE_END.search(part, max(0, searched - 1)):
        return BadMessage("a line ends without CR")
    return None


def flaw_of_answer(part: bytes, searched: int, limits: Limits) -> BadMessage | None:
    """Why what came of an answer's head can't become one; `searched` bytes of it were looked at before."""
    if part[: len(_ANSWER_START)] != _ANSWER_START[: len(part)]:
        return BadMessage("it doesn't begin as an HTTP/1 answer does")
    if len(part) > limits.answer_head_bytes:
        return TooLarge("the answer's head is too long", Limit.ANSWER_HEAD)
    if BARE_LINE_END.search(part, max(0, searched - 1)):
        return BadMessage("a line of the answer's head ends without CR")
    return None
