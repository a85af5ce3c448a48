"""An operator's error page: text with places for what differs from one answer to the next.

The values are the proxy's own or of closed form (a request id has no character that HTML or JSON would read otherwise), so
they stand in any kind of text as they are.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from proxy.core.plan import ErrorPage

PLACES: Final = ("status", "reason", "fault", "request_id")
"""`502`, `Bad Gateway`, `new-connect-unreachable`, and what stands in `X-Request-ID`."""

PLACE: Final = re.compile(r"\{\{ *([A-Za-z_]+) *\}\}")

TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".htm": "text/html; charset=utf-8",
    ".json": "application/json",
    ".txt": "text/plain; charset=utf-8",
    ".xml": "application/xml",
}
"""Content types by the suffix of the file."""


class LiveErrorPage:
    """A page that can be filled in.

    Attributes:
        content_type: its own.
    """

    __slots__ = ("_parts", "content_type")

    def __init__(self, record: ErrorPage) -> None:
        self.content_type = record.content_type
        self._parts = PLACE.split(record.text)  # text, place, text, …, text

    def filled(self, *, status: int, reason: str, fault: str, request_id: str) -> bytes:
        """The page for one answer."""
        values = {"status": str(status), "reason": reason, "fault": fault, "request_id": request_id}
        return "".join(values[part] if i % 2 else part for i, part in enumerate(self._parts)).encode()
