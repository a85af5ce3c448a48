"""An answer that two readers could understand differently is a 502 or cut, and never the answer to another request."""

from __future__ import annotations

from typing import Any

import pytest

from tests.http.answers import everything, told
from tests.http.fronts import OURS, Front
from tests.http.oracle import Oracle
from tests.http.vectors import NEXT, Vector, read


def expected(value: Any) -> list[str]:
    """As vectors write it."""
    return [str(value), "200 ok"] if isinstance(value, int) else value


def ask(proxy: Front, oracle: Oracle, vector: Vector) -> tuple[list[str], bytes]:
    """What the client makes of the answers, and their bytes. Of a proxy's own answer the status alone counts."""
    oracle.forget()
    oracle.answer = vector.wire
    oracle.closes = vector.row.get("closes", False)
    method = vector.row.get("asks", "GET").encode()
    with proxy.client() as client:
        client.send(method, b" / HTTP/1.1\r\nHost: shop\r\n\r\n", NEXT)
        raw = everything(client)
    return [answer[:3] if answer.startswith("50") else answer for answer in told(raw, [method])], raw


@pytest.mark.parametrize("vector", read("splitting.yaml"), ids=str)
def test_an_answer_that_could_be_read_in_two_ways_is_refused_cut_or_passes_in_one_form(
    proxy: Front, oracle: Oracle, vector: Vector
) -> None:
    answers, raw = ask(proxy, oracle, vector)
    if proxy.name == OURS:
        assert answers == expected(vector.row["ours"])
        for piece in vector.all("never"):
            assert piece not in raw
    elif answers != expected(vector.row["ours"]):
        assert (answers or ["nothing"])[0] == vector.row[proxy.name]
