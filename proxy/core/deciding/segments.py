"""Segments, lowered: named sets of accounts, or conditions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from proxy.core.deciding.facts import Facts
from proxy.core.model import Standing
from proxy.core.plan import Segment
from proxy.core.table import Table

# Kept: with CPython 3.11 asking an enum for a member by name runs Python code, 500 instructions each time.
_INVALID: Final = Standing.INVALID

Test = Callable[[Facts], bool]


class LiveSegment:
    """A segment, ready to be asked."""

    __slots__ = ("_tests", "name")

    def __init__(self, name: str, tests: tuple[Test, ...]) -> None:
        self.name: Final = name
        self._tests = tests

    def holds(self, facts: Facts) -> bool:
        """Whether the request belongs to it.

        A request whose account or region can't be read belongs to none, whichever way the conditions point: `not`
        would otherwise take "can't be told" for "is elsewhere".
        """
        if facts.standing is _INVALID:
            return False
        return all(test(facts) for test in self._tests)


def lower_segment(record: Segment, table: Table | None) -> LiveSegment:
    """Lower one segment."""
    tests: list[Test] = []
    # Cheap tests first: all of them must hold.
    if record.regions is not None:
        regions = frozenset(record.regions)
        tests.append(lambda facts: facts.region in regions)
    if table is not None:
        tests.append(lambda facts: facts.account is not None and facts.account.encode() in table)
    if record.attributes is not None:
        wanted = {name: frozenset(values) for name, values in record.attributes.items()}

        def has_attributes(facts: Facts) -> bool:
            attributes = facts.attributes()
            return all(attributes.get(name) in values for name, values in wanted.items())

        tests.append(has_attributes)
    if record.any_of is not None:
        any_of = record.any_of
        tests.append(lambda facts: any(facts.in_segment(name) for name in any_of))
    if record.all_of is not None:
        all_of = record.all_of
        tests.append(lambda facts: all(facts.in_segment(name) for name in all_of))
    if record.none_of is not None:
        none_of = record.none_of
        tests.append(lambda facts: not any(facts.in_segment(name) for name in none_of))
    return LiveSegment(record.name, tuple(tests))
