"""A recording backend, and each proxy in front of one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.http.fronts import OURS, PEERS, Front, front, missing
from tests.http.oracle import Oracle


@pytest.fixture(scope="module")
def oracle() -> Iterator[Oracle]:
    """A backend that records."""
    backend = Oracle()
    yield backend
    backend.close()


@pytest.fixture(scope="module", params=[OURS, *PEERS])
def proxy(request: pytest.FixtureRequest, oracle: Oracle) -> Iterator[Front]:
    """Each proxy, in front of the oracle."""
    name: str = request.param
    if (why := missing(name)) is not None:
        pytest.skip(why)
    with front(name, oracle.url) as running:
        yield running
