"""The latch without control: the command line writes it itself, and waits for the workers as control would."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from pathlib import Path
from typing import Any, Final

import msgspec

from proxy.control.history.journal import Journal
from proxy.control.plans.publish import Publisher
from proxy.control.switches.latchfile import CannotWrite, LatchStore
from proxy.control.switches.obeying import LOOK_S, WAIT_S
from proxy.control.switches.rollback import Asked, Change, names_of_running, refused_event, running_plan
from proxy.control.switches.scopes import Names, UnknownName, check_names, joined, names_of
from proxy.control.telling.regions import regions_seen
from proxy.core.layout import StateDir
from proxy.core.switches.latch import Scope
from proxy.core.telling.pages import Confirmed, Page, Posted, Roster, TextPage
from proxy.supervise.mapped import map_page

_SAVED_WITHIN_S: Final = 2.0


def throw_without_control(state: StateDir, asked: Asked, routes: Path, flags: Path) -> Any:
    """Put a rollback in force.

    Args:
        state: of a proxy that runs, or of one that shall be rolled back when it starts.
        asked: the scope and the reason.
        routes: routes.yaml, read only for a name that the running plan doesn't know.
        flags: the directory of flag files, likewise.

    Returns:
        What control would have answered.

    Raises:
        UnknownName: the scope names what neither the files nor the running plan knows.
        CannotWrite: neither the page nor the file can be written.
    """
    page, publisher = _open(state)
    plan = running_plan(publisher) or _remembered(state)
    store = LatchStore(state, page, publisher.pages, lambda: plan)
    uid = os.getuid()
    with contextlib.closing(Journal(state, writer=f"rollback-{os.getpid()}")) as journal:
        change = Change(store=store, publisher=publisher, journal=journal, asked=asked, uid=uid)
        try:
            known = _known(asked.scope, names_of_running(state, plan), routes, flags)
            change.throw(known, lambda: regions_seen(state))
        except (UnknownName, CannotWrite) as error:
            journal.record(refused_event(asked, uid, str(error), "rollback"))
            raise
        trouble: list[str] = []
        saving = threading.Thread(target=_save, args=(store, trouble), daemon=True)  # a disk may hang for good
        saving.start()
        deadline_s = time.monotonic() + WAIT_S
        while not change.obeying.look() and time.monotonic() < deadline_s:
            time.sleep(LOOK_S)
        change.witness()
        saving.join(_SAVED_WITHIN_S)
        if saving.is_alive():
            trouble.append("the disk doesn't answer")
        return msgspec.to_builtins(change.answer(on_disk=not trouble, trouble="; ".join(trouble)))


def _save(store: LatchStore, trouble: list[str]) -> None:
    try:
        store.save()
    except (OSError, CannotWrite) as error:
        trouble.append(str(error))


def _open(state: StateDir) -> tuple[TextPage | None, Publisher]:
    """The pages of the proxy that runs there, or empty ones."""
    try:
        board = Page(map_page(state.board, writable=False), Posted)
        roster = Page(map_page(state.roster, writable=False), Roster)
        note = roster.read()
        slots = range(0 if note is None else note.workers)
        pages = [Page(map_page(state.worker(slot), writable=False), Confirmed) for slot in slots]
        page = TextPage(map_page(state.latch_page, writable=True))
    except OSError:
        nothing = memoryview(bytearray(64))
        return None, Publisher(state=state, board=Page(nothing, Posted), roster=Page(nothing, Roster), confirmations=())
    return page, Publisher(state=state, board=board, roster=roster, confirmations=pages)


def _remembered(state: StateDir) -> str | None:
    """The plan that was in force when control last wrote it down."""
    try:
        plan = msgspec.json.decode(state.in_force.read_bytes())["plan"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return plan if isinstance(plan, str) else None


def _known(scope: Scope, running: Names | None, routes: Path, flags: Path) -> Names | None:
    """What the running plan names; and, only where it doesn't know the scope, what the files do."""
    if running is None:
        return None
    try:
        check_names(scope, running)
    except UnknownName:
        from proxy.config.compile import compile_files
        from proxy.config.text.files import read_files

        plan = compile_files(read_files(routes, flags)).plan
        return joined(running, None if plan is None else names_of(plan))
    return running
