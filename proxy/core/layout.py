"""Where things stand in the state directory: names only, so that every process agrees on them.

Standard library only: the supervisor imports this.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path


@dataclasses.dataclass(frozen=True, slots=True)
class StateDir:
    """The names inside one state directory (on a local disk, 0700)."""

    root: Path

    @property
    def serving_lock(self) -> Path:
        """Held by the supervisor alone, until it begins to drain."""
        return self.root / "serving.lock"

    @property
    def lock(self) -> Path:
        """Held by the supervisor and everything it started, until the last of them has ended."""
        return self.root / "lock"

    @property
    def run(self) -> Path:
        """The directory of pages; on Linux a link into memory."""
        return self.root / "run"

    @property
    def board(self) -> Path:
        """The page on which control posts what workers shall run."""
        return self.run / "board.page"

    @property
    def roster(self) -> Path:
        """The page on which the supervisor tells of its children."""
        return self.run / "roster.page"

    @property
    def probes(self) -> Path:
        """The page on which control tells which endpoints don't answer their probes."""
        return self.run / "probes.page"

    @property
    def names(self) -> Path:
        """The page on which control tells which addresses the names of endpoints have."""
        return self.run / "names.page"

    @property
    def latch_page(self) -> Path:
        """The page that always carries the latest latch; whoever changes the latch holds its lock."""
        return self.run / "latch.page"

    @property
    def latch(self) -> Path:
        """The latch: every rollback in force (docs/rollback.md)."""
        return self.root / "latch.json"

    @property
    def freezes(self) -> Path:
        """The freezes in force (docs/cutting-over-a-segment.md)."""
        return self.root / "freezes.json"

    @property
    def drills(self) -> Path:
        """The drills in force (docs/game-day.md)."""
        return self.root / "drills.json"

    @property
    def rollback(self) -> Path:
        """While a file of this name is there, everything is rolled back."""
        return self.root / "ROLLBACK"

    def worker(self, slot: int) -> Path:
        """The page on which the worker of a slot confirms what it runs."""
        return self.run / f"worker-{slot}.page"

    def counters(self, slot: int) -> Path:
        """The counters of a worker slot."""
        return self.run / f"worker-{slot}.counters"

    def regions(self, slot: int) -> Path:
        """The regions that the worker of a slot saw."""
        return self.run / f"worker-{slot}.regions"

    @property
    def control_counters(self) -> Path:
        """Control's own counters."""
        return self.run / "control.counters"

    @property
    def plans(self) -> Path:
        """The directory of plans, each named by its hash."""
        return self.root / "plans"

    def plan(self, name: str) -> Path:
        """A plan's canonical text."""
        return self.plans / f"{name}.plan"

    @property
    def tables(self) -> Path:
        """The directory of tables, each named by its digest."""
        return self.root / "tables"

    def table(self, digest: str) -> Path:
        """A table's bytes."""
        return self.tables / f"{digest}.table"

    @property
    def files(self) -> Path:
        """Contents of configuration files as they were when last good, each named by its hash."""
        return self.root / "files"

    def file(self, digest: str) -> Path:
        """The content of one."""
        return self.files / digest

    @property
    def warm(self) -> Path:
        """The most that legacy carried in each of the last hours."""
        return self.root / "warm.json"

    @property
    def in_force(self) -> Path:
        """Which plan, generation and versions of the files are in force."""
        return self.root / "in-force.json"

    @property
    def log_key(self) -> Path:
        """32 random bytes: the key under which accounts are hashed in the access log."""
        return self.root / "log.key"

    @property
    def control_socket(self) -> Path:
        """Where commands reach control."""
        return self.root / "control.sock"

    @property
    def journal(self) -> Path:
        """The journal's database (SQLite; beside it `-wal` and `-shm`)."""
        return self.root / "journal.db"

    def pending_events(self, writer: str) -> Path:
        """Events that a process has recorded and not yet written to the journal; in memory."""
        return self.run / f"journal-{writer}.pending"

    def all_pending_events(self) -> list[Path]:
        """Those of every process, dead or alive."""
        return sorted(self.run.glob("journal-*.pending"))
