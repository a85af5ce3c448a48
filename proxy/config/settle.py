"""Every file has its own last good version: one that is broken stays as it was, and holds back no other.

1. A file that fails by itself stays at its last good version.
2. If the rest doesn't validate together, every changed file that an error points to (where a name is used, or
   where it was defined) stays too, and the check is repeated.
3. A deleted file is a version too, unless something that must exist would go with it, or the last flag.
4. A file that would retire an area under a rollback stays until that is released.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from proxy.config.compile import Compiled, compile_files
from proxy.config.losses import losses
from proxy.config.problems import Complaint, Report, errors, ordered
from proxy.config.text.cache import Cache
from proxy.core.switches.latch import OPEN, Latch

if TYPE_CHECKING:
    from datetime import date

    from proxy.config.text.fileset import File, FileSet
    from proxy.core.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Where something stands."""

    line: int
    column: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What holds after a reload.

    Attributes:
        compiled: of the files in force; its complaints tell the held-back versions too.
        in_force: the versions that hold, to be handed to the next `settle`.
        held_back: file → why its wanted version isn't in force.
    """

    compiled: Compiled
    in_force: FileSet
    held_back: Mapping[str, str]


def settle(
    wanted: FileSet,
    in_force: FileSet | None,
    cache: Cache | None = None,
    today: date | None = None,
    latch: Latch = OPEN,
) -> Settled:
    """Take over of `wanted` what can be taken over.

    Args:
        wanted: the files as they are on disk.
        in_force: the files that run; None or an empty set at start, where nothing can be held back: any
            error then means that there is no plan.
        cache: keeps what was made of files that don't change.
        today: the date that `metadata.expires` is held against.
        latch: the rollbacks in force: no reload retires an area under one.
    """
    cache = cache or Cache()
    compiled = compile_files(wanted, cache, today)
    if in_force is None or not in_force.files:
        return Settled(compiled=compiled, in_force=wanted.only(compiled.used), held_back={})
    return _Settling(wanted, in_force, cache, today, latch).run(compiled)


class _Settling:
    def __init__(self, wanted: FileSet, in_force: FileSet, cache: Cache, today: date | None, latch: Latch) -> None:
        self._in_force = in_force
        self._latch = latch
        self._cache = cache
        self._today = today
        self._before = compile_files(in_force, cache, today)
        if not wanted.complete:
            # routes.yaml couldn't be read, so nobody knows what else belongs: absent files are unread, not deleted.
            unread = {name: file for name, file in in_force.files.items() if name not in {*wanted.files, wanted.routes}}
            wanted = wanted.with_files({name: file for name, file in unread.items() if not self._is_flag_file(name)})
        self._candidate = wanted
        self._told: list[Complaint] = []
        self._held: dict[str, str] = {}

    def run(self, compiled: Compiled) -> Settled:
        # Each turn holds back one file more at least, so this ends.
        while True:
            compiled = compile_files(self._candidate, self._cache, self._today)
            found = list(errors(compiled.complaints))
            if not any(one.alone for one in found):  # a broken file is no vanished one
                found += self._vanished(compiled) + self._retired(compiled)
            if not found:
                break
            held = self._choose(found)
            self._told += [one for one in found if self._points_to(one) & held]
            if not held:
                break  # the files in force themselves don't compile: there is nothing to go back to
            self._hold(held, found)
        complaints = ordered((*compiled.complaints, *self._told, *losses(self._before, compiled, self._candidate)))
        return Settled(
            compiled=replace(compiled, complaints=complaints),
            in_force=self._candidate.only(compiled.used),
            held_back=dict(sorted(self._held.items())),
        )

    def _choose(self, found: list[Complaint]) -> set[str]:
        changed = self._changed()
        alone = {one.file for one in found if one.alone} & changed
        if alone:
            return alone  # first these: what else is wrong may come of them
        pointed = {file for one in found for file in self._points_to(one)} & changed
        return pointed or changed

    def _hold(self, held: Iterable[str], found: list[Complaint]) -> None:
        versions: dict[str, File | None] = {name: self._in_force.files.get(name) for name in held}
        for name in held:
            mine = next((one for one in found if name in self._points_to(one)), found[0])
            self._held.setdefault(name, str(mine))
            self._told.append(mine)
        self._candidate = self._candidate.with_files(versions)

    def _changed(self) -> set[str]:
        names = {*self._candidate.files, *self._in_force.files}
        return {name for name in names if self._candidate.hash_of(name) != self._in_force.hash_of(name)}

    def _points_to(self, complaint: Complaint) -> set[str]:
        """Where the name is used, and where it was defined."""
        files = {complaint.file, *complaint.others}
        if complaint.wanted is not None and complaint.wanted in self._before.names:
            files.add(self._before.names[complaint.wanted])
        return files

    def _vanished(self, compiled: Compiled) -> list[Complaint]:
        """All flags at once: somebody unmounted or emptied the directory, and didn't mean to roll back everything."""
        had = {file for (kind, _), file in self._before.names.items() if kind == "flag"}
        if not had or any(kind == "flag" for kind, _ in compiled.names):
            return []
        if compiled.plan is not None and not _asks_flags(compiled.plan):
            return []  # every area is retired or has its routes fixed: there is nothing that a flag decides
        report = Report(self._candidate.flags, alone=False)
        told = (
            "no flag would be left, and every area would go back to legacy; the flags that run stay in force; "
            "put the files back, or restart the proxy if this is meant"
        )
        report.tell("flags-vanished", None, "", told, others=had & self._changed())
        return report.complaints

    def _retired(self, compiled: Compiled) -> list[Complaint]:
        """Areas that would leave a rollback by being retired: new would answer what somebody has just taken from it."""
        if compiled.plan is None or not self._latch.entries:
            return []
        before = () if self._before.plan is None else self._before.plan.areas
        were = {area.name for area in before if area.retired}
        complaints: list[Complaint] = []
        for area in compiled.plan.areas:
            over = [entry for entry in self._latch.entries if entry.scope.area in {None, area.name}]
            if area.retired and area.name not in were and over:
                file, line, column = area.place.rsplit(":", 2)
                report = Report(file, alone=False)
                named = ", ".join(f"{entry.id} ({entry.scope})" for entry in over)
                told = f"the rollback {named} stands over the area; release it before the area is retired"
                mark = Mark(line=int(line), column=int(column))
                report.tell("retired-under-rollback", mark, f"areas.{area.name}.retired", told)
                complaints += report.complaints
        return complaints

    def _is_flag_file(self, name: str) -> bool:
        return name in self._in_force.flag_files()


def _asks_flags(plan: Plan) -> bool:
    retired = {area.name for area in plan.areas if area.retired}
    return any(route.to is None and route.area not in retired for route in plan.routes)
