"""The journal on disk: an SQLite database in WAL mode to which lines are added, and from which none is taken.

Any process of the user may write and read at the same time: control, a command while control is dead, `strangler journal`. An
event has an id from the moment it was made, and inserting it again changes nothing: whoever isn't sure whether an event
arrived writes it once more. Triggers refuse every change of what stands there.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from proxy.control.history.event import EVERY_AREA, Action, Confirmation, Event, Filter, Line

VERSION: Final = 1
"""Of the tables (`user_version`); a file of another version is neither written nor read."""

_BUSY_S: Final = 5.0
_SCHEMA: Final = """
BEGIN IMMEDIATE;
CREATE TABLE events(
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    at_s REAL NOT NULL,
    action TEXT NOT NULL,
    "by" TEXT NOT NULL,
    uid INTEGER,
    reason TEXT NOT NULL,
    scope TEXT NOT NULL,
    areas TEXT NOT NULL,
    "before" TEXT NOT NULL,
    "after" TEXT NOT NULL,
    generation INTEGER,
    epoch INTEGER,
    plan TEXT
);
CREATE TABLE confirmations(
    event TEXT NOT NULL,
    worker INTEGER NOT NULL,
    at_s REAL NOT NULL,
    PRIMARY KEY(event, worker)
) WITHOUT ROWID;
CREATE TRIGGER events_once BEFORE INSERT ON events
    WHEN EXISTS (SELECT 1 FROM events WHERE id = new.id OR seq = new.seq) BEGIN SELECT raise(IGNORE); END;
CREATE TRIGGER events_stay BEFORE UPDATE ON events BEGIN SELECT raise(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER events_remain BEFORE DELETE ON events BEGIN SELECT raise(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER confirmations_once BEFORE INSERT ON confirmations
    WHEN EXISTS (SELECT 1 FROM confirmations WHERE event = new.event AND worker = new.worker)
    BEGIN SELECT raise(IGNORE); END;
CREATE TRIGGER confirmations_stay BEFORE UPDATE ON confirmations
    BEGIN SELECT raise(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER confirmations_remain BEFORE DELETE ON confirmations
    BEGIN SELECT raise(ABORT, 'the journal is append-only'); END;
PRAGMA user_version = 1;
COMMIT;
"""
_EVENT: Final = (
    'INSERT INTO events(id, at_s, action, "by", uid, reason, scope, areas, "before", "after", generation, epoch, plan) '
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_CONFIRMATION: Final = "INSERT INTO confirmations(event, worker, at_s) VALUES (?, ?, ?)"
_COLUMNS: Final = 'seq, id, at_s, action, "by", uid, reason, scope, "before", "after", generation, epoch, plan'


class JournalUnusable(Exception):
    """The database can't be read or written by this program. The text says why."""


class JournalFile:
    """An open database that can be added to. Belongs to the thread that opened it."""

    def __init__(self, path: Path) -> None:
        """Open it; make it if it isn't there.

        Raises:
            sqlite3.Error: it can't be opened.
            OSError: the same.
            JournalUnusable: another version made it.
        """
        self._path = path
        if not path.exists():
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # reasons and names are nobody else's business
        self._database = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)
        try:
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = FULL")  # an event is there after a power cut, too
            if _version(self._database, path) == 0:
                self._make_tables()
            about = path.stat()
            self._inode = (about.st_dev, about.st_ino)
        except BaseException:
            self._database.close()
            raise

    @property
    def in_place(self) -> bool:
        """Whether its path still leads to it: a database that was moved away takes lines that nobody reads."""
        try:
            about = self._path.stat()
        except OSError:
            return False
        return self._inode == (about.st_dev, about.st_ino)

    def add(self, items: Sequence[Event | Confirmation]) -> None:
        """Add all of these, or none.

        Raises:
            sqlite3.Error: they could not be written.
        """
        database = self._database
        database.execute("BEGIN IMMEDIATE")
        try:
            for item in items:
                if isinstance(item, Event):
                    database.execute(_EVENT, _row(item))
                else:
                    database.execute(_CONFIRMATION, (item.event, item.worker, item.at_s))
            database.execute("COMMIT")
        except BaseException:
            self._rollback()
            raise

    def _make_tables(self) -> None:
        try:
            self._database.executescript(_SCHEMA)
        except sqlite3.Error:
            self._rollback()
            if _version(self._database, self._path) != VERSION:  # otherwise somebody else has just made them
                raise

    def _rollback(self) -> None:
        if self._database.in_transaction:
            with contextlib.suppress(sqlite3.Error):  # a full disk has ended the transaction already
                self._database.execute("ROLLBACK")

    def close(self) -> None:
        """Close it; what was added is on the disk already."""
        with contextlib.suppress(sqlite3.Error):
            self._database.close()


def read_lines(path: Path, wanted: Filter) -> list[Line]:
    """The lines that a filter wants, oldest first; nothing is written, and nobody needs to run.

    Raises:
        JournalUnusable: there is a file, and it can't be read.
    """
    if not path.exists():
        return []
    conditions, values = _conditions(wanted)
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    limit = "" if wanted.limit is None else "LIMIT ?"
    try:
        with _reading(path) as database:
            if _version(database, path) == 0:
                return []  # it is being made at this moment
            # Both queries see one state of the database, whoever adds to it meanwhile.
            database.execute("BEGIN")
            rows = database.execute(
                f"SELECT {_COLUMNS} FROM events {where} ORDER BY seq DESC {limit}",  # noqa: S608 - our own words
                values if wanted.limit is None else [*values, wanted.limit],
            ).fetchall()[::-1]
            confirmed = _confirmed(database, [row[1] for row in rows])
            return [_line(row, confirmed.get(row[1], {})) for row in rows]
    except (sqlite3.Error, msgspec.MsgspecError) as error:
        raise JournalUnusable(f"{path} can't be read: {error}") from error


def _confirmed(database: sqlite3.Connection, events: Sequence[str]) -> dict[str, dict[int, float]]:
    found: dict[str, dict[int, float]] = {}
    for event in events:
        rows = database.execute("SELECT worker, at_s FROM confirmations WHERE event = ?", (event,))
        found[event] = dict(rows.fetchall())
    return found


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_BUSY_S, isolation_level=None)
    try:
        yield database
    finally:
        database.close()


def _version(database: sqlite3.Connection, path: Path) -> int:
    version = int(database.execute("PRAGMA user_version").fetchone()[0])
    if version not in {0, VERSION}:
        raise JournalUnusable(f"{path} is of version {version}; this program knows {VERSION}")
    return version


def _conditions(wanted: Filter) -> tuple[list[str], list[Any]]:
    conditions: list[str] = []
    values: list[Any] = []
    if wanted.since_s is not None:
        conditions.append("at_s >= ?")
        values.append(wanted.since_s)
    if wanted.actions:
        conditions.append(f"action IN ({', '.join('?' * len(wanted.actions))})")
        values += [action.value for action in wanted.actions]
    if wanted.area is not None:
        conditions.append("(instr(areas, ?) OR areas = ?)")
        values += [_listed((wanted.area,)), _listed((EVERY_AREA,))]
    if wanted.after_seq:
        conditions.append("seq > ?")
        values.append(wanted.after_seq)
    return conditions, values


def _listed(areas: Iterable[str]) -> str:
    """Names in one column, each between line feeds, which no name has."""
    return "".join(f"\n{area}\n" for area in areas)


def _row(event: Event) -> tuple[Any, ...]:
    return (
        event.id,
        event.at_s,
        event.action.value,
        event.by,
        event.uid,
        event.reason,
        _json(event.scope),
        _listed(event.areas()),
        _json(event.before),
        _json(event.after),
        event.generation,
        event.epoch,
        event.plan,
    )


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _line(row: tuple[Any, ...], workers: dict[int, float]) -> Line:
    seq, identity, at_s, action, by, uid, reason, scope, before, after, generation, epoch, plan = row
    event = Event(
        action=Action(action),
        by=by,
        uid=uid,
        reason=reason,
        scope=msgspec.json.decode(scope),
        before=msgspec.json.decode(before),
        after=msgspec.json.decode(after),
        generation=generation,
        epoch=epoch,
        plan=plan,
        at_s=at_s,
        id=identity,
    )
    return Line(seq=seq, event=event, workers=workers)
