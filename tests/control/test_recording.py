"""What control writes into the journal by itself: edits in force and refused, workers that change, who had what when."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.config.text.fileset import File
from proxy.control.history.event import Action, Event, Filter, Line
from proxy.control.history.journal import Journal
from proxy.control.history.recorder import Recorder
from proxy.control.history.witness import Witness
from proxy.control.plans.changes import FILE_EDIT
from proxy.control.plans.publish import Publisher
from proxy.control.plans.reload import Reloader
from proxy.core.layout import StateDir
from proxy.core.switches.latch import Entry, Latch, Scope
from proxy.core.telling.counters import Counters
from proxy.core.telling.pages import PAGE_BYTES, Confirmed, Page, Posted, Roster
from tests.waiting import until_async

ROUTES = """\
version: 1
backends:
  legacy: {url: "http://127.0.0.1:1"}
  new: {url: "http://127.0.0.1:2"}
areas:
  orders: {routes: [{path: /orders, to: legacy}]}
  help: {routes: [{path: /help, to: legacy}]}
otherwise: legacy
cache: off
"""
MOVED = ROUTES.replace("/help, to: legacy", "/help, to: new")


def page() -> memoryview:
    return memoryview(bytearray(PAGE_BYTES))


class Control:
    """A control process's insides; pages and files outlive it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.state = StateDir(root / "state")
        self.state.root.mkdir()
        self.state.run.mkdir()
        (root / "flags").mkdir()
        (root / "routes.yaml").write_text(ROUTES)
        self.board = Page(page(), Posted)
        self.roster = Page(page(), Roster)
        self.workers = [Page(page(), Confirmed) for _ in range(2)]
        self.own = Counters(memoryview(bytearray(4096)))
        self.journal: Journal
        self.begin(first=True)

    def begin(self, *, first: bool) -> None:
        """A new process."""
        self.journal = Journal(self.state, adopt=True)
        self.publisher = Publisher(state=self.state, board=self.board, roster=self.roster, confirmations=self.workers)
        self.recorder = Recorder(self.journal, self.root)
        self.reloader = Reloader(
            routes=self.root / "routes.yaml",
            flags=self.root / "flags",
            state=self.state,
            publisher=self.publisher,
            own=self.own,
            recorder=self.recorder,
        )
        self.reloader._start(first, False)
        self.recorder.started(self.publisher.posted, self.publisher.roster(), first=first)

    def begin_again(self) -> None:
        self.journal.close()
        self.begin(first=False)

    def edit(self, text: str) -> None:
        (self.root / "routes.yaml").write_text(text)
        self.reloader._reload()

    def lines(self, *actions: Action) -> list[Line]:
        return self.journal.entries(Filter(actions=actions))


@pytest.fixture
def control(tmp_path: Path) -> Iterator[Control]:
    control = Control(tmp_path)
    yield control
    control.journal.close()


def test_an_edit_is_told_with_its_file_its_owner_and_how_the_area_stood(control: Control) -> None:
    former = control.board.read()
    control.edit(MOVED)
    (line,) = control.lines(Action.RELOAD)
    event = line.event
    assert (event.by, event.uid) == (FILE_EDIT, os.getuid())
    assert event.scope == {"files": ["routes.yaml"], "areas": ["help"]}
    posted = control.board.read()
    assert former is not None
    assert posted is not None
    assert event.before == {"plan": former.plan, "areas": {"help": "legacy"}}
    assert event.after == {"plan": posted.plan, "areas": {"help": "live"}}
    assert (event.generation, event.plan) == (posted.generation, posted.plan)


def test_lines_that_only_moved_are_no_change_of_an_area(control: Control) -> None:
    control.edit(MOVED.replace("areas:", "# first\n\nareas:"))
    (line,) = control.lines(Action.RELOAD)
    assert line.event.scope["areas"] == ["help"]


def test_a_refused_edit_is_told_once_also_by_a_control_that_is_started_again(control: Control) -> None:
    control.edit(ROUTES.replace("path: /help", "pth: /help"))
    control.begin_again()
    control.reloader._reload()
    (line,) = control.lines(Action.REFUSED)
    assert line.event.scope == {"files": ["routes.yaml"]}
    assert 'the key "path" is missing' in line.event.reason
    control.edit(ROUTES.replace("path: /orders", "pth: /orders"))
    assert len(control.lines(Action.REFUSED)) == 2, "another mistake is another refusal"


def test_an_edit_made_while_control_was_dead_is_told_by_its_successor(control: Control) -> None:
    (control.root / "routes.yaml").write_text(MOVED)
    control.begin_again()
    start, reload, again = control.lines()
    assert [one.event.action for one in (start, reload, again)] == [Action.START, Action.RELOAD, Action.START]
    assert reload.event.after["areas"] == {"help": "live"}
    assert again.event.scope == {"process": "control"}


def test_a_change_that_control_did_not_live_to_write_down_is_told_by_its_successor(control: Control) -> None:
    plan = control.board.read()
    assert plan is not None
    control.board.write(Posted(generation=plan.generation + 1, plan=plan.plan))
    control.begin_again()
    assert [(line.event.generation, line.event.by) for line in control.lines(Action.RELOAD)] == [
        (plan.generation + 1, "unknown")
    ]
    control.begin_again()
    assert len(control.lines(Action.RELOAD)) == 1


def test_a_rollback_that_nobody_lived_to_write_down_is_told_with_who_threw_it_and_when(control: Control) -> None:
    entry = Entry(id="r3", scope=Scope(area="orders"), by="ada (1000)", reason="5xx", at="2026-03-31T14:05:00+00:00")
    latch = Latch(epoch=3, entries=(entry,))
    control.recorder.standing(latch)
    control.recorder.standing(latch)
    (line,) = control.lines(Action.ROLLBACK)
    assert (line.event.by, line.event.reason, line.event.scope) == ("ada (1000)", "5xx", {"area": "orders"})
    assert (line.event.at_s, line.event.epoch) == (1774965900.0, 3)


def test_what_a_command_writes_is_no_file_edit(control: Control) -> None:
    control.recorder.by_command(File.of(MOVED.encode()).hash)
    control.edit(MOVED)
    assert control.lines(Action.RELOAD) == []


@pytest.mark.anyio
async def test_each_worker_confirms_an_event_when_it_has_it(control: Control) -> None:
    witness = Witness(control.journal, control.publisher)
    control.journal.tell(witness.expect)
    posted = control.board.read()
    assert posted is not None
    control.roster.write(Roster(pid=1, workers=2, worker_starts=(1, 1), worker_pids=(11, 12)))

    def confirm(slot: int, pid: int, generation: int, epoch: int) -> None:
        note = Confirmed(pid=pid, start_id="a", generation=generation, plan=posted.plan, epoch=epoch)
        control.workers[slot].write(note)

    def confirmed(identity: str) -> set[int]:
        return next(set(line.workers) for line in control.lines() if line.event.id == identity)

    watching = asyncio.ensure_future(witness.run())
    confirm(0, 11, 1, 0)
    confirm(1, 12, 1, 0)
    change = control.journal.record(Event(action=Action.RELOAD, by="ada", generation=2))
    thrown = control.journal.record(Event(action=Action.ROLLBACK, by="ada", epoch=5))
    confirm(0, 11, 2, 0)
    await until_async(lambda: confirmed(change) == {0}, "worker 0 has the plan")
    assert confirmed(thrown) == set()
    confirm(1, 12, 1, 5)
    await until_async(lambda: confirmed(thrown) == {1}, "worker 1 has the latch")
    assert confirmed(change) == {0}
    confirm(1, 12, 3, 6)
    await until_async(lambda: confirmed(change) == {0, 1}, "a later plan is that and more")
    control.roster.write(Roster(pid=1, workers=2, worker_starts=(2, 1), worker_pids=(13, 12)))
    await until_async(lambda: control.lines(Action.WORKER), "another process in slot 0")
    (line,) = control.lines(Action.WORKER)
    assert (line.event.before, line.event.after) == ({"pid": 11}, {"pid": 13, "starts": 2})
    confirm(0, 13, 3, 6)
    await until_async(lambda: confirmed(thrown) == {0, 1}, "the successor has it too")
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
