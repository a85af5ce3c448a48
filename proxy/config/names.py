"""Names that protocols define: tokens, headers, methods; and places as the plan writes them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from proxy.config.problems import nearest, quoted

if TYPE_CHECKING:
    from proxy.config.problems import Marked, Report
    from proxy.config.text.nodes import Scalar

_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")

FRAMING_HEADERS: Final = frozenset(
    (
        "connection", "content-length", "expect", "keep-alive", "proxy-connection", "te", "trailer",
        "transfer-encoding", "upgrade",
    )
)  # fmt: skip
"""RFC 9110 §7.6.1, RFC 9112 §6: they hold for one connection, and the proxy writes them itself."""

OWN_HEADERS: Final = FRAMING_HEADERS | {
    *("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto"),
    *("x-request-id", "x-strangler", "x-strangler-error"),
}
"""With those that say who came before the proxy."""

_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")


def is_token(text: str) -> bool:
    """RFC 9110 §5.6.2: what header names, methods and cookie names are made of."""
    return _TOKEN.fullmatch(text) is not None


def check_header(scalar: Scalar, where: str, report: Report) -> bool:
    """Whether a scalar is a header's name."""
    if is_token(scalar.text):
        return True
    report.tell(
        "bad-header", scalar, where, f"{quoted(scalar.text)} is no header name; write it without colon or spaces"
    )
    return False


def check_method(scalar: Scalar, where: str, report: Report) -> bool:
    """Whether a scalar is a method that can arrive."""
    method = scalar.text
    if not is_token(method):
        report.tell("bad-method", scalar, where, f"{quoted(method)} is no method{nearest(method.upper(), _METHODS)}")
    elif method.upper() in _METHODS and method not in _METHODS:
        text = f'methods are compared letter by letter; did you mean "{method.upper()}"?'
        report.tell("bad-method", scalar, where, f"{quoted(method)}: {text}")
    elif method == "CONNECT":
        report.tell("bad-method", scalar, where, '"CONNECT" is refused by this proxy and matches no route')
    else:
        return True
    return False


def place(file: str, mark: Marked) -> str:
    """A place as the plan has it."""
    return f"{file}:{mark.line}:{mark.column}"
