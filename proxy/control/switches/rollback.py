"""Throwing and releasing the latch: the same steps in control and, when that is dead, in the command itself."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from proxy.control.history.event import Action, Event
from proxy.control.history.journal import Journal, name_of
from proxy.control.plans.publish import Publisher
from proxy.control.switches.latchfile import Changed, LatchStore
from proxy.control.switches.obeying import Obeying, WorkerAnswer
from proxy.control.switches.scopes import Names, check_names, names_in_text, not_covered, remarks
from proxy.core.layout import StateDir
from proxy.core.switches.latch import STAND_INS, Entry, Latch, Scope, release, throw
from proxy.core.telling.sightings import Seen


class Thrown(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of `rollback --json`, and of `release --json`; its keys stay.

    Attributes:
        covered: what goes to legacy (a release: what may go to new again) from the next request on.
        not_covered: areas that legacy has no more.
        stood: the same scope was rolled back already, and stays one entry.
        entered: rollbacks that were found on the way, in files or at workers.
        still: rollbacks that stand (after a release).
        workers: each that ran, and when it confirmed.
        on_disk: whether it outlives a restart of everything; False: it is in force, and is tried again.
        ms: the whole change, in milliseconds.
    """

    action: str
    entry: Entry
    epoch: int
    covered: str
    not_covered: tuple[str, ...] = ()
    stood: bool = False
    entered: tuple[Entry, ...] = ()
    still: tuple[Entry, ...] = ()
    notes: tuple[str, ...] = ()
    workers: tuple[WorkerAnswer, ...] = ()
    confirmed: bool = False
    on_disk: bool = False
    trouble: str = ""
    ms: float = 0.0


class Asked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a command asks for.

    Attributes:
        scope: of the rollback, or of the one to release.
        id: of the one to release; None: the scope says it.
        uid: who asks; control takes the socket's peer instead.
    """

    scope: Scope = Scope()
    reason: str
    id: str | None = None


class Change:
    """One change of the latch, from the wish to the last confirmation."""

    def __init__(self, *, store: LatchStore, publisher: Publisher, journal: Journal, asked: Asked, uid: int) -> None:
        self._store = store
        self._publisher = publisher
        self._journal = journal
        self._asked = asked
        self._uid = uid
        self._began_s = time.monotonic()
        self._event = ""
        self._answer: Thrown
        self.obeying: Obeying

    def throw(self, known: Names | None, seen: Callable[[], Seen]) -> None:
        """Put a rollback in force.

        Args:
            known: what the scope may name; None: that can't be read, and nothing is refused for it.
            seen: gives the regions of requests; asked only for a scope that names one.

        Raises:
            UnknownName: the scope names what doesn't exist.
            CannotWrite: the latch can't be changed.
        """
        scope = self._asked.scope
        if known is not None:
            check_names(scope, known)
        made: list[Entry] = []

        def step(latch: Latch, epoch: int) -> Latch:
            after, entry = throw(latch, self._store.entry(f"r{epoch}", scope, self._by, self._asked.reason))
            made.append(entry)
            return after

        changed = self._store.change(step)
        entry = made[0]
        self._begin(changed)
        self._answer = Thrown(
            action="rollback",
            entry=entry,
            epoch=changed.latch.epoch,
            covered=str(scope),
            not_covered=() if known is None else not_covered(scope, known),
            stood=changed.before.find(scope) is not None,
            entered=changed.entered,
            still=changed.latch.entries,
            notes=remarks(scope, known, seen() if scope.region is not None else None, time.time()),
        )
        self._record(Action.ROLLBACK, entry, changed)

    def release(self) -> None:
        """End a rollback.

        Raises:
            CannotRelease: no such one stands, or a wider one does.
            CannotWrite: STATE/ROLLBACK can't be deleted, or the latch not be changed.
        """
        asked = self._asked
        wanted: str | Scope = asked.scope if asked.id is None or asked.id in STAND_INS else asked.id
        made: list[Entry] = []

        def step(latch: Latch, _epoch: int) -> Latch:
            after, entry = release(latch, wanted)
            made.append(entry)
            return after

        changed = self._store.change(step)
        self._begin(changed)
        self._answer = Thrown(
            action="release",
            entry=made[0],
            epoch=changed.latch.epoch,
            covered=str(made[0].scope),
            entered=changed.entered,
            still=changed.latch.entries,
        )
        self._record(Action.RELEASE, made[0], changed)

    def answer(self, *, on_disk: bool, trouble: str = "") -> Thrown:
        """What came of it."""
        return msgspec.structs.replace(
            self._answer,
            workers=tuple(self.obeying.answers.values()),
            confirmed=self.obeying.complete,
            on_disk=on_disk,
            trouble=trouble,
            ms=round((time.monotonic() - self._began_s) * 1000, 1),
        )

    def witness(self) -> None:
        """Note in the journal which workers have it; control has somebody who does that for every event."""
        for answer in self.obeying.answers.values():
            if answer.ms is not None and not answer.ended:
                at_s = time.time() - (time.monotonic() - self._began_s) + answer.ms / 1000
                self._journal.confirmed(self._event, answer.slot, at_s)

    @property
    def epoch(self) -> int:
        """What the workers shall confirm."""
        return self._answer.epoch

    @property
    def _by(self) -> str:
        return f"{name_of(self._uid)} ({self._uid})"

    def _begin(self, changed: Changed) -> None:
        self.obeying = Obeying(self._publisher, changed.latch.epoch, self._began_s)

    def _record(self, action: Action, entry: Entry, changed: Changed) -> None:
        for one in changed.entered:
            self._journal.record(entered_event(one, changed))
        self._event = self._journal.record(
            Event(
                action=action,
                by=name_of(self._uid),
                uid=self._uid,
                reason=self._asked.reason,
                scope=msgspec.to_builtins(entry.scope),
                before=ids_of(changed.before),
                after=ids_of(changed.latch),
                epoch=changed.latch.epoch,
                plan=entry.plan,
            )
        )


def refused_event(asked: Asked, uid: int, why: str, what: str) -> Event:
    """A change of the latch that was asked for and not made."""
    return Event(
        action=Action.REFUSED,
        by=name_of(uid),
        uid=uid,
        reason=why,
        scope=msgspec.to_builtins(asked.scope),
        after={"asked": what, "id": asked.id, "reason": asked.reason},
    )


def entered_event(entry: Entry, changed: Changed) -> Event:
    """A rollback that no command threw."""
    return Event(
        action=Action.ROLLBACK,
        by=entry.by,
        reason=entry.reason,
        scope=msgspec.to_builtins(entry.scope),
        before=ids_of(changed.before),
        after=ids_of(changed.latch),
        epoch=changed.latch.epoch,
        plan=entry.plan,
    )


def ids_of(latch: Latch) -> list[str]:
    """A latch in a line: which rollbacks stand."""
    return [f"{entry.id} ({entry.scope})" for entry in latch.entries]


def running_plan(publisher: Publisher) -> str | None:
    """The plan that most workers run, else the one that is posted."""
    plans = [worker.confirmed.plan for worker in publisher.workers() if worker.confirmed and worker.confirmed.plan]
    if plans:
        return max(plans, key=plans.count)
    posted = publisher.posted
    return None if posted is None else posted.plan


def names_of_running(state: StateDir, plan: str | None) -> Names | None:
    """What the running plan names; None: it can't be read."""
    if plan is None:
        return None
    try:
        return names_in_text(state.plan(plan).read_bytes())
    except (OSError, ValueError):
        return None
