"""docs/faults.md is the table that tests/chaos plays."""

from __future__ import annotations

from tests.chaos.table import PAGE, PARTS, with_tables

ASKED_FOR = {
    *("refused", "black-holed", "slow-head", "slow-body", "reset-before-head", "reset-in-head", "reset-after-head"),
    *("surplus", "truncated", "garbage", "stale-get", "flapping", "all-down", "one-refused", "dns-gone", "tls-expired"),
    *("gone-in-head", "gone-in-body", "gone-safe", "gone-in-answer", "flood-one", "worker-killed", "worker-hung"),
    *("control-killed", "disk-full", "descriptors", "restart", "upgrade"),
    *("name-gone", "name-moved", "resolver-dead", "drill-status", "drill-control-killed", "drill-rolled-back"),
}


def test_the_table_of_faults_is_what_is_played() -> None:
    text = PAGE.read_text()
    assert with_tables(text) == text  # to write it anew: python -m tests.chaos.table


def test_no_fault_that_people_ask_about_is_missing_and_none_stands_there_twice() -> None:
    ids = [row.id for rows in PARTS.values() for row in rows]
    assert len(ids) == len(set(ids)) >= 85
    assert set(ids) >= ASKED_FOR
