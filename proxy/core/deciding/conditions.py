"""The keys of a route besides host and path, as tests over facts. A new match key is one more row here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from proxy.core.http.cookies import cookie_values, octets_as_text

if TYPE_CHECKING:
    from proxy.core.deciding.facts import Facts
    from proxy.core.deciding.match import Condition
    from proxy.core.plan import Route


def lower_conditions(route: Route) -> tuple[Condition, ...]:
    """Every condition of a route, cheap ones first."""
    return tuple(_conditions(route))


def _conditions(route: Route) -> Iterator[Condition]:
    if route.methods is not None:
        methods = frozenset(method.encode() for method in route.methods)
        yield f"methods {_any_of(route.methods)}", lambda facts: facts.head.method in methods
    if route.region is not None:
        regions = frozenset(route.region)
        yield f"region {_any_of(route.region)}", lambda facts: facts.region in regions
    if route.account is not None:
        accounts = frozenset(route.account)
        yield f"account {_any_of(route.account)}", lambda facts: facts.account in accounts
    if route.segment is not None:
        segments = route.segment
        yield f"segment {_any_of(segments)}", lambda facts: any(facts.in_segment(name) for name in segments)
    yield from _each("header", route.headers, _header)
    yield from _each("cookie", route.cookies, _cookie)
    yield from _each("query", route.query, _query)


def _each(
    kind: str,
    wanted: Mapping[str, tuple[str, ...]] | None,
    build: Callable[[str, frozenset[bytes]], Callable[[Facts], bool]],
) -> Iterator[Condition]:
    for name, values in (wanted or {}).items():
        yield f"{kind} {name} {_any_of(values)}", build(name, frozenset(value.encode() for value in values))


def _header(name: str, values: frozenset[bytes]) -> Callable[[Facts], bool]:
    key = name.lower().encode()

    def test(facts: Facts) -> bool:
        if key in facts.generation.identity_headers and not facts.peer_trusted:
            return False  # from a stranger an identity header is absent, for whoever asks
        return not values.isdisjoint(facts.head.all(key))

    return test


def _cookie(name: str, values: frozenset[bytes]) -> Callable[[Facts], bool]:
    key = octets_as_text(name)
    return lambda facts: not values.isdisjoint(cookie_values(facts.head, key))


def _query(name: str, values: frozenset[bytes]) -> Callable[[Facts], bool]:
    key = name.encode()

    def test(facts: Facts) -> bool:
        query = facts.head.target.partition(b"?")[2]
        pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True, encoding="latin-1")
        return any(given.encode("latin-1") == key and value.encode("latin-1") in values for given, value in pairs)

    return test


def _any_of(values: tuple[str, ...]) -> str:
    return values[0] if len(values) == 1 else f"any of {', '.join(values)}"
