"""docs/deciding.md and docs/first-steps.md say what the code does."""

from __future__ import annotations

from proxy.config.compile import compile_files
from proxy.config.text.fileset import FileSet
from proxy.core.model import Backend, Reason
from proxy.core.targeting.bucketing import bucket
from tests.core.plans import ask, live, plan, route
from tests.demo.sample import ask_sample
from tests.docs.reading import ROOT, blocks, table_after

_DECIDING = (ROOT / "docs" / "deciding.md").read_text()
_FIRST_STEPS = (ROOT / "docs" / "first-steps.md").read_text()


def test_every_reason_stands_in_the_tables_and_no_other() -> None:
    tables = table_after(_DECIDING, "| | What decides") + table_after(_DECIDING, "| What happens")
    assert {row[-1] for row in tables} - {"see below"} == {str(reason) for reason in Reason}


def test_the_buckets_of_the_table_are_the_accounts_buckets() -> None:
    rows = table_after(_DECIDING, "| Flag | Account")
    assert len(rows) == 3
    for flag, account, of_100, of_10_000 in rows:
        assert (bucket(flag, account, 100), bucket(flag, account, 10_000)) == (int(of_100), int(of_10_000))


def test_the_accounts_of_the_first_steps_are_answered_as_the_table_says() -> None:
    rows = table_after(_FIRST_STEPS, "| Account | Answered by")
    assert {(account, answer) for account, answer, _ in rows} == {
        (account, str(ask_sample("/orders", account).backend)) for account, _, _ in rows
    }
    for account, _, because in rows:
        place = ask_sample("/orders", account).bucket
        assert place is None or str(place) in because


def test_the_patterns_of_the_table_match_what_it_says_and_no_more() -> None:
    rows = table_after(_DECIDING, "| Pattern | Matches")
    assert len(rows) == 3
    for pattern, matches, others in rows:
        generation = live(plan(route(pattern, to=Backend.NEW)))
        for cell, backend in ((matches, Backend.NEW), (others, Backend.LEGACY)):
            for path in cell.replace("`", "").split(", "):
                assert (path, ask(generation, path).backend) == (path, backend)


def test_the_files_of_the_first_steps_are_without_fault_once_they_are_put_together() -> None:
    routes, identity, area, flag = blocks(_FIRST_STEPS, "yaml")[-4:]
    files = {"routes.yaml": routes + identity + area, "segments/testers.txt": "me\n"}
    assert [one.code for one in compile_files(FileSet.of(files)).complaints] == ["no-flags", "no-flag"]
    whole = compile_files(FileSet.of({**files, "flags/catalogue.flagd.yaml": flag}))
    assert whole.complaints == ()
    assert whole.plan is not None
    assert whole.plan.flags[0].managed
