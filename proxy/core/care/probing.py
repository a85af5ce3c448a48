"""What a row of probes says of an endpoint. One probe that fails says little, and neither does one that succeeds."""

from __future__ import annotations

from proxy.core.model import Backend


def addressed(url: str, address: str) -> str:
    """An endpoint of a backend: its URL, and which address of its host is meant; empty: the URL has it, or none is known."""
    return f"{url} {address}" if address else url


def endpoint_name(backend: Backend, endpoint: str) -> str:
    """An endpoint (as `addressed` has it) as control and workers name it to each other, and to people."""
    return f"{backend.value} {endpoint}"


class ProbeTally:
    """Counts what speaks against the present verdict, in a row.

    Attributes:
        healthy: the verdict; until enough is known, the one it began with.
        known: whether any probe has come back.
        why: how the last one failed; empty: it didn't.
    """

    __slots__ = ("_against", "_healthy_after", "_unhealthy_after", "healthy", "known", "why")

    def __init__(self, *, unhealthy_after: int, healthy_after: int, healthy: bool = True) -> None:
        self._unhealthy_after = unhealthy_after
        self._healthy_after = healthy_after
        self._against = 0
        self.healthy = healthy
        self.known = False
        self.why = ""

    def take(self, why: str) -> bool:
        """Take the outcome of one probe.

        Args:
            why: it failed; empty: it didn't.

        Returns:
            Whether the verdict changed.
        """
        self.known = True
        self.why = why
        if (why == "") is self.healthy:
            self._against = 0
            return False
        self._against += 1
        if self._against < (self._unhealthy_after if self.healthy else self._healthy_after):
            return False
        self._against = 0
        self.healthy = not self.healthy
        return True
