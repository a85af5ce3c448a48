"""`canary`: the daily work on a flag, confirmed by every worker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec

from proxy.config.flags.managed import Change
from proxy.control.canaries.editing import Edit, Editor, NotWritten, at_once
from proxy.control.canaries.moves import HeldBack, Moves, count_moves, held_back
from proxy.control.canaries.patch import unified
from proxy.control.commands import Refused, read_arguments
from proxy.control.handlers import build_generation, map_table
from proxy.control.history.event import Action, Event
from proxy.control.plans.confirming import WorkerConfirmed, confirmed
from proxy.control.plans.publish import Publisher
from proxy.control.plans.reload import Reloader
from proxy.control.telling.explain import parse_percent
from proxy.core.generation import Generation
from proxy.core.layout import StateDir
from proxy.core.model import Backend
from proxy.core.plan import Flag, Plan, encode_plan
from proxy.core.switches.latch import Latch
from proxy.core.telling.status import managed_share_bp

WITHIN_S: Final = 30.0
"""The longest that workers are waited for."""

_USAGE: Final = 2
_UNCONFIRMED: Final = 3
_READ_ONLY: Final = 5


class Asked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The command's arguments; `percent` as people write it."""

    area: str
    reason: str
    percent: str | None = None
    add_segments: tuple[str, ...] = ()
    remove_segments: tuple[str, ...] = ()
    everyone: bool = False

    def change(self) -> Change:
        """What shall be different.

        Raises:
            Refused: the arguments contradict each other, or there are none.
        """
        try:
            percent = None if self.percent is None else parse_percent(self.percent)
        except ValueError as error:
            raise Refused(f"--percent: {error}", _USAGE) from error
        if self.everyone and percent is not None:
            raise Refused("--everyone is 100 %: leave --percent out", _USAGE)
        if both := set(self.add_segments) & set(self.remove_segments):
            raise Refused(f"{', '.join(sorted(both))}: either add it or remove it", _USAGE)
        change = Change(
            share_bp=None if percent is None else round(percent * 100),
            everyone=self.everyone,
            add=self.add_segments,
            remove=self.remove_segments,
        )
        if change == Change():
            raise Refused("say what shall change: --percent, --add-segment, --remove-segment or --everyone", _USAGE)
        if not self.reason.strip():
            raise Refused("--reason: say why", _USAGE)
        return change


class Says(msgspec.Struct, frozen=True, kw_only=True):
    """What a managed flag says.

    Attributes:
        share_percent: of the accounts that no segment decides for.
        new: the segments that it gives to new.
        legacy: those that it holds back.
        everyone: whether those without an account go to new.
    """

    share_percent: float
    new: tuple[str, ...]
    legacy: tuple[str, ...]
    everyone: bool


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of `canary --json`; its keys stay.

    Attributes:
        code: the command's exit code.
        areas: every area that the flag decides for.
        changed: whether the file was changed; False also where it says all of it already.
        diff: as `patch -p1` takes it, in the directory of routes.yaml; empty: there was nothing to do.
        before: None: there was no flag.
        moves: None: there is no register.
        notes: what somebody should know who expects more of it.
        why_read_only: why nothing was written; None: it was.
        workers: empty where nothing was written.
        trouble: why it is not in force although it is written.
    """

    code: int
    area: str
    areas: tuple[str, ...]
    flag: str
    file: str
    changed: bool
    diff: str
    before: Says | None
    after: Says
    moves: Moves | None
    notes: tuple[str, ...] = ()
    why_read_only: str | None = None
    generation: int = 0
    plan: str = ""
    workers: tuple[WorkerConfirmed, ...] = ()
    within_ms: float | None = None
    trouble: str = ""


class CanaryCommand:
    """Edits the flag of an area."""

    name = "canary"

    def __init__(
        self,
        *,
        editor: Editor,
        reloader: Reloader,
        publisher: Publisher,
        state: StateDir,
        record: Callable[[Event], object],
        latch: Callable[[], Latch],
        within_s: float = WITHIN_S,
    ) -> None:
        """Edit nothing yet.

        Args:
            editor: of flag files.
            reloader: held still while a file is edited.
            publisher: tells which workers have confirmed.
            state: where tables stand.
            record: puts an event into the journal.
            latch: gives the rollbacks in force.
            within_s: the longest that workers are waited for.
        """
        self._editor = editor
        self._reloader = reloader
        self._publisher = publisher
        self._state = state
        self._record = record
        self._latch = latch
        self._within_s = within_s

    async def run(self, arguments: dict[str, Any], *, by_uid: int) -> Any:
        """Edit, and wait until every worker serves it."""
        asked = read_arguments(arguments, Asked, "a change")
        try:
            done, began_s = await asyncio.to_thread(self._edit, asked, by_uid)
        except Refused as error:
            if error.code != _USAGE:
                self._note(asked, by_uid, Action.REFUSED, reason=str(error))
            raise
        if done.code == 0:
            done = await self._confirm(done, began_s)
        return msgspec.to_builtins(done)

    def _edit(self, asked: Asked, by_uid: int) -> tuple[Done, float]:
        change = asked.change()
        with self._reloader.hold():
            edit = self._editor.prepare(asked.area, change)
            done = self._told(edit, change)
            if (why := self._editor.why_read_only) is not None:
                return msgspec.structs.replace(done, code=_READ_ONLY, why_read_only=why), 0.0
            began_s = time.monotonic()
            if edit.changes:
                try:
                    self._editor.write(edit)
                except NotWritten as error:
                    return msgspec.structs.replace(done, code=_READ_ONLY, why_read_only=str(error)), 0.0
            posted = self._publisher.posted
            assert posted is not None  # a command is only heard once a plan is posted
            trouble = self._reloader.standing.trouble
            done = msgspec.structs.replace(
                done,
                code=_UNCONFIRMED if trouble else 0,
                changed=edit.changes,
                generation=posted.generation,
                plan=posted.plan,
                trouble=trouble,
            )
        if edit.changes:
            self._note(asked, by_uid, Action.CANARY, done=done)
        return done, began_s

    async def _confirm(self, done: Done, began_s: float) -> Done:
        workers = await confirmed(self._publisher, done.generation, since_s=began_s, within_s=self._within_s)
        every = all(one.confirmed for one in workers)
        return msgspec.structs.replace(
            done,
            code=0 if every else _UNCONFIRMED,
            workers=tuple(workers),
            within_ms=max((one.after_ms or 0.0 for one in workers), default=0.0) if every else None,
        )

    def _told(self, edit: Edit, change: Change) -> Done:
        before = self._build(edit.plan_before)
        after = self._build(edit.plan_after) if edit.changes else before
        return Done(
            code=0,
            area=edit.area.name,
            areas=edit.areas,
            flag=edit.key,
            file=edit.file,
            changed=False,
            diff=unified(edit.file, edit.before, edit.after) if edit.changes else "",
            before=None if edit.flag_before is None else says(edit.flag_before),
            after=says(edit.flag_after),
            moves=count_moves(edit.key, before, after),
            notes=(*_rolled_back(edit, self._latch()), *_notes(edit, change, after)),
        )

    def _build(self, plan: Plan) -> Generation:
        return build_generation(encode_plan(plan), lambda digest: map_table(self._state, digest), number=0)

    def _note(self, asked: Asked, by_uid: int, action: Action, *, reason: str = "", done: Done | None = None) -> None:
        scope: dict[str, Any] = {"area": asked.area}
        if done is not None:
            several = len(done.areas) > 1
            scope = {"areas": list(done.areas)} if several else scope
            scope |= {"flag": done.flag, "files": [done.file]}
        self._record(
            Event(
                action=action,
                by="",
                uid=by_uid,
                reason=reason or asked.reason,
                scope=scope,
                before=None if done is None else msgspec.to_builtins(done.before),
                after=msgspec.to_builtins(asked if done is None else done.after),
                generation=None if done is None else done.generation,
                plan=None if done is None else done.plan,
            )
        )


def says(flag: Flag) -> Says:
    """What a managed flag says, of its record."""
    segments: dict[Any, list[str]] = {Backend.NEW: [], Backend.LEGACY: []}
    for clause in flag.clauses[:-1]:
        segments[clause.then].append(clause.when["in"][0])
    return Says(
        share_percent=managed_share_bp(flag) / 100,
        new=tuple(segments[Backend.NEW]),
        legacy=tuple(segments[Backend.LEGACY]),
        everyone=flag.default == Backend.NEW,
    )


def _rolled_back(edit: Edit, latch: Latch) -> list[str]:
    standing = [one for one in latch.entries if one.scope.area is None or one.scope.area in edit.areas]
    return [
        f"rollback {one.id} ({one.scope}) stands: what it covers stays on legacy until it is released"
        for one in standing
    ]


def _notes(edit: Edit, change: Change, after: Generation) -> list[str]:
    notes = []
    if len(edit.areas) > 1:
        notes.append(f"flag {edit.key} decides for {', '.join(edit.areas)}: all of them change")
    if edit.before is None:
        notes.append(f"flag {edit.key} did not exist; {edit.file} is new")
    fixed = [one.id for one in edit.plan_after.routes if one.area in edit.areas and one.to is not None]
    if fixed:
        notes.append(f"no flag decides for {', '.join(fixed)}: the route says `to:`")
    for name in dict.fromkeys(change.add):
        notes += [_held(one) for one in held_back(edit.key, name, after)]
    if change.everyone and (legacy := says(edit.flag_after).legacy):
        notes.append(f"not everyone: clauses still give legacy to {', '.join(legacy)}; they are edited by hand")
    if not edit.changes:
        notes.append(f"{edit.file} says so already: nothing was changed")
    return notes


def _held(one: HeldBack) -> str:
    if one.by == one.segment:
        return (
            f"{one.place}: a clause before it gives legacy to {one.segment} itself, so nothing moves; edit it by hand"
        )
    many = "accounts" if one.accounts is None else f"{one.accounts} of the register's accounts"
    return (
        f"{one.place}: {many} of {one.segment} that are in {one.by} too stay on legacy; that clause is edited by hand"
    )


__all__ = ["Asked", "CanaryCommand", "Done", "Says", "at_once", "says"]
