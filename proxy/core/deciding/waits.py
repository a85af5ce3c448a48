"""For how long a backend is waited for: what a route says goes before its area's word, and that before the backend's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.core.model import Backend

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.core.plan import Area, BackendSpec, Route


class Waits:
    """How long one backend is waited for, and who says so.

    Attributes:
        timeout_s: longest silence while waiting for the head or the next byte.
        total_s: for a whole exchange; None: any time.
        timeout_of: `route`, `area` or `backend`; `total_of` likewise.
    """

    __slots__ = ("timeout_of", "timeout_s", "total_of", "total_s")

    def __init__(self, timeout_s: float, total_s: float | None, timeout_of: str, total_of: str) -> None:
        self.timeout_s = timeout_s
        self.total_s = total_s
        self.timeout_of = timeout_of
        self.total_of = total_of


def waits(spec: BackendSpec, area: Area | None, route: Route | None) -> Waits:
    """How long a backend is waited for; an area and a route may say otherwise."""
    found = Waits(spec.timeout_s, spec.total_s, "backend", "backend")
    for whose, record in (("area", area), ("route", route)):
        said = None if record is None or record.patience is None else record.patience.get(spec.name)
        if said is None:
            continue
        if said.timeout_s is not None:
            found.timeout_s, found.timeout_of = said.timeout_s, whose
        if said.total_s is not None:
            found.total_s, found.total_of = said.total_s or None, whose
    return found


def waits_of_route(backends: Mapping[Backend, BackendSpec], area: Area, route: Route) -> dict[Backend, Waits] | None:
    """The same for both backends; None where neither the area nor the route says anything."""
    if area.patience is None and route.patience is None:
        return None
    return {backend: waits(spec, area, route) for backend, spec in backends.items()}
