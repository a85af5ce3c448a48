"""One flag file edited for one area: what it takes, what would come of it, and the edit itself.

1. the area's flag and its file are found in the plan in force
2. the file must be the one in force: not held back, not complained about, not edited a moment ago
3. the new text is made (`proxy.config.flags.edit`), and what would then be in force is settled and counted
4. the file is replaced, if it is still the one that was read
5. the plan that comes of it is posted, without waiting for the next look at the disk
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from proxy.config.flags.edit import edit_flag, new_flag_file
from proxy.config.flags.managed import CannotEdit, Change
from proxy.config.problems import errors, nearest
from proxy.config.text.fileset import FileSet
from proxy.control.canaries.replace import ChangedUnderneath, ReadOnly, replace_file, writable
from proxy.control.commands import Refused
from proxy.control.plans.reload import Reloader
from proxy.core.plan import Area, Flag, Plan

_USAGE: Final = 2


class NotWritten(Exception):
    """The files are read-only. The text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """An edit that can be made.

    Attributes:
        area: that was named.
        areas: every area that the flag decides for.
        key: of the flag.
        file: as people see it, relative to routes.yaml.
        before: its content; None: it would be new.
        after: the same as `before` where nothing is to be done.
        plan_before: what is in force.
        plan_after: what would be.
    """

    area: Area
    areas: tuple[str, ...]
    key: str
    file: str
    before: bytes | None
    after: bytes
    plan_before: Plan
    plan_after: Plan

    @property
    def changes(self) -> bool:
        """Whether anything is to be done."""
        return self.before != self.after

    @property
    def flag_before(self) -> Flag | None:
        """The flag in force."""
        return next((one for one in self.plan_before.flags if one.key == self.key), None)

    @property
    def flag_after(self) -> Flag:
        """The flag as it would be."""
        return next(one for one in self.plan_after.flags if one.key == self.key)


class Editor:
    """Makes edits. Every method blocks, and is called in a thread, inside `reloader.hold()`."""

    def __init__(
        self, *, reloader: Reloader, routes: Path, flags: Path, read_only: bool, by_command: Callable[[str], None]
    ) -> None:
        """Edit nothing yet.

        Args:
            reloader: what is in force, and how it comes to be.
            routes: routes.yaml.
            flags: the directory of flag files.
            read_only: the files belong to somebody else, as told at the start.
            by_command: told the hash of each new content before it is written.
        """
        self._reloader = reloader
        self._routes = routes
        self._flags = flags
        self._told_read_only = read_only
        self._by_command = by_command

    @property
    def why_read_only(self) -> str | None:
        """Why flag files aren't edited here; None: they are."""
        if self._told_read_only:
            return "the flags are read-only (--flags-readonly)"
        if not writable(self._flags):
            return f"{self._flags} is not writable"
        return None

    def prepare(self, name: str, change: Change) -> Edit:
        """What a change would do.

        Raises:
            Refused: it can't be made; nothing has changed.
        """
        plan, in_force = self._in_force()
        area = _area(plan, name)
        open_routes = {route.area for route in plan.routes if route.to is None}
        if name not in open_routes:
            raise Refused(f"{area.place}: no flag decides for {name}: every route of it says `to:`; edit routes.yaml")
        _check_segments(plan, (*change.add, *change.remove))
        key = area.flag
        areas = tuple(one.name for one in plan.areas if one.flag == key and not one.retired and one.name in open_routes)
        flag = next((one for one in plan.flags if one.key == key), None)
        file = f"{in_force.flags}/{key}.flagd.yaml" if flag is None else flag.place.rsplit(":", 2)[0]
        self._check_standing(file)
        before = self._read(file, in_force, new=flag is None)
        try:
            after = new_flag_file(key, change) if before is None else edit_flag(file, before, key, change)
        except CannotEdit as error:
            raise Refused(f"{error}\n{at_once(name)}") from error
        return Edit(
            area=area,
            areas=areas,
            key=key,
            file=file,
            before=before,
            after=after,
            plan_before=plan,
            plan_after=plan if after == before else self._settled(file, after),
        )

    def write(self, edit: Edit) -> None:
        """Put the edit into the file, and its plan on the board.

        Raises:
            Refused: it isn't made; nothing has changed.
            NotWritten: the same, since the files turned out to be read-only.
        """
        self._by_command(hashlib.sha256(edit.after).hexdigest())
        former = None if edit.before is None else hashlib.sha256(edit.before).hexdigest()
        try:
            replace_file(self._path(edit.file), edit.after, of_hash=former)
        except ReadOnly as error:
            raise NotWritten(str(error)) from error
        except ChangedUnderneath as error:
            raise Refused(f"{error}; nothing was written: look at it, and try again") from error
        except OSError as error:
            raise Refused(f"{edit.file} can't be written, and stays as it is: {error.strerror or error}") from error
        self._reloader.take_over(edit.file, edit.after)

    def _in_force(self) -> tuple[Plan, FileSet]:
        standing = self._reloader.standing
        if standing.plan is None or standing.in_force is None:
            raise Refused(
                "the files in force aren't known, since broken ones were found when control was started again"
            )
        return standing.plan, standing.in_force

    def _check_standing(self, file: str) -> None:
        standing = self._reloader.standing
        if (why := standing.held_back.get(file)) is not None:
            raise Refused(
                f"{file} is at its last good version, since what stands there is broken; mend it first:\n  {why}"
            )
        complaint = next((one for one in errors(standing.complaints) if one.file == file), None)
        if complaint is not None:
            raise Refused(f"{file} is complained about; mend it first:\n  {complaint}")

    def _read(self, file: str, in_force: FileSet, *, new: bool) -> bytes | None:
        path = self._path(file)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            if new:
                return None
            raise Refused(f"{file} is gone; put it back, or wait until that is in force, and try again") from None
        except OSError as error:
            raise Refused(f"{file} can't be read: {error.strerror or error}") from error
        if new:
            raise Refused(f"{file} is there but has no such flag in force; look at it, and add the flag by hand")
        if hashlib.sha256(content).hexdigest() != in_force.hash_of(file):
            raise Refused(f"{file} was edited a moment ago, and that is not in force yet; look at it, and try again")
        return content

    def _settled(self, file: str, content: bytes) -> Plan:
        settled = self._reloader.try_out(file, content)
        why = settled.held_back.get(file)
        if why is not None or settled.compiled.plan is None:
            raise Refused(f"the edit would not come into force: {why or 'the files together are broken'}")
        return settled.compiled.plan

    def _path(self, file: str) -> Path:
        return self._routes.parent / file


def at_once(area: str) -> str:
    """What takes an area back, whatever its files look like."""
    return f"to take it back at once: strangler rollback --area {area} --reason …"


def _area(plan: Plan, name: str) -> Area:
    area = next((one for one in plan.areas if one.name == name), None)
    if area is None:
        raise Refused(f'no area is named "{name}"{nearest(name, (one.name for one in plan.areas))}', _USAGE)
    if area.retired:
        raise Refused(f"{area.place}: {name} is retired: legacy has it no more, and no flag decides for it")
    return area


def _check_segments(plan: Plan, names: tuple[str, ...]) -> None:
    known = [one.name for one in plan.segments]
    for name in names:
        if name not in known:
            raise Refused(f'no segment is named "{name}"{nearest(name, known)}', _USAGE)
