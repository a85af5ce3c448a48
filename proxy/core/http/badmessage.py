"""What is raised about a message that can't be relayed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proxy.core.limits import Limit


class BadMessage(Exception):
    """A head that could be read in two ways, or in none.

    `status` is what a client is told when the head was a request's; a backend's is always a 502.
    """

    def __init__(self, why: str, status: int = 400) -> None:
        super().__init__(why)
        self.why = why
        self.status = status


class TooLarge(BadMessage):
    """More bytes or lines than a limit allows."""

    def __init__(self, why: str, limit: Limit, status: int = 413) -> None:
        super().__init__(why, status)
        self.limit = limit
