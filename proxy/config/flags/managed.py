"""The managed shape of a flag (docs/flags.md): what a change makes of it, and why a flag doesn't have it."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from proxy.config.problems import nearest
from proxy.core.model import SHARE_TOTAL_BP, Backend

if TYPE_CHECKING:
    from proxy.core.plan import Clause, Flag

_WHOLE: Final = 100
_VARIANTS: Final = {"new": "new", "legacy": "legacy"}


class CannotEdit(Exception):
    """Nothing is edited. The text says why, and what would work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What shall be different.

    Attributes:
        share_bp: the share of new, in basis points; None: as it is.
        everyone: 100 %, and new also for those without an account.
        add: segments that get a `new` clause, last before the ramp.
        remove: segments whose `new` clause goes.
    """

    share_bp: int | None = None
    everyone: bool = False
    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()


def ramp(share_bp: int) -> tuple[int, int]:
    """The weights of new and legacy: of 10 000 where the share has decimals, else of 100."""
    new, total = (share_bp, SHARE_TOTAL_BP) if share_bp % _WHOLE else (share_bp // _WHOLE, _WHOLE)
    return new, total - new


@dataclass(frozen=True, slots=True, kw_only=True)
class Managed:
    """What a managed flag says: everything that a change can reach.

    Attributes:
        clauses: (segment, system), in the order in which they are asked.
        weights: of new and legacy.
        default: for those without an account.
    """

    clauses: tuple[tuple[str, str], ...] = ()
    weights: tuple[int, int] = (0, _WHOLE)
    default: str = Backend.LEGACY.value

    @property
    def share_bp(self) -> int:
        """The share of new."""
        return self.weights[0] * SHARE_TOTAL_BP // sum(self.weights)

    def segments(self, backend: Backend) -> list[str]:
        """The segments that a clause gives to a system."""
        return [name for name, to in self.clauses if to == backend]

    def removed(self, change: Change) -> list[int]:
        """The places of the clauses that a change takes out.

        Raises:
            CannotEdit: there is none for a segment.
        """
        found = []
        for name in change.remove:
            places = [at for at, clause in enumerate(self.clauses) if clause == (name, Backend.NEW)]
            if not places:
                raise CannotEdit(self._no_clause(name))
            found += places
        return sorted(found)

    def _no_clause(self, name: str) -> str:
        if name in self.segments(Backend.LEGACY):
            return (
                f"the clause of segment {name} gives legacy; `legacy` clauses hold accounts back and are edited by hand"
            )
        return f"no clause gives new to segment {name}{nearest(name, self.segments(Backend.NEW))}"

    def added(self, change: Change) -> list[str]:
        """The segments that need a clause: those that have none yet."""
        there = self.segments(Backend.NEW)
        return [name for name in dict.fromkeys(change.add) if name not in there]

    def after(self, change: Change) -> Managed:
        """What it says once the change is made.

        Raises:
            CannotEdit: a clause that shall go isn't there.
        """
        gone = self.removed(change)
        clauses = [clause for at, clause in enumerate(self.clauses) if at not in gone]
        clauses += [(name, Backend.NEW.value) for name in self.added(change)]
        share_bp = SHARE_TOTAL_BP if change.everyone else change.share_bp
        default = self.default
        if change.everyone:
            default = Backend.NEW.value
        elif share_bp is not None and share_bp < SHARE_TOTAL_BP:
            default = Backend.LEGACY.value
        weights = self.weights if share_bp is None else ramp(share_bp)
        return Managed(clauses=tuple(clauses), weights=weights, default=default)


def read_managed(written: Any) -> Managed:
    """What a flag of the managed shape says, from its JSON data."""
    *steps, last = written["targeting"]["if"]
    clauses = [
        (condition["in"][0], outcome) for condition, outcome in zip(steps[::2], steps[1::2], strict=True)
    ]  # fmt: skip
    (_, new), (_, legacy) = last["fractional"]
    return Managed(clauses=tuple(clauses), weights=(new, legacy), default=written["defaultVariant"])


def write_managed(written: Any, managed: Managed) -> Any:
    """The JSON data of a flag, saying something else; all that no change reaches stays."""
    changed = copy.deepcopy(written)
    changed["defaultVariant"] = managed.default
    steps: list[Any] = []
    for name, backend in managed.clauses:
        steps += [{"in": [name, {"var": "segments"}]}, backend]
    new, legacy = managed.weights
    changed["targeting"] = {"if": [*steps, {"fractional": [["new", new], ["legacy", legacy]]}]}
    return changed


def why_by_hand(flag: Flag) -> str:
    """The first thing in which a flag differs from the managed shape, with its place."""
    place, what = difference(flag)
    return f"{place}: {what}"


def difference(flag: Flag) -> tuple[str, str]:
    """The first thing in which a flag differs from the managed shape: where, and what."""
    if not flag.enabled:
        return flag.place, "its state is DISABLED"
    if flag.variants != _VARIANTS:
        return flag.place, "its variants aren't {new: new, legacy: legacy}"
    if flag.default not in ("new", "legacy"):
        return flag.place, "it has no defaultVariant"
    if not flag.clauses:
        return flag.place, "it has no ramp"
    *before, last = flag.clauses
    for clause in before:
        if not _of_segment(clause):
            return (
                clause.place,
                "this clause asks for something else than a segment, or gives something else than new or legacy",
            )
    if last.when is not None or not _is_ramp(last.then):
        return (
            last.place,
            "the last clause is no fractional: [[new, n], [legacy, total - n]] with a total of 100 or 10 000",
        )
    return flag.place, "its targeting is not one `if`, written out"


def _of_segment(clause: Clause) -> bool:
    match clause.when:
        case {"in": [str(), {"var": "segments"}]}:
            return clause.then in ("new", "legacy")
        case _:
            return False


def _is_ramp(then: Any) -> bool:
    match then:
        case {"fractional": [["new", int() as new], ["legacy", int() as legacy]]}:
            return new >= 0 and legacy >= 0 and new + legacy in (_WHOLE, SHARE_TOTAL_BP)
        case _:
            return False
