"""Segments, lowered: named sets of accounts, or conditions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from proxy.core.facts import Facts
from proxy.core.model import Standing
from proxy.core.plan import Segment
from proxy.core.table import Table

Test = Callable[[Facts], bool]


class LiveSegment:
    """A segment, ready to be asked.

    Attributes:
        needs_account: whether membership depends on the account. Then nobody whose identity is invalid
            belongs to it, whichever way its conditions point.
    """

    __slots__ = ("_tests", "name", "needs_account")

    def __init__(self, name: str, tests: tuple[Test, ...], *, needs_account: bool) -> None:
        self.name: Final = name
        self.needs_account: Final = needs_account
        self._tests = tests

    def holds(self, facts: Facts) -> bool:
        """Whether the request belongs to it."""
        if self.needs_account and facts.standing is Standing.INVALID:
            return False
        return all(test(facts) for test in self._tests)


def lower_segment(record: Segment, known: Mapping[str, LiveSegment], table: Table | None) -> LiveSegment:
    """Lower one segment; the ones it names are lowered already."""
    tests: list[Test] = []
    needs_account = record.accounts is not None or record.attributes is not None
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
    for names in (record.any_of, record.all_of, record.none_of):
        needs_account = needs_account or any(known[name].needs_account for name in names or ())
    return LiveSegment(record.name, tuple(tests), needs_account=needs_account)
