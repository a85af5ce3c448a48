"""What a reload takes away, and somebody may not have meant to: told once, when it happens, though no file is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.config.flags.managed import difference
from proxy.config.problems import Complaint, Report
from proxy.config.text.yaml import Spot

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxy.config.compile import Compiled
    from proxy.config.text.fileset import FileSet
    from proxy.core.plan import Flag, Plan


def losses(before: Compiled, after: Compiled, files: FileSet) -> list[Complaint]:
    """Compare two configurations.

    Args:
        before: what ran.
        after: what runs from now on.
        files: of `after`.
    """
    complaints = [*_areas(before, after, files)]
    if before.plan is not None and after.plan is not None:
        complaints += _flags(before, after, before.plan, after.plan, files)
        complaints += _by_hand(before.plan, after.plan)
    return complaints


def _areas(before: Compiled, after: Compiled, files: FileSet) -> Iterator[Complaint]:
    """Areas that went with a deleted file."""
    for name in before.used - after.used:
        areas = sorted(area for (kind, area), file in before.names.items() if kind == "area" and file == name)
        areas = [area for area in areas if ("area", area) not in after.names]
        if areas and name not in files.files:
            told = f"is gone, and with it: {', '.join(areas)}; their requests now go where `otherwise` says"
            yield from _told(name, None, "file-gone", told)


def _flags(before: Compiled, after: Compiled, was: Plan, now: Plan, files: FileSet) -> Iterator[Complaint]:
    """Flags that an area still asks, and nobody defines any more."""
    asking = {route.area for route in now.routes if route.to is None}
    wanted: dict[str, list[str]] = {}
    for area in now.areas:
        if area.name in asking and not area.retired:
            wanted.setdefault(area.flag, []).append(area.name)
    for flag in was.flags:
        if flag.key in wanted and ("flag", flag.key) not in after.names:
            name = before.names["flag", flag.key]
            how = f"the flag {flag.key} is gone" if name in files.files else f"is gone, and with it the flag {flag.key}"
            areas = ", ".join(wanted[flag.key])
            told = f"{how}: accounts that were on new in {areas} are on legacy now; put it back if that isn't meant"
            yield from _told(name, None, "flag-gone", told)


def _by_hand(was: Plan, now: Plan) -> Iterator[Complaint]:
    """Flags that commands could edit until now. A disabled one is no accident: its state says so."""
    managed = {flag.key for flag in was.flags if flag.managed}
    for flag in now.flags:
        if flag.key in managed and flag.enabled and not flag.managed:
            yield from _now_by_hand(flag)


def _now_by_hand(flag: Flag) -> Iterator[Complaint]:
    place, why = difference(flag)
    file, line, column = place.rsplit(":", 2)
    told = f"the flag {flag.key} is written by hand from now on, and no command edits it: {why}"
    yield from _told(file, Spot(int(line), int(column)), "now-by-hand", told)


def _told(file: str, spot: Spot | None, code: str, text: str) -> list[Complaint]:
    report = Report(file, alone=False)
    report.tell(code, spot, "", text)
    return report.complaints
