"""What control itself puts into the journal: its start and end, and every edit that was found, in force or not."""

from __future__ import annotations

import datetime as dt
import logging
import os
from pathlib import Path

import msgspec

from proxy.config.text.fileset import FileSet
from proxy.control.history.event import Action, Event, Filter, Line
from proxy.control.history.journal import Journal, name_of
from proxy.control.history.journalfile import JournalUnusable
from proxy.control.plans.changes import FILE_EDIT, changed_files, owner_of, refused_event, reload_event
from proxy.control.switches.rollback import ids_of
from proxy.core.plan import Plan
from proxy.core.switches.latch import Latch
from proxy.core.telling.pages import Posted, Roster

_LOOKED_BACK = 200

_log = logging.getLogger("control")


class Recorder:
    """Writes control's own events."""

    def __init__(self, journal: Journal, directory: Path) -> None:
        """Record nothing yet.

        Args:
            journal: where to.
            directory: of routes.yaml; what the names of files are relative to.
        """
        self._journal = journal
        self._directory = directory
        self._commands: set[str] = set()
        self._resuming = True

    def by_command(self, content_hash: str) -> None:
        """A file is about to get this content by a command, which puts itself into the journal: it is no file edit."""
        self._commands.add(content_hash)

    def started(self, posted: Posted | None, roster: Roster | None, *, first: bool) -> None:
        """Control serves; `first`: so does the proxy, otherwise control alone was started again."""
        self._resuming = False
        if not first and posted is not None:
            self._make_up_for(posted)
        uid = os.getuid()
        self._journal.record(
            Event(
                action=Action.START,
                by=name_of(uid) if first else "supervisor",
                uid=uid if first else None,
                reason="" if first else "control had ended",
                scope={"process": "proxy" if first else "control"},
                after=None
                if roster is None
                else {
                    "pid": roster.pid,
                    "listen": roster.listen,
                    "ops": roster.ops,
                    "workers": roster.workers - len(roster.vacant),
                }
                if first
                else {"pid": os.getpid(), "starts": roster.control_starts},
                generation=None if posted is None else posted.generation,
                plan=None if posted is None else posted.plan,
            )
        )

    def _make_up_for(self, posted: Posted) -> None:
        """A former control was killed after it had posted a plan, and before it wrote down for whom."""
        lines = self._look_back(Filter(limit=_LOOKED_BACK))
        if lines is not None and not any(line.event.generation == posted.generation for line in lines):
            self._journal.record(
                Event(
                    action=Action.RELOAD,
                    by=name_of(None),
                    reason="in force when control was started again, and by whom nobody had written down",
                    after={"plan": posted.plan},
                    generation=posted.generation,
                    plan=posted.plan,
                )
            )

    def standing(self, latch: Latch) -> None:
        """A rollback that stands and was never written down: whoever threw it was killed between the two.

        Told with who threw it and when, as the latch has it.
        """
        lines = self._look_back(Filter(actions=(Action.ROLLBACK,)))
        if lines is None:
            return
        known = {name for line in lines if isinstance(line.event.after, list) for name in line.event.after}
        for entry, name in zip(latch.entries, ids_of(latch), strict=True):
            if name not in known:
                self._journal.record(
                    Event(
                        action=Action.ROLLBACK,
                        by=entry.by,
                        reason=entry.reason,
                        scope={
                            key: value
                            for key, value in msgspec.structs.asdict(entry.scope).items()
                            if value is not None
                        },
                        after=ids_of(latch),
                        epoch=latch.epoch,
                        plan=entry.plan,
                        at_s=_seconds(entry.at),
                    )
                )

    def stopped(self, why: str) -> None:
        """Control ends in order, and with it the proxy."""
        self._journal.record(Event(action=Action.STOP, by="supervisor", reason=why, scope={"process": "proxy"}))

    def refused_to_start(self, why: str) -> None:
        """Nothing listens."""
        uid = os.getuid()
        event = Event(action=Action.REFUSED, by=name_of(uid), uid=uid, reason=why, scope={"process": "proxy"})
        self._journal.record(event)

    def posting(
        self,
        *,
        before: tuple[Plan | None, FileSet | None, Posted],
        after: tuple[Plan, FileSet, Posted],
    ) -> None:
        """A plan is about to be posted in the place of another.

        Before and not after: control may be killed in between, and an event that no worker confirms tells the truth,
        while a change without an event doesn't.
        """
        files = changed_files(before[1], after[1])
        if files and all(after[1].hash_of(name) in self._commands for name in files):
            return
        posted = after[2]
        event = reload_event(
            before[0],
            after[0],
            files=files,
            owner=owner_of(files, self._directory),
            generation=posted.generation,
            plan=posted.plan,
            former=before[2].plan,
        )
        self._journal.record(event)

    def held_back(self, file: str, why: str) -> None:
        """An edit is not in force. Found by a control that was started again, it is the same refusal and told once."""
        if not (self._resuming and self._told(file, why)):
            self._journal.record(refused_event(file, why, owner_of((file,), self._directory)))

    def _told(self, file: str, why: str) -> bool:
        lines = self._look_back(Filter(actions=(Action.REFUSED, Action.RELOAD), limit=_LOOKED_BACK))
        for line in reversed(lines or []):
            event = line.event
            if event.by == FILE_EDIT and file in event.scope.get("files", ()):
                return event.action is Action.REFUSED and event.reason == why
        return False

    def _look_back(self, wanted: Filter) -> list[Line] | None:
        try:
            return self._journal.entries(wanted)
        except JournalUnusable as error:
            _log.warning("%s", error)
            return None


def _seconds(at: str) -> float:
    """Seconds since 1970; 0 for a time that somebody wrote by hand and nobody can read."""
    try:
        return dt.datetime.fromisoformat(at).timestamp()
    except ValueError:
        return 0.0
