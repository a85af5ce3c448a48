"""Control: files to plans, commands, health and metrics. Wiring only."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Final

from proxy.admin.ops import ops_app, serve_ops
from proxy.app.messages import log_to_stderr
from proxy.app.process import ending, hangups
from proxy.app.start import give_way
from proxy.control.canaries.canary import CanaryCommand
from proxy.control.canaries.editing import Editor
from proxy.control.commands import serve_commands
from proxy.control.handlers import ExplainCommand, StatusCommand
from proxy.control.history.journal import Journal
from proxy.control.history.recorder import Recorder
from proxy.control.history.witness import Witness
from proxy.control.plans.publish import Publisher
from proxy.control.plans.reload import CannotStart, Reloader
from proxy.control.plans.reloadnow import ReloadCommand
from proxy.control.reaching.probes import Prober
from proxy.control.reaching.resolver import Resolver
from proxy.control.switches.drill import DrillCommand
from proxy.control.switches.drills import DrillFile
from proxy.control.switches.drillwatching import DrillWatcher
from proxy.control.switches.freeze import FreezeCommand
from proxy.control.switches.freezes import Freezer
from proxy.control.switches.keeper import Keeper
from proxy.control.switches.latchcommands import LatchCommands, ReleaseCommand, RollbackCommand
from proxy.control.switches.latchfile import LatchStore
from proxy.control.switches.lateness import Lateness
from proxy.control.switches.rehearsing import Rehearsals
from proxy.control.switches.rollback import running_plan
from proxy.control.switches.rollbacks import Rollbacks
from proxy.control.telling.report import Reporter
from proxy.control.telling.room import say_what_does_not_fit
from proxy.control.telling.telemetry import Telemetry
from proxy.control.telling.warmth import WarmCommand, WarmthWatch
from proxy.core.telling.counters import Counters
from proxy.core.telling.pages import Confirmed, Page, Posted, Probed, Resolved, Roster, TextPage
from proxy.supervise.assignment import Assignment
from proxy.supervise.mapped import map_page
from proxy.traffic.backends.tls import backend_context

_log = logging.getLogger("control")

# A plan is compiled in a thread beside the loop. Of Python's usual 5 ms a turn, of which control on a busy core has a tenth, an answer
# of ops needs a dozen: whoever asks it for health would give it up for dead.
_TURN_S: Final = 0.0005


async def control(assignment: Assignment) -> int:
    """Do control's work until told to end; returns the exit code."""
    settings = assignment.settings
    state = settings.state_dir
    slots = range(settings.slots)
    board = Page(map_page(state.board, writable=True), Posted)
    publisher = Publisher(
        state=state,
        board=board,
        roster=Page(map_page(state.roster, writable=False), Roster),
        confirmations=[Page(map_page(state.worker(slot), writable=False), Confirmed) for slot in slots],
        judging=lambda: store.judging(),  # noqa: PLW0108 - it is made below
    )
    store = LatchStore(
        state, TextPage(map_page(state.latch_page, writable=True)), publisher.pages, lambda: running_plan(publisher)
    )
    own = Counters(map_page(state.control_counters, writable=True))
    journal = Journal(state, adopt=True)
    witness = Witness(journal, publisher)
    journal.tell(witness.expect)
    keeper = Keeper(store, journal)
    recorder = Recorder(journal, Path(settings.routes).parent)
    reloader = Reloader(
        routes=Path(settings.routes),
        flags=Path(settings.flags),
        state=state,
        publisher=publisher,
        own=own,
        recorder=recorder,
        latch=store.present,
    )
    latch = Rollbacks(state, store, keeper)
    resolver = Resolver(
        page=Page(map_page(state.names, writable=True), Resolved), plan=lambda: reloader.standing.plan, own=own
    )
    prober = Prober(
        page=Page(map_page(state.probes, writable=True), Probed),
        plan=lambda: reloader.standing.plan,
        endpoints=resolver.endpoints,
        context_of=lambda spec: backend_context(spec.tls, state.file),
    )
    drills = DrillFile(state=state, boot=settings.boot, publisher=publisher)
    telemetry = Telemetry(
        own=own,
        slots=[Counters(map_page(state.counters(slot), writable=False)) for slot in slots],
        publisher=publisher,
        reloader=reloader,
        journal=journal,
        latch=latch,
        drills=drills,
        prober=prober,
        resolver=resolver,
        more=lambda: warmth.levels(),  # noqa: PLW0108 - it is made below
    )
    warmth = WarmthWatch(
        path=state.warm,
        counted=telemetry,
        plan=lambda: reloader.standing.plan,
        endpoints=resolver.endpoints,
        verdict=prober.verdict,
    )
    freezer = Freezer(state=state, boot=settings.boot, publisher=publisher, record=journal.record)
    lateness = Lateness(publisher, store)
    reporter = Reporter(
        publisher=publisher,
        reloader=reloader,
        telemetry=telemetry,
        journal=journal,
        latch=latch,
        lateness=lateness,
        freezer=freezer,
        drills=lambda: watcher.reports(),  # noqa: PLW0108 - it is made below
        prober=prober,
        warmth=warmth,
        workers=settings.workers,
        resolver=resolver,
    )
    editor = Editor(
        reloader=reloader,
        routes=Path(settings.routes),
        flags=Path(settings.flags),
        read_only=settings.flags_readonly,
        by_command=recorder.by_command,
    )
    throwing = LatchCommands(
        state=state, store=store, keeper=keeper, publisher=publisher, reloader=reloader, journal=journal
    )
    rehearsals = Rehearsals(throwing, store, journal)
    watcher = DrillWatcher(
        drills=drills, publisher=publisher, store=store, telemetry=telemetry, journal=journal, rehearsals=rehearsals
    )
    reload = ReloadCommand(reloader, publisher)
    commands = (
        StatusCommand(reporter),
        WarmCommand(warmth),
        ExplainCommand(
            state=state, publisher=publisher, latch=latch, freezer=freezer, drills=drills, breakers=telemetry.breakers
        ),
        RollbackCommand(throwing),
        ReleaseCommand(throwing),
        CanaryCommand(
            editor=editor, reloader=reloader, publisher=publisher, state=state, record=journal.record, latch=latch.latch
        ),
        FreezeCommand(freezer=freezer, reloader=reloader),
        DrillCommand(drills=drills, watcher=watcher, rehearsals=rehearsals, reloader=reloader, journal=journal),
        reload,
    )
    app = ops_app(readiness=reporter.readiness, metrics=telemetry.metrics)
    with contextlib.closing(journal), ending(assignment.life) as end:
        async with asyncio.TaskGroup() as tasks:
            ops = tasks.create_task(serve_ops(app, socket.socket(fileno=assignment.listener)))
            try:
                await asyncio.to_thread(freezer.start)
                await asyncio.to_thread(drills.start)
                keeper.tell(reloader.reconsider)
                await asyncio.to_thread(keeper.start)  # before the plan is posted, which is when workers start
                await reloader.start(first=assignment.first, last_good=settings.last_good)
            except (CannotStart, OSError) as error:
                recorder.refused_to_start(str(error))
                remedy = error.remedy if isinstance(error, CannotStart) else ""
                sys.stderr.write(f"{error}\nstrangler: refused to start: nothing listens{remedy}\n")
                ops.cancel()
                return 1
            if assignment.first and reloader.standing.plan is not None:
                say_what_does_not_fit(reloader.standing.plan, settings.workers)
            recorder.started(publisher.posted, publisher.roster(), first=assignment.first)
            await asyncio.to_thread(recorder.standing, store.present())
            async with serve_commands(state.control_socket, commands):
                running = [
                    tasks.create_task(one)
                    for one in (
                        reloader.run(),
                        keeper.run(),
                        freezer.run(),
                        drills.run(),
                        watcher.run(),
                        lateness.run(),
                        witness.run(),
                        prober.run(),
                        resolver.run(),
                        warmth.run(),
                    )
                ]
                board.beat()  # whoever waits for this version of control to serve goes on
                with hangups() as asked:
                    running.append(tasks.create_task(reload.follow(asked, board.beat)))
                    await end.wait()
                for task in running:
                    task.cancel()
            roster = publisher.roster()
            if roster is None or roster.draining or os.getppid() != roster.pid:  # otherwise another control goes on
                recorder.stopped("told to end")
            ops.cancel()
    return 0


def main() -> None:
    """Run the control process that the supervisor started."""
    assignment = Assignment.decode(sys.argv[1])
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the files have been read, which is what it asks for
    give_way()
    sys.setswitchinterval(_TURN_S)
    log_to_stderr("control")
    sys.exit(asyncio.run(control(assignment)))


if __name__ == "__main__":
    main()
