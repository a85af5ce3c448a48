"""A request that two readers could understand differently reaches no backend, or reaches it in one form."""

from __future__ import annotations

import re

import pytest

from tests.http.answers import everything, told
from tests.http.fronts import OURS, Front
from tests.http.oracle import Oracle
from tests.http.vectors import NEXT, Outcome, Vector, read


def ask(proxy: Front, raw: bytes) -> list[str]:
    """Send it with another request behind, and give the answers until the connection ends."""
    with proxy.client() as client:
        client.send(raw, NEXT)
        return told(everything(client), [re.split(rb"[^A-Z]", raw.lstrip())[0]])


@pytest.mark.parametrize("vector", read("smuggling.yaml"), ids=str)
def test_what_could_be_read_in_two_ways_is_refused_or_passes_in_one_form(
    proxy: Front, oracle: Oracle, vector: Vector
) -> None:
    if vector.alone is not None and proxy.name != OURS:
        pytest.skip(vector.alone)
    oracle.forget()
    answers = [answer[:3] for answer in ask(proxy, vector.wire)]
    seen = [request.words for request in oracle.seen]
    if proxy.name == OURS:
        assert Outcome(answers, seen) == vector.ours
        assert bool(oracle.raw) == bool(seen)
        for line in vector.all("lines"):
            assert line in oracle.seen[0].lines
        for piece in vector.all("never"):
            assert piece.lower() not in oracle.raw.lower()
    else:
        assert Outcome(answers, seen) in vector.allowed(proxy.name)
