"""For how long a backend is waited for: the keys `timeout` and `total` of areas and routes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from proxy.config.kinds import JsonSchema, Key, Shape
from proxy.config.quantities import Duration
from proxy.config.text.nodes import Mapping, Node
from proxy.core.care.reaching import Patience
from proxy.core.model import Backend

if TYPE_CHECKING:
    from proxy.config.kinds import Fields
    from proxy.config.problems import Report

_BySystem = dict[Backend, float]


@dataclass(frozen=True)
class OfSystems:
    """A duration for both systems, or a mapping with one for each."""

    item: Duration

    @property
    def words(self) -> str:
        return f"{self.item.words}; or one for each system: `{{legacy: 60s, new: 8s}}`"

    def read(self, node: Node, where: str, report: Report) -> _BySystem | None:
        if not isinstance(node, Mapping):
            both = self.item.read(node, where, report)
            return None if both is None else dict.fromkeys(Backend, both)
        keys = {backend: Key(name=backend.value, kind=self.item, meaning="") for backend in Backend}
        fields = Shape(where, keys.values(), needs_one=True).read(node, where, report)
        if fields is None:
            return None
        found = {backend: fields[key] for backend, key in keys.items()}
        return {backend: seconds for backend, seconds in found.items() if seconds is not None}

    def schema(self) -> JsonSchema:
        one = self.item.schema()
        each = {
            "type": "object",
            "additionalProperties": False,
            "properties": {backend.value: one for backend in Backend},
            "minProperties": 1,
        }
        return {"anyOf": [one, each]}


_TIMEOUT: Final = OfSystems(Duration())
_TOTAL: Final = OfSystems(Duration(may_be_off=True))

AREA_TIMEOUT = Key(
    name="timeout",
    kind=_TIMEOUT,
    default="the backend's",
    meaning="The longest silence while waiting for the head or the next byte. nginx `proxy_read_timeout` of a location.",
)
AREA_TOTAL = Key(
    name="total",
    kind=_TOTAL,
    default="the backend's",
    meaning="The longest time for a whole exchange. Envoy `timeout` of a route.",
)
ROUTE_TIMEOUT = Key(
    name="timeout", kind=_TIMEOUT, default="the area's, else the backend's", meaning=AREA_TIMEOUT.meaning
)
ROUTE_TOTAL = Key(name="total", kind=_TOTAL, default="the area's, else the backend's", meaning=AREA_TOTAL.meaning)


def draft_patience(fields: Fields, timeout: Key[_BySystem], total: Key[_BySystem]) -> dict[Backend, Patience] | None:
    """What was written, by system; None: nothing."""
    timeouts, totals = fields[timeout] or {}, fields[total] or {}
    found = {
        backend: Patience(timeout_s=timeouts.get(backend), total_s=_or_off(totals.get(backend)))
        for backend in Backend
        if backend in timeouts or backend in totals
    }
    return found or None


def _or_off(seconds: float | None) -> float | None:
    return 0.0 if seconds is not None and math.isinf(seconds) else seconds
