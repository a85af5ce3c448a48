"""What a scope names: the areas and segments of the plan that runs, and what a rollback doesn't cover."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from proxy.core.plan import Area, Plan, Segment, decode_record
from proxy.core.switches.latch import Scope
from proxy.core.telling.sightings import LATELY_S, Seen

_LINES: Final = (b'{"kind":"area"', b'{"kind":"segment"')
_LATELY: Final = f"{LATELY_S // 60} minutes"
_LATER: Final = (b'{"kind":"route"', b'{"kind":"flag"')


class UnknownName(Exception):
    """An area or segment that neither the files nor the running plan knows. The text names the nearest."""


class Names(msgspec.Struct, frozen=True, kw_only=True):
    """What plans name.

    Attributes:
        areas: area → whether it is retired in the plan that runs.
        segments: names.
    """

    areas: dict[str, bool]
    segments: frozenset[str]


def names_in_text(text: bytes) -> Names:
    """The names in a plan's text; areas and segments stand before routes, of which there may be many.

    Raises:
        ValueError: the text is damaged.
    """
    return _names(decode_record(line) for line in _leading_lines(text))


def names_of(plan: Plan) -> Names:
    """The names of a plan in memory."""
    return _names((*plan.areas, *plan.segments))


def joined(running: Names | None, files: Names | None) -> Names | None:
    """What either knows; the running plan says what is retired."""
    several = [one for one in (running, files) if one is not None]
    if not several:
        return None
    return Names(
        areas={**several[-1].areas, **several[0].areas},
        segments=frozenset[str]().union(*(one.segments for one in several)),
    )


def check_names(scope: Scope, known: Names) -> None:
    """Make sure that a scope names what exists; a region is free text.

    Raises:
        UnknownName: it doesn't.
    """
    for what, name, names in (("area", scope.area, known.areas), ("segment", scope.segment, known.segments)):
        if name is not None and name not in names:
            raise UnknownName(f"no {what} named {name}{_nearest(name, names)}")


def not_covered(scope: Scope, known: Names) -> tuple[str, ...]:
    """Areas that a rollback would cover if they weren't retired."""
    return tuple(name for name, retired in known.areas.items() if retired and scope.area in (None, name))


def remarks(scope: Scope, known: Names | None, seen: Seen | None, now_s: float) -> tuple[str, ...]:
    """What people should know about a scope that is not an error.

    Args:
        scope: what is rolled back.
        known: what may be named; None: that can't be read.
        seen: the regions of requests; None: the scope names none.
        now_s: Unix seconds.
    """
    told = [] if known is not None else ["the plan that runs can't be read: names could not be checked"]
    if scope.region is not None and seen is not None and scope.region not in (lately := seen.lately(now_s)):
        if seen.crowded(now_s):
            told.append(
                f"more regions come in than are remembered: nobody knows whether any request has {scope.region}"
            )
        else:
            told.append(f"no request of the last {_LATELY} had region {scope.region}{_nearest(scope.region, lately)}")
    return tuple(told)


def _nearest(name: str, names: Iterable[str]) -> str:
    from proxy.config.problems import nearest  # only for a mistake: a rollback imports as little as it can

    return nearest(name, names)


def _leading_lines(text: bytes) -> Iterator[bytes]:
    start = 0
    while (end := text.find(b"\n", start)) >= 0:
        line = text[start:end]
        start = end + 1
        if line.startswith(_LATER):
            return
        if line.startswith(_LINES):
            yield line


def _names(records: Iterable[object]) -> Names:
    areas: dict[str, bool] = {}
    segments: set[str] = set()
    for record in records:
        match record:
            case Area():
                areas[record.name] = record.retired
            case Segment():
                segments.add(record.name)
            case _:
                pass
    return Names(areas=areas, segments=frozenset(segments))
