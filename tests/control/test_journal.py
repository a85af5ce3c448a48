"""The journal: nothing lost, nothing doubled, nobody kept waiting."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.control.history.event import Action, Event, Filter, Line
from proxy.control.history.journal import Journal, name_of, pending_lines
from proxy.control.history.journalfile import JournalUnusable, read_lines
from proxy.core.layout import StateDir
from proxy.supervise.mapped import prepare_run, remove_run
from tests.waiting import until


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    state = StateDir(tmp_path)
    state.run.mkdir()
    return state


@pytest.fixture
def journal(state: StateDir) -> Iterator[Journal]:
    journal = Journal(state, adopt=True)
    yield journal
    journal.close()


def rollback(area: str | None = "orders", **more: object) -> Event:
    said: dict[str, object] = {"by": "ada", "uid": 1000, "reason": "5xx on new", **more}
    return Event(action=Action.ROLLBACK, scope={} if area is None else {"area": area}, **said)  # type: ignore[arg-type]


def stand_in_the_way(state: StateDir) -> None:
    """A directory where the database belongs: nobody can open it, root included."""
    state.journal.mkdir()


def ids(state: StateDir, wanted: Filter | None = None) -> list[str]:
    return [line.event.id for line in read_lines(state.journal, wanted or Filter())]


def test_an_event_is_read_as_it_was_recorded_with_when_each_worker_had_it(state: StateDir, journal: Journal) -> None:
    event = rollback(before={"epoch": 2}, after=["a", 1, None], epoch=3, generation=7, plan="ab" * 32, at_s=12.5)
    identity = journal.record(event)
    journal.confirmed(identity, 1, 13.25)
    journal.confirmed(identity, 0, 13.5)
    journal.confirmed(identity, 1, 99.0)
    assert journal.flush(10)
    (line,) = read_lines(state.journal, Filter())
    assert line.event == Event(
        action=Action.ROLLBACK,
        by="ada",
        uid=1000,
        reason="5xx on new",
        scope={"area": "orders"},
        before={"epoch": 2},
        after=["a", 1, None],
        epoch=3,
        generation=7,
        plan="ab" * 32,
        at_s=12.5,
        id=identity,
    )
    assert line.workers == {0: 13.5, 1: 13.25}, "the first time that a worker had it counts"


def test_an_event_that_is_written_twice_is_one(state: StateDir, journal: Journal) -> None:
    journal.record(rollback(id="one", reason="first"))
    journal.record(rollback("help", id="two"))
    journal.record(rollback(id="one", reason="again"))
    assert journal.flush(10)
    assert [(line.event.id, line.event.scope["area"]) for line in read_lines(state.journal, Filter())] == [
        ("one", "orders"),
        ("two", "help"),
    ]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET reason = ''",
        "DELETE FROM events",
        "UPDATE confirmations SET at_s = 0",
        "DELETE FROM confirmations",
    ],
)
def test_what_stands_in_the_journal_can_not_be_changed(state: StateDir, journal: Journal, statement: str) -> None:
    journal.confirmed(journal.record(rollback()), 0, 1.0)
    assert journal.flush(10)
    database = sqlite3.connect(state.journal)
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        database.execute(statement)
    database.execute("INSERT OR REPLACE INTO events SELECT * FROM events")
    database.close()
    assert [line.event.reason for line in read_lines(state.journal, Filter())] == ["5xx on new"]


def test_a_filter_keeps_what_it_names(state: StateDir, journal: Journal) -> None:
    journal.record(rollback(None, id="all", at_s=1.0))
    journal.record(rollback("orders", id="orders", at_s=2.0))
    journal.record(rollback("orders-eu", id="orders-eu", at_s=3.0))
    journal.record(
        Event(action=Action.RELOAD, by="file edit", scope={"areas": ["help", "orders"]}, id="reload", at_s=4.0)
    )
    journal.record(Event(action=Action.START, by="ada", id="start", at_s=5.0))
    assert journal.flush(10)
    assert ids(state, Filter(area="orders")) == ["all", "orders", "reload"]
    assert ids(state, Filter(area="orders", since_s=2.0)) == ["orders", "reload"]
    assert ids(state, Filter(actions=(Action.RELOAD, Action.START))) == ["reload", "start"]
    assert ids(state, Filter(limit=2)) == ["reload", "start"]
    last = read_lines(state.journal, Filter(limit=1))[0].seq
    journal.record(rollback("help", id="later"))
    assert journal.flush(10)
    assert ids(state, Filter(after_seq=last)) == ["later"]


def test_an_event_that_is_written_while_somebody_reads_is_missing_nowhere(
    state: StateDir, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = journal.record(rollback())
    assert journal.flush(10)
    writer = sqlite3.connect(state.journal, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")  # so that the second one waits until it was read past
    second = journal.record(rollback("help"))

    def read_and_let_write(path: Path, wanted: Filter) -> list[Line]:
        lines = read_lines(path, wanted)
        writer.execute("ROLLBACK")
        writer.close()
        assert journal.flush(30)
        return lines

    monkeypatch.setattr("proxy.control.history.journal.read_lines", read_and_let_write)
    assert [line.event.id for line in journal.entries()] == [first, second]


def test_what_can_not_be_written_waits_in_its_order_and_is_told(state: StateDir) -> None:
    stand_in_the_way(state)
    journal = Journal(state)
    try:
        recorded = [journal.record(rollback(f"area-{number}")) for number in range(3)]
        behind = until(lambda: journal.behind, "it knows that it is behind")
        assert behind is not None
        assert behind.count == 3
        assert "journal.db" in behind.why or "unable to open" in behind.why
        assert [line.event.id for line in pending_lines(state, [], Filter())] == recorded
        state.journal.rmdir()
        recorded.append(journal.record(rollback("late")))
        assert journal.flush(10)
        assert ids(state) == recorded
        assert journal.behind is None
        assert pending_lines(state, [], Filter()) == []
    finally:
        journal.close()


_KILLED = """
import os, signal, sys
from pathlib import Path
from proxy.control.history.event import Action, Event
from proxy.control.history.journal import Journal
from proxy.core.layout import StateDir

journal = Journal(StateDir(Path(sys.argv[1])))
for number in range(200):
    print(journal.record(Event(action=Action.CANARY, by="ada", scope={"area": f"area-{number}"})), flush=True)
    if number == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("disk", ["works", "fails"])
@pytest.mark.parametrize("after", [0, 7, 150])
def test_a_killed_process_loses_no_event_and_doubles_none(state: StateDir, disk: str, after: int) -> None:
    if disk == "fails":
        stand_in_the_way(state)
    killed = subprocess.run(
        [sys.executable, "-c", _KILLED, str(state.root), str(after)], capture_output=True, text=True, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    recorded = killed.stdout.split()
    assert len(recorded) == after + 1
    if disk == "fails":
        state.journal.rmdir()
    successor = Journal(state, adopt=True)
    assert successor.flush(10)
    successor.close()
    assert ids(state) == recorded
    assert state.all_pending_events() == []


def test_what_no_disk_took_outlives_the_whole_proxy(tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    prepare_run(state, 1)
    stand_in_the_way(state)
    journal = Journal(state)
    identity = journal.record(rollback())
    journal.close()
    remove_run(state)
    state.journal.rmdir()
    prepare_run(state, 1)
    successor = Journal(state, adopt=True)
    assert successor.flush(10)
    successor.close()
    assert ids(state) == [identity]
    remove_run(state)
    assert not state.run.is_symlink()
    assert not state.run.exists()


def test_several_processes_write_at_the_same_time(state: StateDir) -> None:
    journals = [Journal(state, writer=f"writer-{number}") for number in range(3)]
    threads = [threading.Thread(target=lambda one=one: [one.record(rollback()) for _ in range(50)]) for one in journals]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(one.flush(20) for one in journals)
    for one in journals:
        one.close()
    assert len(set(ids(state))) == 150


def test_a_database_that_is_taken_away_is_begun_anew(state: StateDir, journal: Journal) -> None:
    journal.record(rollback(id="before"))
    assert journal.flush(10)
    for path in state.root.glob("journal.db*"):
        path.rename(path.with_name(f"old-{path.name}"))
    journal.record(rollback(id="after"))
    assert journal.flush(10)
    assert ids(state) == ["after"]


def test_a_database_of_another_version_is_left_alone(state: StateDir) -> None:
    database = sqlite3.connect(state.journal)
    database.execute("PRAGMA user_version = 2")
    database.close()
    journal = Journal(state)
    journal.record(rollback())
    behind = until(lambda: journal.behind, "it knows that it is behind")
    assert behind is not None
    assert "version 2" in behind.why
    journal.close()
    with pytest.raises(JournalUnusable, match="version 2"):
        read_lines(state.journal, Filter())


def test_a_damaged_database_is_said_to_be_so(state: StateDir) -> None:
    state.journal.write_bytes(b"not a database, whatever its name says" * 100)
    with pytest.raises(JournalUnusable, match="not a database"):
        read_lines(state.journal, Filter())


def test_a_user_without_a_name_is_told_by_number() -> None:
    assert name_of(os.getuid()) != ""
    assert name_of(4_000_000_123) == "uid 4000000123"
    assert name_of(None) == "unknown"
