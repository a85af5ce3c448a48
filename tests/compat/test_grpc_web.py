"""gRPC-Web and the Connect protocol, by Connect's own server and client: calls, streams, errors and trailers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.compat.javascript import needs_node, serving, told_by
from tests.compat.setting import Setting, setting

pytestmark = needs_node

REST = """\
areas:
  orders:
    routes: [{path: "/shop.Orders/**"}]
"""
NOT_FOUND, DATA_LOSS, CANCELED = 5, 15, 1


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setting]:
    with ExitStack() as stack:
        legacy, new = (stack.enter_context(serving("grpc_server.js", name)) for name in ("legacy", "new"))
        here = tmp_path_factory.mktemp("grpc") / "proxy"
        # The timeout is also how long a POST goes on whose client has left, as one does here.
        front = setting(here, legacy=legacy, new=new, area="orders", rest=REST, timeout="2s")
        yield stack.enter_context(front)


@pytest.mark.parametrize("protocol", ["grpc-web", "connect"])
@pytest.mark.parametrize(("account", "system"), [("acme", "new"), ("other", "legacy")])
def test_calls_streams_errors_and_trailers_pass(front: Setting, protocol: str, account: str, system: str) -> None:
    assert told_by("grpc_client.js", front.url, protocol, f"acct={account}") == {
        "takenBy": system,
        "length": "7",
        "placed": "Ledgers for acme",
        "large": 3_000_000 + len(" for null"),
        "refused": f"{NOT_FOUND}: no such article – ä",
        "hint": "look again",
        "watched": ["watching orders", "one", "two"],
        "broken": f"{DATA_LOSS}: the stream broke",
        "left": "watching and leave",
        "aborted": CANCELED,
        "watchers": "0",
    }
