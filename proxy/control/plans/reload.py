"""Files to plans, at the start and ever after: what is wanted, what is in force, and what is said about the difference.

1. the disk is looked at ten times a second (`watch`), and read when it has something new to say
2. contents whose hashes are the same end it there
3. `settle` finds what can be in force: each file at its last good version if need be
4. a plan other than the posted one is written, remembered, and posted on the board, in this order: whenever control is killed, its
   successor finds a state from which the same steps lead on
5. complaints that weren't there before are said, once

Everything that takes time runs in one thread, so that ops endpoints and commands answer meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime as dt
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from proxy.config.compile import compile_files
from proxy.config.problems import Complaint, Severity
from proxy.config.settle import Settled, settle
from proxy.config.text.cache import Cache
from proxy.config.text.files import read_files
from proxy.config.text.fileset import File, FileSet
from proxy.control.history.recorder import Recorder
from proxy.control.plans.memory import Remembered, Unremembered, forget, is_new, recall, remember
from proxy.control.plans.publish import Publisher
from proxy.control.plans.watch import POLL_S, Patience, look
from proxy.core.layout import StateDir
from proxy.core.plan import Plan, decode_plan
from proxy.core.switches.latch import OPEN, Latch
from proxy.core.telling.counters import Counters
from proxy.core.telling.pages import Posted

_RETRY_S: Final = 1.0  # a disk that was full may have room again

_log = logging.getLogger("control")


class CannotStart(Exception):
    """No plan can be made from the files, or from what is remembered. The text has every complaint.

    Attributes:
        last_good: the generation of files that a start could go back to; None: there is none.
    """

    def __init__(self, why: str, last_good: int | None = None) -> None:
        super().__init__(why)
        self.last_good = last_good

    @property
    def remedy(self) -> str:
        """What can be done now."""
        if self.last_good is None:
            return ""
        return (
            f"; mend the files, or start with the last good versions (generation {self.last_good}): "
            f"strangler serve … --last-good"
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The configuration as it stands; replaced whole."""

    in_force: FileSet | None = None  # None: the posted plan's files aren't known
    held_back: Mapping[str, str] = dataclasses.field(
        default_factory=dict
    )  # file → why it stays at its last good version
    complaints: tuple[Complaint, ...] = ()
    plan: Plan | None = None
    trouble: str = ""  # why the newest plan could not be handed over


class Reloader:
    """Keeps the board at what the files say."""

    def __init__(
        self,
        *,
        routes: Path,
        flags: Path,
        state: StateDir,
        publisher: Publisher,
        own: Counters,
        recorder: Recorder | None = None,
        latch: Callable[[], Latch] = lambda: OPEN,
    ) -> None:
        """Read nothing yet.

        Args:
            routes: routes.yaml.
            flags: the directory of flag files.
            state: where plans are written, and what is in force is remembered.
            publisher: posts plans.
            own: control's own counters.
            recorder: puts changes and refusals into the journal; None: nowhere.
            latch: the rollbacks in force, under which no area is retired.
        """
        self._routes = routes
        self._flags = flags
        self._state = state
        self._publisher = publisher
        self._own = own
        self._recorder = recorder
        self._latch = latch
        self._posted_plan: Plan | None = None
        self._cache = Cache()
        self._patience = Patience()
        self._wanted: FileSet | None = None
        self._unsettled = False  # what was last read has not been taken to its end
        self._mended_for: frozenset[str] = frozenset()  # start ids of workers that refuse the posted plan
        self._generation = 0  # the last one remembered
        self._retry_at_s: float | None = None
        self._settled_on = _today()  # what the calendar says is told anew every day
        self._turn = threading.Lock()
        self.standing = Standing()

    async def start(self, *, first: bool, last_good: bool) -> None:
        """Read the files and post their plan.

        Args:
            first: whether the proxy starts, and not only control: then broken files are a refusal.
            last_good: start with the last good version of broken files.

        Raises:
            CannotStart: there is no plan to start with.
            OSError: the state directory can't be written.
        """
        await asyncio.to_thread(self._start, first, last_good)

    async def run(self) -> None:
        """Follow the files until cancelled."""
        while True:
            await asyncio.sleep(POLL_S)
            await asyncio.to_thread(self._look)

    def reconsider(self) -> None:
        """The latch has changed: what was held back because of a rollback may go on. From any thread."""
        if self.standing.held_back:
            self._retry_at_s = time.monotonic()

    def read_now(self) -> None:
        """Read the files and put in force what they say, however lately they were edited. In a thread; what came of it stands in `standing`."""
        with self._turn:
            self._retry_at_s = None
            try:
                self._read(self.standing.in_force)
                self._settle()
            except Exception as error:  # noqa: BLE001 - as in `_look`
                self._stumble(error)

    # -- for a command that edits a file; in a thread, inside `hold` -----------------------------------------------------

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Nothing is read, settled or posted meanwhile but by whoever holds it."""
        with self._turn:
            yield

    def try_out(self, file: str, content: bytes) -> Settled:
        """What would be in force if a file had another content, all else as it was last read."""
        assert self._wanted is not None  # whoever calls has seen what stands
        wanted = self._wanted.with_files({file: File.of(content)})
        return settle(wanted, self.standing.in_force, self._cache, _today(), self._latch())

    def take_over(self, file: str, content: bytes) -> None:
        """Put in force what was just written into a file.

        Of the others nothing is read: somebody may be in the middle of an edit.
        """
        assert self._wanted is not None
        self._wanted = self._wanted.with_files({file: File.of(content)})
        self._settle()

    # -- in the thread ---------------------------------------------------------------------------------------------------

    def _start(self, first: bool, last_good: bool) -> None:  # noqa: FBT001 - passed through `to_thread`
        remembered = self._recall(first=first)
        known = None if remembered is None else remembered.files
        if remembered is not None:
            self._generation = remembered.generation
        if first and not last_good:
            known = None  # at a start nothing is held back: the files are right, or they are refused
        elif first and known is None:
            raise CannotStart("--last-good: nothing is remembered to start with")
        if not first:
            self.standing = Standing(in_force=known)  # what has changed since then is an edit
            try:
                self._read(known)
                self._settle()
            except OSError:
                raise  # the supervisor tries again
            except Exception as error:  # noqa: BLE001 - as in `_look`: status and rollback are needed all the more
                self._stumble(error)
            return
        settled = settle(self._read(known), known, self._cache, _today())
        if settled.compiled.plan is None:
            complaints = "\n".join(str(one) for one in settled.compiled.complaints)
            raise CannotStart(complaints, self._way_back(remembered))
        self._take(settled)

    def _way_back(self, remembered: Remembered | None) -> int | None:
        """The generation that `--last-good` would start with, tried out: this program may read files otherwise."""
        if remembered is None:
            return None
        tried = settle(self._read(remembered.files), remembered.files, self._cache, _today())
        return None if tried.compiled.plan is None else remembered.generation

    def _recall(self, *, first: bool) -> Remembered | None:
        try:
            remembered = recall(self._state)
        except Unremembered as error:
            if first and is_new(self._state):
                _log.info("%s is a new state directory", self._state.root)
            elif first:
                _log.warning(
                    "%s, although there was one: generations begin again at 1, and until this start has succeeded "
                    "--last-good has nothing to start with",
                    error,
                )
            else:
                _log.error("%s: a broken file can't be judged by its last good version", error)
            return None
        _log.info("remembered: generation %d, plan %s", remembered.generation, remembered.plan[:12])
        return remembered

    def _look(self) -> None:
        """One look at the disk, and whatever follows from it."""
        with self._turn:
            now_s = time.monotonic()
            try:
                if self._retry_at_s is not None and now_s >= self._retry_at_s:
                    self._retry()
                if self._patience.due(look(() if self._wanted is None else self._wanted.watch), now_s):
                    self._reload()
                elif self._wanted is not None and self._settled_on != _today():
                    self._settle()  # certificates and flags may have come to their end
                self._mend()
            except Exception as error:  # noqa: BLE001 - the top of a task: files that break our own code end nothing
                self._stumble(error)

    def _mend(self) -> None:
        """Write the posted plan and its tables again for workers that can't run it: one of the files may be damaged."""
        posted, in_force = self._publisher.posted, self.standing.in_force
        refusing = {} if posted is None else self._publisher.refusing(posted.generation)
        fresh = refusing.keys() - self._mended_for
        self._mended_for = frozenset(refusing)
        if not fresh or posted is None or in_force is None:
            return
        compiled = compile_files(in_force, self._cache, _today())
        try:
            same = compiled.plan is not None and self._publisher.write(compiled.plan, compiled.tables) == posted.plan
            if same:
                remember(self._state, Remembered(generation=posted.generation, plan=posted.plan, files=in_force))
        except OSError as error:
            _log.error("plan %s can't be written again: %s", posted.plan[:12], error)
            return
        why = "; ".join(sorted({refusing[start_id] for start_id in fresh}))
        result = "is written again" if same else "can't be made again of the files in force"
        _log.warning("a worker can't run plan %s (%s): it %s", posted.plan[:12], why, result)

    def _stumble(self, error: Exception) -> None:
        """Keep what runs, and say so: a defect of ours, which some file has brought to light."""
        trouble = f"the files can't be read, the workers stay at their plan: {type(error).__name__}: {error}"
        if trouble != self.standing.trouble:
            _log.error("%s", trouble, exc_info=error)
            self._count("failed")
        self._unsettled = True
        self._patience.rest(time.monotonic())
        self.standing = dataclasses.replace(self.standing, trouble=trouble)

    def _reload(self) -> None:
        """Read the files, and put in force what has changed."""
        former = self._wanted
        wanted = self._read(self.standing.in_force)
        if self._unsettled or former is None or _hashes(wanted) != _hashes(former):
            self._settle()

    def _retry(self) -> None:
        """Hand over again what could not be written."""
        self._retry_at_s = None
        if self._wanted is not None:
            self._settle()

    def _settle(self) -> None:
        """Put in force what can be of the files as they were last read."""
        assert self._wanted is not None
        self._unsettled = True
        self._settled_on = _today()
        self._take(settle(self._wanted, self.standing.in_force, self._cache, _today(), self._latch()))
        self._unsettled = False

    def _read(self, in_force: FileSet | None) -> FileSet:
        began_s = time.monotonic()
        before = look(() if self._wanted is None else self._wanted.watch)
        wanted = read_files(self._routes, self._flags, in_force, self._cache)
        if self._wanted is None:
            # The first reading: nothing was watched before it, so what changed while it lasted is seen by the next.
            before = look(wanted.watch)
        now_s = time.monotonic()
        self._patience.read(before, now_s, now_s - began_s)
        self._wanted = wanted
        return wanted

    def _take(self, settled: Settled) -> None:
        """Put in force what was settled on, if it differs from what is."""
        compiled = settled.compiled
        self._say_new(compiled.complaints)
        for file in settled.held_back.keys() - self.standing.held_back.keys():
            _log.error("%s stays at its last good version", file)
        if self._recorder is not None:
            for file, why in settled.held_back.items():
                if self.standing.held_back.get(file) != why:
                    self._recorder.held_back(file, why)
        for file in self.standing.held_back.keys() - settled.held_back.keys():
            _log.info("%s is no longer held back", file)
        trouble = ""
        if compiled.plan is None:
            # Control was started again, has no memory of the files that run, and can't make a plan of these.
            self._count("held_back")
            self.standing = dataclasses.replace(self.standing, complaints=compiled.complaints)
            return
        in_force: FileSet | None = settled.in_force
        try:
            self._hand_over(compiled.plan, compiled.tables, settled.in_force)
        except OSError as error:
            if self._publisher.posted is None:
                raise
            trouble = f"the state directory can't be written, the workers stay at their plan: {error}"
            if trouble != self.standing.trouble:
                _log.error("%s", trouble)
                self._count("failed")
            self._retry_at_s = time.monotonic() + _RETRY_S
            in_force = self.standing.in_force
        else:
            self._count("held_back" if settled.held_back else "ok")
        self.standing = Standing(
            in_force=in_force,
            held_back=MappingProxyType(dict(settled.held_back)),
            complaints=compiled.complaints,
            plan=compiled.plan,
            trouble=trouble,
        )

    def _hand_over(self, plan: Plan, tables: Mapping[str, bytes], files: FileSet) -> None:
        name = self._publisher.write(plan, tables)
        posted = self._publisher.posted
        if posted is not None and posted.plan == name:
            generation = posted.generation  # other comments, the same meaning
        else:
            generation = self._publisher.next_generation(self._generation)
        self._generation = generation
        remember(self._state, Remembered(generation=generation, plan=name, files=files))
        if posted is None or posted.generation != generation:
            self._record(plan, files, Posted(generation=generation, plan=name))
            self._publisher.post(name, generation)
            _log.info("generation %d is posted: plan %s", generation, name[:12])
            self._publisher.remove_old()
        forget(self._state, files)
        self._posted_plan = plan

    def _record(self, plan: Plan, files: FileSet, posting: Posted) -> None:
        former = self._publisher.posted
        if self._recorder is None or former is None:
            return  # the proxy starts: that is an event of its own
        before = self._posted_plan
        if before is None:  # control was started again
            try:
                before = decode_plan(self._state.plan(former.plan).read_bytes())
            except (OSError, ValueError) as error:
                _log.warning("what the files change can't be told, the former plan can't be read: %s", error)
        self._recorder.posting(before=(before, self.standing.in_force, former), after=(plan, files, posting))

    def _count(self, result: str) -> None:
        self._own.cells[self._own.series(f'strangler_reloads_total{{result="{result}"}}')] += 1

    def _say_new(self, complaints: tuple[Complaint, ...]) -> None:
        said = {str(one) for one in self.standing.complaints}
        for one in complaints:
            if str(one) not in said:
                _log.log(logging.ERROR if one.severity is Severity.ERROR else logging.WARNING, "%s", one.unmarked)


def _hashes(files: FileSet) -> dict[str, str]:
    return {name: file.hash for name, file in files.files.items()}


def _today() -> dt.date:
    return dt.datetime.now(dt.UTC).date()
