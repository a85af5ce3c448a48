"""Targeting, from what stands in the file to clauses: `$ref`s replaced, `if` chains flattened, the managed shape seen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from proxy.config.names import place
from proxy.config.problems import nearest, quoted
from proxy.config.text.nodes import Mapping, Node, Scalar, Sequence, data
from proxy.config.text.yaml import DEEPEST
from proxy.core.model import SHARE_TOTAL_BP
from proxy.core.plan import Clause

if TYPE_CHECKING:
    from proxy.config.problems import Report

MOST_VALUES: Final = 10_000
"""Values of one flag after its `$ref`s are replaced: evaluators that name evaluators can grow without bound."""

_IFS: Final = ("if", "?:")
_WHOLE_PERCENTS: Final = 100


@dataclass(frozen=True, slots=True)
class Step:
    """A clause before it is one: `when` None holds always, `then` None is the default."""

    when: Node | None
    then: Node | None
    mark: Node


class _GivenUp(Exception):
    """The report says why."""


def replace_refs(node: Node, evaluators: Mapping | None, where: str, report: Report) -> Node | None:
    """The node with every `$ref` replaced by what it names; None when that can't be done, which is told."""
    try:
        return _Replacer(evaluators, where, report).replace(node, (), 0)
    except _GivenUp:
        return None


class _Replacer:
    def __init__(self, evaluators: Mapping | None, where: str, report: Report) -> None:
        self._evaluators = evaluators
        self._where = where
        self._report = report
        self._values = 0

    def replace(self, node: Node, inside: tuple[str, ...], depth: int) -> Node:
        self._values += 1
        if self._values > MOST_VALUES:
            told = f"grows beyond {MOST_VALUES} values when its $refs are replaced; name smaller evaluators"
            self._report.tell("ref-too-large", node, self._where, told)
            raise _GivenUp
        if depth > DEEPEST:
            told = f"more than {DEEPEST} levels of nesting when its $refs are replaced; name shallower evaluators"
            self._report.tell("too-deep", node, self._where, told)
            raise _GivenUp
        if isinstance(node, Sequence):
            return Sequence(node.line, node.column, [self.replace(item, inside, depth + 1) for item in node.items])
        if isinstance(node, Mapping):
            ref = node.get("$ref")
            if ref is not None and len(node.entries) == 1:
                return self._named(ref, inside, depth)
            entries = {key: (mark, self.replace(one, inside, depth + 1)) for key, (mark, one) in node.entries.items()}
            return Mapping(node.line, node.column, entries)
        return node

    def _named(self, ref: Node, inside: tuple[str, ...], depth: int) -> Node:
        name = ref.text if isinstance(ref, Scalar) else ""
        found = self._evaluators.get(name) if self._evaluators is not None else None
        if found is None:
            known = self._evaluators.entries if self._evaluators is not None else ()
            told = (
                f"no evaluator is named {quoted(name)}; $evaluators of the same file define them{nearest(name, known)}"
            )
            self._report.tell("unknown-ref", ref, self._where, told)
            raise _GivenUp
        if name in inside:
            chain = " → ".join((*inside[inside.index(name) :], name))
            self._report.tell("ref-cycle", ref, self._where, f"evaluators are made of each other: {chain}")
            raise _GivenUp
        return self.replace(found, (*inside, name), depth)


def steps_of(targeting: Node) -> Iterator[Step]:
    """Flatten the `if` at the top, and the ones in its last place, into steps."""
    operation = operation_of(targeting)
    if operation is None or operation[0] not in _IFS:
        if not (isinstance(targeting, Mapping) and not targeting.entries) and not _is_null(targeting):
            yield Step(None, targeting, targeting)
        return
    arguments = operation[1]
    for i in range(0, len(arguments) - 1, 2):
        yield Step(arguments[i], _outcome(arguments[i + 1]), arguments[i])
    if len(arguments) % 2:
        yield from steps_of(arguments[-1])


def clauses_of(steps: list[Step], file: str) -> tuple[Clause, ...]:
    """The plan's clauses."""
    return tuple(
        Clause(
            id=str(i),
            place=place(file, step.mark),
            # A literal null as a condition never holds, and must not be taken for "always".
            when=None if step.when is None else False if _is_null(step.when) else data(step.when),
            then=None if step.then is None else data(step.then),
        )
        for i, step in enumerate(steps, 1)
    )


def is_managed(clauses: tuple[Clause, ...], variants: object, default: str | None, *, enabled: bool) -> bool:
    """Whether a flag has the shape that commands may edit (docs/flags.md)."""
    if not enabled or variants != {"new": "new", "legacy": "legacy"} or default not in ("new", "legacy"):
        return False
    *segments, last = clauses or (Clause(id="", place=""),)
    for clause in segments:
        match clause.when, clause.then:
            case {"in": [str(), {"var": "segments"}]}, "new" | "legacy":
                pass
            case _:
                return False
    match last.when, last.then:
        case None, {"fractional": [["new", int() as new], ["legacy", int() as legacy]]}:
            whole = new + legacy in (_WHOLE_PERCENTS, SHARE_TOTAL_BP)
            return whole and new >= 0 and legacy >= 0 and not isinstance(new, bool) and not isinstance(legacy, bool)
        case _:
            return False


def operation_of(node: Node | None) -> tuple[str, list[Node], Scalar] | None:
    """An operation's operator, its arguments, and where the operator stands; None for anything else."""
    if not isinstance(node, Mapping) or len(node.entries) != 1:
        return None
    ((operator, (mark, raw)),) = node.entries.items()
    return operator, raw.items if isinstance(raw, Sequence) else [raw], mark


def _outcome(node: Node) -> Node | None:
    return None if _is_null(node) else node


def _is_null(node: Node) -> bool:
    return isinstance(node, Scalar) and node.value is None
