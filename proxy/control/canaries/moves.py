"""Whom a change of a flag moves, counted over the accounts that are known."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from proxy.core.deciding.facts import Facts
from proxy.core.generation import Generation
from proxy.core.model import Backend, Standing
from proxy.core.targeting.flags import LiveFlag

MOST_ASKED: Final = 200_000
"""Accounts that are asked; of more than that every second, third… is. Asking this many takes about 2 s."""


class Moves(msgspec.Struct, frozen=True, kw_only=True):
    """How many of the register's accounts a change moves.

    Attributes:
        accounts: in the register.
        to_new: that legacy answered before; about, where `counted` is False.
        to_legacy: the other way.
        new: that new answers after it.
        counted: every account was asked; else a part of them, evenly.
    """

    accounts: int
    to_new: int
    to_legacy: int
    new: int
    counted: bool


class HeldBack(msgspec.Struct, frozen=True, kw_only=True):
    """A `legacy` clause before the clause of an added segment.

    Attributes:
        segment: that was added.
        by: the segment of the `legacy` clause.
        place: of that clause.
        accounts: the known accounts of the added one that it holds back; None: none are known, it may be any.
    """

    segment: str
    by: str
    place: str
    accounts: int | None


def count_moves(key: str, before: Generation, after: Generation) -> Moves | None:
    """Ask a flag for every account of the register, before and after; None: there is no register.

    Regions that stand in the register count; those that only a request can tell are absent here.
    """
    register = after.register
    if register is None:
        return None
    stride = 1 + (register.entries - 1) // MOST_ASKED if register.entries else 1
    asked = to_new = to_legacy = new = 0
    for at, (account, _) in enumerate(register):
        if at % stride:
            continue
        asked += 1
        name = account.decode()
        was, now = _answer(before.flags.get(key), before, name), _answer(after.flags.get(key), after, name)
        new += now is Backend.NEW
        to_new += was is not now and now is Backend.NEW
        to_legacy += was is not now and now is Backend.LEGACY
    scale = register.entries / asked if asked else 1
    return Moves(
        accounts=register.entries,
        to_new=round(to_new * scale),
        to_legacy=round(to_legacy * scale),
        new=round(new * scale),
        counted=stride == 1,
    )


def held_back(key: str, segment: str, generation: Generation) -> list[HeldBack]:
    """The `legacy` clauses that stand before what gives new to a segment, and whom they hold back.

    A clause that holds back none of the accounts that are known is left out.
    """
    flag = generation.flags[key].record
    found = []
    for clause in flag.clauses:
        match clause.when, clause.then:
            case {"in": [str() as by, _]}, "legacy":
                accounts = _in_both(segment, by, generation)
                if accounts is None or accounts:
                    found.append(HeldBack(segment=segment, by=by, place=clause.place, accounts=accounts))
            case {"in": [str() as name, _]}, "new" if name == segment:
                break
            case _:
                pass
    return found


def _in_both(segment: str, other: str, generation: Generation) -> int | None:
    register = generation.register
    if register is None or register.entries > MOST_ASKED:
        return None
    count = 0
    for account, _ in register:
        facts = _facts(generation, account.decode())
        count += facts.in_segment(segment) and facts.in_segment(other)
    return count


def _answer(flag: LiveFlag | None, generation: Generation, account: str) -> Backend:
    if flag is None:
        return Backend.LEGACY
    return flag.answer(_facts(generation, account), None)[0]


def _facts(generation: Generation, account: str) -> Facts:
    """An account, as far as it can be known without a request: managed flags ask for nothing else."""
    facts = Facts()
    facts.generation = generation
    facts.account = account
    facts.standing = Standing.KNOWN
    facts.grade = facts.detail = facts.area = facts.route_id = None
    facts.forget_segments()
    facts.region = next(_regions(facts, generation), None)
    return facts


def _regions(facts: Facts, generation: Generation) -> Iterator[str]:
    for source in generation.region_sources:
        if source.source.source == "account" and (region := source.read(facts)) is not None:
            yield region
