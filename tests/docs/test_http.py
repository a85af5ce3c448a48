"""docs/http.md names tests that exist; docs/smuggling.md shows the vectors that are sent."""

from __future__ import annotations

import functools
import re

from tests.docs.reading import ROOT, table_after
from tests.http import test_fidelity
from tests.http.tables import PAGE, with_tables
from tests.http.vectors import read

_TEXT = (ROOT / "docs" / "http.md").read_text("utf-8")
_ROWS = [
    [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|"))]
    for line in _TEXT.splitlines()
    if re.match(r"\| \d", line)
]


@functools.cache  # it reads every test
def _exists() -> set[str]:
    functions = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^(?:async )?def (test_\w+)", path.read_text("utf-8"), re.MULTILINE)
    }
    return functions | {vector.family for file in ("smuggling.yaml", "splitting.yaml") for vector in read(file)}


def test_every_clause_says_what_is_done_and_names_tests_that_exist() -> None:
    assert len(_ROWS) > 70
    there = _exists()
    for row in _ROWS:
        clause, asked, here, held_by = row
        assert clause, row
        assert asked, row
        assert here, row
        named = re.findall(r"`([^`]+)`", held_by)
        assert named, row
        assert [name for name in named if name not in there] == []


def test_every_departure_has_its_reason() -> None:
    departures = [here for _, _, here, _ in _ROWS if "**Departs**" in here]
    assert len(departures) >= 5
    assert [here for here in departures if not re.search(r"[.:,] \w.{20,}", here.partition("**Departs**")[2])] == []


def test_tests_that_stand_in_prose_exist() -> None:
    assert [name for name in re.findall(r"`(test_\w+)`", _TEXT) if name not in _exists()] == []


def test_what_other_proxies_do_otherwise_is_what_the_tests_expect_of_them() -> None:
    expected = [
        [name, *(mark.args[0].get(peer, "the same") for peer in ("nginx", "haproxy"))]
        for name, test in vars(test_fidelity).items()
        for mark in getattr(test, "pytestmark", ())
        if mark.name == "differs"
    ]
    assert len(expected) > 10
    assert table_after(_TEXT, "| Test | nginx | HAProxy |") == expected


def test_the_tables_of_what_could_be_smuggled_are_those_of_the_vectors() -> None:
    page = PAGE.read_text("utf-8")
    assert page == with_tables(page)  # to write it anew: python -m tests.http.tables
