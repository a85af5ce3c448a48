"""A flag, lowered: clauses from the top, the first whose predicate holds gives the outcome."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from proxy.core.model import Backend, Reason
from proxy.core.plan import Clause, Flag
from proxy.core.targeting.jsonvalues import truthy
from proxy.core.targeting.logic import Run, lower, needs
from proxy.core.targeting.ramp import Placed, lower_fractional, total_weight

if TYPE_CHECKING:
    from proxy.core.deciding.decision import Trace
    from proxy.core.deciding.facts import Facts

_INFIX: Final = frozenset(("==", "===", "!=", "!==", "<", "<=", ">", ">=", "in"))

# Kept: with CPython 3.11 asking an enum for a member by name runs Python code, 500 instructions each time.
_CLAUSE: Final = Reason.CLAUSE
_SHARE: Final = Reason.SHARE

Answer = tuple[Backend, Reason, str | None, int | None, str | None]
"""(backend, reason, clause id, bucket, detail)."""


class LiveClause:
    """One clause, ready to run. `record` says where it stands and what it says."""

    __slots__ = ("outcome", "predicate", "record")

    def __init__(self, record: Clause, flag: str) -> None:
        self.record = record
        self.predicate: Run | None = None if record.when is None else lower(record.when, flag)
        self.outcome = _lower_outcome(record.then, flag)


class LiveFlag:
    """A flag, ready to be asked."""

    __slots__ = ("_answers", "_clauses", "_default", "key", "record")

    def __init__(self, record: Flag) -> None:
        self.key = record.key
        self.record = record
        self._clauses = tuple(LiveClause(clause, record.key) for clause in record.clauses)
        self._answers = {name: _backend(value) for name, value in record.variants.items()}
        self._default = self._default_answer(record)

    def answer(self, facts: Facts, trace: Trace | None) -> Answer:
        """Ask the flag. Every doubt is legacy; nothing is raised, whatever the flag does."""
        record = self.record
        if not record.enabled:
            if trace is not None:
                trace.step(record.place, f"flag {self.key}: state", "DISABLED: legacy")
            return Backend.LEGACY, Reason.DISABLED, None, None, None
        for clause in self._clauses:
            try:
                holds = clause.predicate is None or truthy(clause.predicate(facts))
                variant, place = clause.outcome(facts) if holds else (None, None)
            except Exception as error:  # noqa: BLE001  a flag is a program that users write: anything may go wrong in it
                detail = f"flag {self.key}, clause {clause.record.id} failed: {type(error).__name__}: {error}"
                if trace is not None:
                    trace.step(clause.record.place, clause_text(clause.record), detail)
                return Backend.LEGACY, Reason.FLAG_ERROR, clause.record.id, None, detail
            if trace is not None:
                trace.step(
                    clause.record.place,
                    clause_text(clause.record),
                    _told(clause.record.then, facts, holds, variant, place),
                )
            if holds:
                return self._take(clause, variant, place, trace)
        return self._fall_to_default(trace)

    def _take(self, clause: LiveClause, variant: Any, place: int | None, trace: Trace | None) -> Answer:
        if variant is None:
            return self._fall_to_default(trace)
        if isinstance(variant, bool):
            variant = "true" if variant else "false"  # flagd: a boolean names the variant of that name
        backend = self._answers.get(variant) if isinstance(variant, str) else None
        if backend is None:
            detail = f"flag {self.key}, clause {clause.record.id} gave {variant!r}, which names no backend"
            return Backend.LEGACY, Reason.FLAG_ERROR, clause.record.id, None, detail
        return backend, _CLAUSE if place is None else _SHARE, clause.record.id, place, None

    def _fall_to_default(self, trace: Trace | None) -> Answer:
        if trace is not None:
            trace.step(self.record.place, f"flag {self.key}: defaultVariant", self.record.default or "none: legacy")
        return self._default

    def _default_answer(self, record: Flag) -> Answer:
        if record.default is None:
            return Backend.LEGACY, Reason.NO_DEFAULT, None, None, None
        backend = self._answers.get(record.default)
        if backend is None:
            detail = f"flag {self.key}: defaultVariant {record.default!r} names no backend"
            return Backend.LEGACY, Reason.FLAG_ERROR, None, None, detail
        return backend, Reason.DEFAULT, None, None, None


def clause_text(clause: Clause) -> str:
    """A clause as people read it in `explain`: `if CONDITION then OUTCOME`."""
    outcome = _compact(clause.then)
    return (
        f"clause {clause.id}: {outcome}"
        if clause.when is None
        else f"clause {clause.id}: if {_compact(clause.when)} then {outcome}"
    )


def _compact(expression: Any) -> str:
    match expression:
        case {"in": [str() as segment, {"var": "segments" | ["segments"]}]}:
            return f"in segment {segment}"
        case {"fractional": [*shares]} if all(isinstance(share, list) for share in shares):
            return "fractional " + ", ".join(" ".join(str(part) for part in share) for share in shares)
        case {"var": str() as name}:
            return name
        case {**operation} if len(operation) == 1 and operation.keys() <= _INFIX:
            ((operator, operands),) = operation.items()
            return f" {operator} ".join(
                _compact(operand) for operand in (operands if isinstance(operands, list) else [operands])
            )
        case None:
            return "default"
        case str():
            return expression
        case _:
            return json.dumps(expression, ensure_ascii=False)


def _told(then: Any, facts: Facts, holds: bool, variant: Any, place: int | None) -> str:  # noqa: FBT001  a formatter
    if not holds:
        return "no"
    outcome = "default" if variant is None else str(variant)
    if place is not None:
        return f"bucket {bucket_text(place, total_weight(then))}: {outcome}"
    match then:
        case {"fractional": [by, *_]} if variant is None:
            wanted = "targetingKey" if isinstance(by, list) else needs(by)
            missing = wanted is not None and facts.value(wanted) is None
            return f"{'no account' if missing else 'nothing to place it by'}, so no place on the ramp: {outcome}"
        case _:
            return f"yes: {outcome}"


def bucket_text(bucket: int, total: int | None) -> str:
    """A bucket as people read it: `73 of 100`."""
    return str(bucket) if total is None else f"{bucket} of {total}"


def _backend(value: Any) -> Backend | None:
    return Backend(value) if value in ("new", "legacy") else None


def _lower_outcome(then: Any, flag: str) -> Callable[[Any], Placed]:
    """An outcome, with the bucket wherever a percentage decided, also inside further `if`s."""
    match then:
        case None | str() | bool():
            fixed: Placed = (then, None)
            return lambda facts: fixed
        case {"fractional": list(shares)} if len(then) == 1:
            runs = [lower(share, flag) for share in shares]
            return lower_fractional(shares, runs, flag, needs=needs(shares[0]) if shares else None)
        case {"if": list(parts)} | {"?:": list(parts)} if len(then) == 1:
            return _lower_choice(parts, flag)
        case _:
            run = lower(then, flag)
            return lambda facts: (run(facts), None)


def _lower_choice(parts: list[Any], flag: str) -> Callable[[Any], Placed]:
    pairs = [(lower(parts[i], flag), _lower_outcome(parts[i + 1], flag)) for i in range(0, len(parts) - 1, 2)]
    last = _lower_outcome(parts[-1] if len(parts) % 2 else None, flag)

    def choose(facts: Any) -> Placed:
        for condition, outcome in pairs:
            if truthy(condition(facts)):
                return outcome(facts)
        return last(facts)

    return choose
