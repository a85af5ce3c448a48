"""docs/traffic.md says what the traffic path does."""

from __future__ import annotations

import re
from pathlib import Path

from proxy.core.faults import Fault, Kind, Party, Stage
from proxy.traffic.exchange import IDEMPOTENT
from proxy.traffic.limits import Limits

TEXT = (Path(__file__).parents[2] / "docs" / "traffic.md").read_text()


def test_every_kind_of_fault_is_told_with_its_statuses() -> None:
    rows = dict(re.findall(r"^\| `([a-z_]+)` \| (.*?) \|", TEXT, re.MULTILINE))
    assert set(rows) == {kind.value for kind in Kind}
    for kind in Kind:
        for party in (Party.CLIENT, Party.NEW):
            assert str(Fault(party, Stage.HEAD, kind).status) in rows[kind.value]
    for word in (*Party, *Stage):
        assert f"`{word}`" in TEXT


def test_limits_are_told_as_they_are() -> None:
    limits = Limits()
    waits = {
        "a request's head, from its first byte": limits.head_s,
        "the next request on a connection": limits.idle_s,
        "a client that doesn't read its answer": limits.client_stall_s,
        "the next request on a connection to a backend": limits.backend_idle_s,
    }
    for what, seconds in waits.items():
        assert re.search(rf"^\| {re.escape(what)} \| {seconds:g} s", TEXT, re.MULTILINE), what
    assert limits.tunnel_idle_s == 3600
    assert "| a byte in either direction of a WebSocket | 1 h |" in TEXT
    assert f"| the same after one side has ended | {limits.tunnel_half_closed_s:g} s |" in TEXT
    assert f"{limits.head_bytes // 1024} KiB (431)" in TEXT
    assert f"{limits.request_line_bytes // 1024} KiB (414)" in TEXT
    assert f"{limits.replay_bytes // 1024} KiB of body" in TEXT


def test_methods_that_are_sent_twice_are_named() -> None:
    sentence = re.search(r"before a byte of an answer came, (.*?) are sent once more", TEXT, re.DOTALL)
    assert sentence is not None
    assert set(re.findall(r"[A-Z]{3,}", sentence[1])) == {method.decode() for method in IDEMPOTENT}
