"""What of control's words a worker heeds: who is unhealthy, and which addresses names have."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from proxy.core.telling.pages import Page, Probed, Resolved
from proxy.supervise.heeding import Heeding

Addresses = Mapping[str, tuple[str, ...]]
"""Of each name that is known."""


def probe_watch(page: Page[Probed], changed: Callable[[frozenset[str]], None]) -> Heeding[Probed, frozenset[str]]:
    """The names of endpoints that don't answer their probes; when nobody probes any more all count as healthy."""
    return Heeding(page, lambda told: frozenset(told.unhealthy), frozenset(), changed)


def name_watch(page: Page[Resolved], changed: Callable[[Addresses], None]) -> Heeding[Resolved, Addresses]:
    """The addresses of names; when nobody asks for them any more, none: then a worker asks the system at each connection."""
    return Heeding(page, lambda told: {name: tuple(rest) for name, *rest in told.names}, {}, changed)
