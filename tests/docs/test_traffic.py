"""docs/traffic.md says what the traffic path does."""

from __future__ import annotations

import re
from pathlib import Path

from proxy.config.edges.limits import ROWS
from proxy.core.limits import Limit, Limits
from proxy.core.telling.faults import Fault, Kind, Party, Stage
from proxy.traffic.exchanges.exchange import IDEMPOTENT
from tests.config.reference import with_limits

TEXT = (Path(__file__).parents[2] / "docs" / "traffic.md").read_text()


def test_every_kind_of_fault_is_told_with_its_statuses() -> None:
    section = TEXT.split("## Answers of the proxy's own")[1]
    rows = dict(re.findall(r"^\| `([a-z_]+)` \| (.*?) \|", section, re.MULTILINE))
    assert set(rows) == {kind.value for kind in Kind}
    for kind in Kind:
        for party in (Party.CLIENT, Party.NEW):
            assert str(Fault(party, Stage.HEAD, kind).status) in rows[kind.value]
    for word in (*Party, *Stage):
        assert f"`{word}`" in TEXT


def test_the_table_of_limits_is_the_programs_own() -> None:
    assert with_limits(TEXT) == TEXT  # to write it anew: python -m tests.config.write_pages
    assert [row.limit for row in ROWS] == list(Limit)
    assert {row.field for row in ROWS} == set(Limits.__struct_fields__)


def test_methods_that_are_sent_twice_are_named() -> None:
    sentence = re.search(r"before a byte of an answer came, (.*?) are sent once more", TEXT, re.DOTALL)
    assert sentence is not None
    assert set(re.findall(r"[A-Z]{3,}", sentence[1])) == {method.decode() for method in IDEMPOTENT}
