"""Routes that can never be reached: one that is asked before answers for all that would come to them.

Within a host tier only equal shapes can hide each other, for the more specific pattern is asked first and never
matches more; but `regex:` comes last of all, so whatever covers every path hides it. Cost is near-linear: covering
routes are looked up by one of the values that the covered one must share with them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proxy.config.routes.drafts import RouteDraft
    from proxy.core.plan import Route

_Conditions = dict[str, frozenset[str]]
_EVERYTHING = ("**",)  # the shape of `/**`


def hidden_routes(routes: Iterable[RouteDraft]) -> Iterator[tuple[RouteDraft, RouteDraft]]:
    """Find (a route that is never reached, the route that answers before it).

    Args:
        routes: in file order.
    """
    tiers: dict[str | None, list[RouteDraft]] = defaultdict(list)
    for route in routes:
        if route.shape is not None:
            tiers[route.record.host].append(route)
    for tier in tiers.values():
        yield from _hidden_in_tier(tier)


def _hidden_in_tier(tier: list[RouteDraft]) -> Iterator[tuple[RouteDraft, RouteDraft]]:
    shapes: dict[object, list[RouteDraft]] = defaultdict(list)
    for route in tier:
        if not route.regex:
            shapes[route.shape].append(route)
    covers: dict[object, _Cover] = {}
    for shape, routes in shapes.items():
        covers[shape] = cover = _Cover()
        for route in routes:
            yield from cover.ask_and_add(route)
    everything = covers.get(_EVERYTHING, _Cover())
    expressions: dict[object, _Cover] = defaultdict(_Cover)
    for route in tier:
        if route.regex:
            hiding = everything.find(_conditions(route.record))
            if hiding is not None:
                yield route, hiding
            else:
                yield from expressions[route.shape].ask_and_add(route)


class _Cover:
    """Routes of one shape, found by what they ask for."""

    def __init__(self) -> None:
        self._unconditional: RouteDraft | None = None
        # which keys a route asks for → (one of these keys, a value) → routes
        self._by_keys: dict[frozenset[str], dict[tuple[str, str], list[tuple[_Conditions, RouteDraft]]]] = {}

    def ask_and_add(self, route: RouteDraft) -> Iterator[tuple[RouteDraft, RouteDraft]]:
        conditions = _conditions(route.record)
        hiding = self.find(conditions)
        if hiding is not None:
            yield route, hiding
            return  # whatever it would hide is hidden already
        if not conditions:
            self._unconditional = route
            return
        postings = self._by_keys.setdefault(frozenset(conditions), {})
        for key, values in conditions.items():
            for value in values:
                postings.setdefault((key, value), []).append((conditions, route))

    def find(self, asked: _Conditions) -> RouteDraft | None:
        """The first route whose conditions hold whenever `asked` hold."""
        if self._unconditional is not None:
            return self._unconditional
        for keys, postings in self._by_keys.items():
            if not keys <= asked.keys():
                continue
            # A covering route has every value of `asked` under each of its keys: one of them finds it.
            lists = [postings.get((key, next(iter(asked[key]))), []) for key in keys]
            for conditions, route in min(lists, key=len):
                if all(asked[key] <= values for key, values in conditions.items()):
                    return route
        return None


def _conditions(route: Route) -> _Conditions:
    """What a route asks for besides host and path: every key must hold, by any of its values."""
    found: _Conditions = {}
    for key, values in (
        ("methods", route.methods),
        ("segment", route.segment),
        ("region", route.region),
        ("account", route.account),
    ):
        if values:
            found[key] = frozenset(values)
    for kind, pairs in (("header", route.headers), ("query", route.query), ("cookie", route.cookies)):
        for name, values in (pairs or {}).items():
            found[f"{kind} {name}"] = frozenset(values)
    return found
