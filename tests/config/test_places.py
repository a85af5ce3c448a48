"""A key that stands in the wrong place is told with the right one."""

from __future__ import annotations

import pytest

from proxy.config.compile import compile_files
from proxy.config.routes.shapes import AREA, ROUTE
from tests.config import base

AT_AREA = "areas:\n  orders: {cache: off, %s: 5s, routes: [{path: /orders}]}\n"
AT_ROUTE = "areas:\n  orders: {cache: off, routes: [{path: /orders, %s: 5s}]}\n"
BACKENDS = "under backends.legacy or backends.new, not here"


def told(text: str) -> list[tuple[str, str]]:
    return [(one.code, one.text) for one in compile_files(base.files({"routes.yaml": text})).complaints]


@pytest.mark.parametrize(
    ("text", "key", "place"),
    [
        ("max_in_flight: 5\n", "max_in_flight", BACKENDS),
        ("timeout: 5s\n", "timeout", BACKENDS),
        ("pin: 5m\n", "pin", "under areas.NAME, not here"),
        ("visitors: cookie\n", "visitors", "under identity, not here"),
        (AT_AREA % "queue", "queue", BACKENDS),
        (AT_AREA % "host", "host", "at a route, not at its area"),
        (AT_ROUTE % "breaker", "breaker", BACKENDS),
    ],
)
def test_a_key_of_another_place_is_told_with_that_place(text: str, key: str, place: str) -> None:
    assert ("not-here", f'the key "{key}" stands {place}') in told(text)


@pytest.mark.parametrize("key", sorted({*AREA.names} - {*ROUTE.names} - {"routes"}))
def test_every_key_that_only_an_area_has_is_known_as_such_at_a_route(key: str) -> None:
    assert ("not-here", f'the key "{key}" stands at the area, not at a route') in told(AT_ROUTE % key)
