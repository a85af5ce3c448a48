"""What a reload changed, in the words of the journal: which files, which areas, how each stood before and stands now."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from proxy.config.text.fileset import ENVIRONMENT, FileSet
from proxy.control.history.event import Action, Event
from proxy.core.model import SHARE_TOTAL_BP
from proxy.core.plan import Area, Flag, Plan, Route
from proxy.core.switches.latch import OPEN
from proxy.core.telling.status import AreaStatus, area_statuses

FILE_EDIT: Final = "file edit"
_NAMED: Final = 100  # areas and files in one event; more are counted
_PLACES: Final = frozenset({"place", "flag_place"})  # lines move when another line is added: that is no change


def changed_files(before: FileSet | None, after: FileSet) -> tuple[str, ...]:
    """Names of the files that differ; without a former set all of them."""
    if before is None:
        return tuple(after.files)
    return tuple(sorted(name for name in {*before.files, *after.files} if before.hash_of(name) != after.hash_of(name)))


def owner_of(names: Iterable[str], directory: Path) -> int | None:
    """The uid that owns these files; None: they are gone, or of several owners.

    Args:
        names: as a set of files has them.
        directory: of routes.yaml; what names are relative to.
    """
    owners: set[int] = set()
    for name in names:
        if name.startswith(ENVIRONMENT):
            return None
        try:
            owners.add(os.stat(directory / name).st_uid)  # noqa: PTH116 - follows links, as reading did
        except OSError:
            return None
    return owners.pop() if len(owners) == 1 else None


def reload_event(
    before: Plan | None,
    after: Plan,
    *,
    files: tuple[str, ...],
    owner: int | None,
    generation: int,
    plan: str,
    former: str | None,
) -> Event:
    """A reload that is posted.

    Args:
        before: the plan that was in force; None: not known.
        after: the plan that is posted.
        files: what was edited.
        owner: the uid of whoever owns them.
        generation: the number it is posted under.
        plan: its name.
        former: the name of the plan before it.
    """
    areas = changed_areas(before, after)
    return Event(
        action=Action.RELOAD,
        by=FILE_EDIT,
        uid=owner,
        scope={"files": list(files[:_NAMED]), "areas": list(areas)[:_NAMED]}
        | ({} if len(areas) <= _NAMED else {"areas_count": len(areas)}),
        before={"plan": former, "areas": {name: was for name, (was, _) in _first(areas).items()}},
        after={"plan": plan, "areas": {name: now for name, (_, now) in _first(areas).items()}},
        generation=generation,
        plan=plan,
    )


def refused_event(file: str, why: str, owner: int | None) -> Event:
    """An edit that is not in force."""
    return Event(action=Action.REFUSED, by=FILE_EDIT, uid=owner, reason=why, scope={"files": [file]})


def changed_areas(before: Plan | None, after: Plan) -> dict[str, tuple[str | None, str | None]]:
    """Areas that differ in anything but the place where they are written: how each stood, how it stands; None: not there."""
    if before is None:
        return {}
    was, now = _areas(before), _areas(after)
    return {
        name: (_told(was.get(name)), _told(now.get(name)))
        for name in sorted({*was, *now})
        if was.get(name, (None, None))[1] != now.get(name, (None, None))[1]
    }


_Known = tuple[AreaStatus, Any]


def _areas(plan: Plan) -> dict[str, _Known]:
    """Each area with everything that decides about it."""
    flags = {flag.key: flag for flag in plan.flags}
    routes: dict[str, list[Route]] = {}
    for route in plan.routes:
        routes.setdefault(route.area, []).append(route)
    return {
        one.area.name: (one, _comparable(one.area, routes.get(one.area.name, []), flags.get(one.area.flag)))
        for one in area_statuses(plan, OPEN)
    }


def _comparable(area: Area, routes: list[Route], flag: Flag | None) -> Any:
    return _without_places(msgspec.to_builtins([area, routes, flag]))


def _without_places(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_places(inner) for key, inner in value.items() if key not in _PLACES}
    return [_without_places(inner) for inner in value] if isinstance(value, list | tuple) else value


def _told(known: _Known | None) -> str | None:
    if known is None:
        return None
    one = known[0]
    if one.share_bp is None or one.share_bp in {0, SHARE_TOTAL_BP}:
        return one.status.value
    return f"{one.status.value}, {one.share_bp / 100:g} %"


def _first(areas: Mapping[str, tuple[str | None, str | None]]) -> dict[str, tuple[str | None, str | None]]:
    return dict(list(areas.items())[:_NAMED])
