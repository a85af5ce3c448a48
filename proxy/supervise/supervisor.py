"""The supervisor: keeps the sockets open, keeps control and workers running, and ends them in order.

It reads no configuration and speaks no HTTP; there is little in it that can break, because when it dies everything ends. Its life:

1. the state is locked and the sockets are bound by the caller; nothing listens yet
2. control starts and either posts a plan on the board or refuses (exit 1, having said why): then so do we
3. the traffic sockets listen, the workers start
4. once every worker has confirmed a generation, one line says so
5. SIGUSR2: the version that is installed takes over (`handover`): this very program, then control, then the workers, one after another
6. SIGHUP: control reads the files now, and beats on the board when that is over
7. SIGTERM or SIGINT: readiness is withdrawn at once; after `drain_delay_s` workers drain, then control ends; a second signal kills

Standard library only, so that no upgrade of a dependency can break it.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Sequence
from typing import Final, Self

from proxy.core.telling.pages import Confirmed, Page, Posted, Roster, TextPage
from proxy.supervise.assignment import Assignment, Settings
from proxy.supervise.children import Child, reap_orphans
from proxy.supervise.handover import Handover
from proxy.supervise.judging import Hearts, tell_end
from proxy.supervise.lock import StateLock
from proxy.supervise.mapped import complete_run, map_page, page_layout, prepare_run, remove_run
from proxy.supervise.notify import Notifier
from proxy.supervise.phase import Phase
from proxy.supervise.renewal import Renewal
from proxy.supervise.rolling import GIVE_UP_S, Do, Rolling
from proxy.supervise.signals import ENDINGS, Signals, Terminal, signals
from proxy.supervise.sockets import BACKLOG, show_address

_TICK_S: Final = 0.1
_GRACE_S: Final = 5.0  # beyond the drain, before a child is killed
_CONTROL_GRACE_S: Final = 5.0

# glibc gives big blocks back to the kernel and fetches them again for every body; raising the thresholds took a third off
# large downloads and two thirds off uploads. 32 MiB is the highest that glibc accepts.
_WORKER_ENVIRONMENT: Final = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(64 << 20)}

_log = logging.getLogger("supervisor")


class Supervisor:
    """One process group."""

    def __init__(
        self,
        settings: Settings,
        lock: StateLock,
        traffic: Sequence[socket.socket],
        ops: socket.socket,
        *,
        say: Callable[[str], None],
        handed: Handover | None = None,
    ) -> None:
        """Make the pages; nothing runs yet, but for what is handed over.

        Args:
            settings: what the command line said.
            lock: both locks of the state directory, taken.
            traffic: a bound socket for each worker.
            ops: the bound socket of the ops endpoints.
            say: prints the line that announces readiness.
            handed: by the version of the program that this one replaces.
        """
        self._settings = settings
        self._lock = lock
        self._traffic = list(traffic)
        self._ops = ops
        self._say = say
        state = settings.state_dir
        (prepare_run if handed is None else complete_run)(state, settings.slots)
        self._board = Page(map_page(state.board, writable=False), Posted)
        self._roster = Page(map_page(state.roster, writable=True), Roster)
        self._confirmations = [
            Page(map_page(state.worker(slot), writable=False), Confirmed) for slot in range(settings.slots)
        ]
        self._hearts = Hearts(self._confirmations, TextPage(map_page(state.latch_page, writable=False)))
        self._listen_at = show_address(traffic[0])
        self._ops_at = show_address(ops)
        # Children hold the first; only we hold the second.
        self._life, self._life_end = os.pipe() if handed is None else (handed.life, handed.life_end)
        self._control = Child("control", "proxy.app.control")
        self._workers = [
            Child(f"worker {slot}", "proxy.app.worker", _WORKER_ENVIRONMENT) for slot in range(settings.slots)
        ]
        self._rolling = Rolling(settings.workers)
        self._leaving: dict[int, float] = {}  # retired workers' slots, and when they are killed
        self._phase = Phase.STARTING
        self._announced = False
        self._give_up_at_s = 0.0
        self._exit_code = 0
        self._renewal = Renewal(self._handover, self._control, lambda: self._board.beats)
        if handed is not None:
            self._go_on(handed)
        self._notify = Notifier()
        self._terminal = Terminal()

    @classmethod
    def resumed(cls, handed: Handover, *, say: Callable[[str], None]) -> Self:
        """The supervisor of a new version, which goes on from where the former was."""
        lock = StateLock(handed.serving, handed.lock)
        traffic = [socket.socket(fileno=descriptor) for descriptor in handed.traffic]
        return cls(handed.settings, lock, traffic, socket.socket(fileno=handed.ops), say=say, handed=handed)

    def _handover(self) -> Handover:
        """All that a new version has to know."""
        assert self._lock.serving is not None  # it isn't asked for once the end has begun
        return Handover(
            pages=page_layout(),
            settings=self._settings,
            serving=self._lock.serving,
            lock=self._lock.inherited,
            traffic=tuple(sock.fileno() for sock in self._traffic),
            ops=self._ops.fileno(),
            life=self._life,
            life_end=self._life_end,
            control=self._control.handed(),
            workers=tuple(child.handed() for child in self._workers),
            sockets=tuple(self._rolling.sockets),
            leaving=tuple(self._leaving.items()),
        )

    def _go_on(self, handed: Handover) -> None:
        self._control.adopt(handed.control)
        for child, one in zip(self._workers, handed.workers, strict=True):
            child.adopt(one)
        self._rolling.sockets = list(handed.sockets)
        self._leaving = dict(handed.leaving)
        self._phase = Phase.SERVING
        self._announced = True
        self._renewal.resume(time.monotonic())

    def run(self) -> int:
        """Serve until told to end; returns the exit code."""
        try:
            with signals() as heard:
                self._note_roster()
                while self._phase is not Phase.ENDED:
                    self._turn(heard)
        finally:
            remove_run(self._settings.state_dir)
            self._lock.release()
        return self._exit_code

    def _turn(self, heard: Signals) -> None:
        """One look at everything; waits for a tick or a signal first."""
        numbers, ticked = heard.wait(_TICK_S)
        now_s = time.monotonic()
        for number in numbers:
            self._on_signal(number, now_s)
        self._reap(now_s)
        self._start_due(now_s)
        if ticked:
            self._watch_heartbeats()
            self._tell_manager(now_s)
        match self._phase:
            case Phase.STARTING if self._board.read() is not None:
                for sock in self._traffic:
                    sock.listen(BACKLOG)
                self._phase = Phase.SERVING
                self._start_due(now_s)
            case Phase.SERVING if not self._announced:
                self._announce()
            case Phase.SERVING:
                self._roll_on(now_s)
                if self._renewal.step(now_s, busy=self._rolling.under_way):
                    _log.info("control is replaced; now the workers are, one after another")
                    self._rolling.begin()
            case Phase.LEAVING:
                self._roll_on(now_s)
                if now_s >= self._give_up_at_s:
                    self._begin_drain(now_s)
            case Phase.DRAINING:
                self._drain_on(now_s)
            case Phase.CLOSING:
                self._close_on(now_s)
            case _:
                pass

    # -- signals ---------------------------------------------------------------------------------------------------------

    def _on_signal(self, number: int, now_s: float) -> None:
        if number == signal.SIGUSR1:
            for child in self._workers:
                child.tell(signal.SIGUSR1)  # reopen the access log
        elif number == signal.SIGUSR2:
            if self._announced and self._phase is Phase.SERVING:
                self._renewal.ask()
            else:
                _log.warning("no new version, no new workers: %s", self._phase.value)
        elif number == signal.SIGHUP and not self._terminal.closed():
            self._reload(now_s)
        elif number in ENDINGS or number == signal.SIGHUP:
            if self._phase in {Phase.DRAINING, Phase.CLOSING}:
                _log.warning("second signal: killing what is left")
                self._give_up_at_s = now_s
            elif self._phase is Phase.LEAVING:
                _log.warning("second signal: the balancer is given no more time, and nobody else either")
                self._begin_drain(now_s)
                self._give_up_at_s = now_s
            else:
                self._leave(now_s)

    def _reload(self, now_s: float) -> None:
        if self._phase is not Phase.SERVING:
            return  # the files are being read, or nobody needs them any more
        self._notify.reloading(self._board.beats, now_s)
        self._control.tell(signal.SIGHUP)

    def _tell_manager(self, now_s: float) -> None:
        """What systemd hears with every tick."""
        self._notify.tick(self._board.beats, now_s)
        if self._notify.listened_to and self._announced:
            posted = self._board.read()
            serving = sum(self._serves(slot) for slot in range(len(self._workers)))
            self._notify.status(
                f"{self._phase.value}; {serving} of {len(self._traffic)} serve"
                + ("" if posted is None else f", generation {posted.generation}")
            )

    def _leave(self, now_s: float) -> None:
        """Withdraw readiness, and go on serving until the balancer has had its time to notice."""
        delay_s = self._settings.drain_delay_s if self._announced else 0.0
        if delay_s:
            _log.info("not ready any more; serving for %g s, until the balancer has noticed", delay_s)
        self._renewal.give_up()
        self._phase = Phase.LEAVING
        self._notify.stopping(delay_s + self._settings.drain_s + _GRACE_S + _CONTROL_GRACE_S)
        self._give_up_at_s = now_s + delay_s
        self._note_roster()
        self._lock.stop_serving()
        if not delay_s:
            self._begin_drain(now_s)

    def _begin_drain(self, now_s: float) -> None:
        _log.info("draining, %g s at most", self._settings.drain_s)
        self._phase = Phase.DRAINING
        self._give_up_at_s = now_s + self._settings.drain_s + _GRACE_S
        # Our copies would keep the sockets listening, with a queue that nobody reads any more.
        for sock in self._traffic:
            sock.close()
        for child in self._workers:
            child.wanted = False
            child.tell(signal.SIGTERM)
        self._note_roster()

    def _drain_on(self, now_s: float) -> None:
        left = [child for child in self._workers if child.pid]
        if not left:
            self._phase = Phase.CLOSING
            self._give_up_at_s = now_s + _CONTROL_GRACE_S
            self._control.wanted = False
            self._control.tell(signal.SIGTERM)
        elif now_s >= self._give_up_at_s:
            self._kill(left, now_s)

    def _close_on(self, now_s: float) -> None:
        if not self._control.pid:
            self._phase = Phase.ENDED
        elif now_s >= self._give_up_at_s:
            self._kill([self._control], now_s)

    def _kill(self, children: Sequence[Child], now_s: float) -> None:
        self._give_up_at_s = now_s + _GRACE_S
        for child in children:
            _log.warning("%s did not end in time and is killed", child.name)
            child.tell(signal.SIGKILL)

    # -- the rolling restart ---------------------------------------------------------------------------------------------

    def _roll_on(self, now_s: float) -> None:
        for slot, kill_at_s in list(self._leaving.items()):
            child = self._workers[slot]
            if not child.pid:
                del self._leaving[slot]
            elif now_s >= kill_at_s:
                self._leaving[slot] = now_s + _GRACE_S
                _log.warning("%s did not end in time and is killed", child.name)
                child.tell(signal.SIGKILL)
        step = self._rolling.step([child.pid for child in self._workers], self._serves, now_s)
        if step is None:
            return
        child = self._workers[step.slot]
        match step.do:
            case Do.START:
                child.wanted = True
                child.due_at_s = now_s
                self._start_due(now_s)
            case Do.RETIRE:
                self._retire(step.slot, now_s)
                if not self._rolling.under_way:
                    _log.info("every worker is replaced; the last one's predecessor drains")
            case Do.ABANDON:
                _log.error("%s could not serve within %g s: the others stay", child.name, GIVE_UP_S)
                self._retire(step.slot, now_s)

    def _retire(self, slot: int, now_s: float) -> None:
        child = self._workers[slot]
        child.wanted = False
        child.tell(signal.SIGTERM)
        self._leaving[slot] = now_s + self._settings.drain_s + _GRACE_S
        self._note_roster()

    def _serves(self, slot: int) -> bool:
        note = self._confirmations[slot].read()
        return note is not None and bool(note.generation) and note.pid == self._workers[slot].pid

    # -- children --------------------------------------------------------------------------------------------------------

    def _reap(self, now_s: float) -> None:
        changed = False
        for child in (self._control, *self._workers):
            code = child.reap(now_s)
            if code is None:
                continue
            changed = True
            if child is self._control:
                self._notify.reader_ended(now_s)
            if child is self._control and self._phase is Phase.STARTING and code == 1:
                self._exit_code = 1  # it has said why
                self._phase = Phase.ENDED
                child.wanted = False  # or one more would be started, to be left alone
            elif child.wanted:
                planned = child is self._control and self._renewal.expected_end()
                tell_end(child.name, code, max(0.0, child.due_at_s - now_s), planned=planned)
        reap_orphans({self._renewal.pid, *(child.pid for child in (self._control, *self._workers))})
        if changed:
            self._note_roster()

    def _start_due(self, now_s: float) -> None:
        changed = False
        if not self._control.pid and self._control.wanted and now_s >= self._control.due_at_s:
            changed |= self._start(self._control, self._ops, 0, now_s)
        if self._phase in {Phase.SERVING, Phase.LEAVING}:
            for slot, child in enumerate(self._workers):
                number = self._rolling.sockets[slot]
                if number is not None and not child.pid and now_s >= child.due_at_s:
                    self._hearts.begin(slot)
                    changed |= self._start(child, self._traffic[number], slot, now_s)
        if changed:
            self._note_roster()

    def _start(self, child: Child, listener: socket.socket, slot: int, now_s: float) -> bool:
        assignment = Assignment(
            settings=self._settings,
            life=self._life,
            lock=self._lock.inherited,
            listener=listener.fileno(),
            slot=slot,
            first=self._phase is Phase.STARTING,
        )
        try:
            kept = (self._life, self._lock.inherited, listener.fileno())
            child.start(assignment.encode(), kept, now_s, gently=child is self._control or self._rolling.replaces(slot))
        except OSError as error:
            _log.error("%s can't be started: %s", child.name, error)
            child.due_at_s = now_s + 1.0
            return False
        return True

    def _watch_heartbeats(self) -> None:
        for slot, still in self._hearts.standing_still([child.pid for child in self._workers]):
            child = self._workers[slot]
            _log.error("%s: no heartbeat for %.0f s; it is killed", child.name, still * _TICK_S)
            child.tell(signal.SIGKILL)

    def _announce(self) -> None:
        count = len(self._traffic)
        if all(self._serves(slot) for slot in range(count)) and (note := self._confirmations[0].read()) is not None:
            self._announced = True
            self._notify.ready()
            self._say(
                f"ready: traffic on http://{self._listen_at}, health and metrics on http://{self._ops_at}; "
                f"{count} worker{'s' if count > 1 else ''}, generation {note.generation}, plan {note.plan[:12]}"
            )

    def _note_roster(self) -> None:
        self._roster.write(
            Roster(
                pid=os.getpid(),
                workers=len(self._workers),
                vacant=tuple(slot for slot, number in enumerate(self._rolling.sockets) if number is None),
                listen=self._listen_at,
                ops=self._ops_at,
                draining=self._phase in {Phase.LEAVING, Phase.DRAINING, Phase.CLOSING},
                control_starts=self._control.starts,
                worker_starts=tuple(child.starts for child in self._workers),
                worker_pids=tuple(child.pid for child in self._workers),
            )
        )
