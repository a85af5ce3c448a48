"""Plans on their way to the workers: written, posted on the board, confirmed by each, and one day removed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from proxy.control.durable import ensure_file
from proxy.core.layout import StateDir
from proxy.core.plan import Plan, TableRef, decode_record, encode_plan, plan_name
from proxy.core.telling.pages import Confirmed, Page, Posted, Roster

_PLANS_KEPT: Final = 4  # beside those in use: enough to look at what was running before an incident
_TABLE_LINE: Final = b'{"kind":"table",'


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class WorkerReport:
    """One worker slot, as its page and the supervisor's tell."""

    slot: int
    pid: int  # 0: nobody runs there at this moment
    starts: int
    confirmed: Confirmed | None  # what the process that runs there now has said

    @property
    def generation(self) -> int:
        """The generation it serves; 0: none yet."""
        return 0 if self.confirmed is None else self.confirmed.generation


class Publisher:
    """Writes plans and posts them. The board has no other writer."""

    def __init__(
        self,
        *,
        state: StateDir,
        board: Page[Posted],
        roster: Page[Roster],
        confirmations: Sequence[Page[Confirmed]],
        judging: Callable[[], Iterable[str] | None] = tuple,
    ) -> None:
        """Publish nothing yet; what stands on the board stays.

        Args:
            state: where plans and tables stand.
            board: written.
            roster: the supervisor's.
            confirmations: the workers', by slot.
            judging: names the plans that rollbacks were thrown under; None: that can't be known now.
        """
        self._judging = judging
        self._state = state
        self._board = board
        self._roster = roster
        self._confirmations = confirmations
        for directory in (state.plans, state.tables):
            directory.mkdir(mode=0o700, exist_ok=True)

    @property
    def pages(self) -> Sequence[Page[Confirmed]]:
        """The workers' pages."""
        return self._confirmations

    @property
    def posted(self) -> Posted | None:
        """What workers are told to run."""
        return self._board.read()

    def write(self, plan: Plan, tables: Mapping[str, bytes]) -> str:
        """Bring a plan and its tables to the disk; returns the plan's name.

        Raises:
            OSError: the state directory can't be written; nothing has changed for the workers.
        """
        for digest, content in tables.items():
            ensure_file(self._state.table(digest), content)
        text = encode_plan(plan)
        name = plan_name(text)
        ensure_file(self._state.plan(name), text)
        return name

    def next_generation(self, at_least: int) -> int:
        """A number that no generation of this node has had."""
        posted = self.posted
        seen = [note.generation for page in self._confirmations if (note := page.read()) is not None]
        return 1 + max(at_least, 0 if posted is None else posted.generation, *seen, 0)

    def post(self, name: str, generation: int) -> None:
        """Tell the workers to run a plan that `write` has written."""
        self._board.write(Posted(generation=generation, plan=name))

    def workers(self) -> tuple[WorkerReport, ...]:
        """Every worker: who runs, and who should; a slot that is kept free isn't told."""
        roster = self._roster.read()
        vacant = () if roster is None else roster.vacant
        reports = (_report(slot, page, roster) for slot, page in enumerate(self._confirmations))
        return tuple(one for one in reports if one.pid or one.slot not in vacant)

    def refusing(self, generation: int) -> dict[str, str]:
        """Workers that could not build a generation, also those that ended over it: start id → why."""
        notes = [note for page in self._confirmations if (note := page.read()) is not None]
        return {note.start_id: note.trouble for note in notes if note.refused == generation}

    def roster(self) -> Roster | None:
        """The supervisor's note."""
        return self._roster.read()

    def remove_old(self) -> None:
        """Remove plans and tables that no worker runs and no rollback was thrown under; the last few plans stay.

        Raises:
            OSError: a file can't be removed.
        """
        used = {note.plan for page in self._confirmations if (note := page.read()) is not None}
        judging = self._judging()
        if judging is None:
            return
        used.update(judging)
        if (posted := self.posted) is not None:
            used.add(posted.plan)
        plans = sorted(self._state.plans.glob("*.plan"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
        unused = [path for path in plans if path.stem not in used]
        for path in unused[_PLANS_KEPT:]:
            path.unlink()
        wanted = {digest for path in self._state.plans.glob("*.plan") for digest in _tables_of(path)}
        for path in self._state.tables.glob("*.table"):
            if path.stem not in wanted:
                path.unlink()  # a worker that has it mapped keeps its bytes


def _report(slot: int, page: Page[Confirmed], roster: Roster | None) -> WorkerReport:
    pids = () if roster is None else roster.worker_pids
    pid = pids[slot] if slot < len(pids) else 0
    note = page.read()
    return WorkerReport(
        slot=slot,
        pid=pid,
        starts=roster.worker_starts[slot] if roster is not None and slot < len(roster.worker_starts) else 0,
        confirmed=note if note is not None and note.pid == pid else None,
    )


def _tables_of(path: Path) -> Iterator[str]:
    with path.open("rb") as file:
        for line in file:
            if line.startswith(_TABLE_LINE):
                record = decode_record(line)
                if isinstance(record, TableRef):
                    yield record.digest
            elif line.startswith((b'{"kind":"area"', b'{"kind":"route"', b'{"kind":"flag"')):
                return  # tables stand before all of these, and routes may be many
