"""What becomes of the proxy's own processes, one row each; provoked on a whole `strangler serve`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.app.node import Node, flag
from tests.app.test_rolling_restart import replaced, serving
from tests.chaos.row import Row, Seen
from tests.chaos.scripted import sends
from tests.chaos.stage import AFTER, ANEW, GOES_ON, read
from tests.chaos.whole import IN_AREA, Held, Whole, in_flight, standing
from tests.waiting import until


def _worker_killed(row: Row, directory: Path) -> Seen:
    with standing(directory) as on:
        held = Held()
        client = in_flight(on, held)
        os.kill(on.running.worker_pid(), signal.SIGKILL)
        told = read(client)
        held.let_go.set()
        recovers = on.recovered()
        until(lambda: on.says("started again") or on.says("worker"), "it is told")
        return on.seen(told, recovers)


def _worker_killed_in_an_answer(row: Row, directory: Path) -> Seen:
    with standing(directory) as on:
        client = in_flight(on, sends(b"HTTP/1.1 200 OK\r\n\r\nhalf"))
        first = client.until(b"half")
        os.kill(on.running.worker_pid(), signal.SIGKILL)
        client.buffer = first + client.buffer
        return on.seen(read(client), on.recovered())


def _worker_hung(row: Row, directory: Path) -> Seen:
    with standing(directory) as on:
        held = Held()
        client = in_flight(on, held)
        os.kill(on.running.worker_pid(), signal.SIGSTOP)
        on.running.command("rollback", "--area", "help", "--reason", "it hangs")
        told = read(client)
        held.let_go.set()
        seen = on.seen(told, on.recovered())
        wire = on.client()
        wire.send(AFTER.replace(b"/recovered", b"/help/recovered"))
        assert read(wire) == "200"
        assert ("/help/recovered", "whole") in on.legacy.arrived, "the rollback is in force from the first request on"
        on.running.command("release", "--area", "help", "--reason", "it goes on")
        return seen


def _control_killed(row: Row, directory: Path) -> Seen:
    with standing(directory) as on:
        client = on.client()
        former = on.running.control_pid()
        os.kill(former, signal.SIGKILL)
        client.send(IN_AREA)
        told = read(client)
        on.running.command("rollback", "--area", "help", "--reason", "nobody controls")
        until(lambda: on.running.control_pid() not in {0, former}, "it is back")
        former_generation = until(lambda: on.running.readyz() and on.running.generation(), "it answers")
        on.running.reloaded(former_generation)
        on.config.edit("flags/orders.flagd.yaml", flag(100))
        on.running.reloaded(former_generation + 1)
        seen = on.seen(told, on.recovered(client))
        on.running.command("release", "--area", "help", "--reason", "somebody controls")
        return seen


def said_by(former: Node, begins: int) -> str:
    """What a node that has ended said since a moment."""
    return "".join(former.messages[begins:])


def _supervisor_killed(row: Row, directory: Path) -> Seen:
    with standing(directory) as on:
        begins = len(on.running.messages)
        held = Held()
        client = in_flight(on, held)
        on.running.process.kill()
        newcomers = _turns_away(on)
        held.let_go.set()
        told = f"{read(client)}; {newcomers}"
        former = on.running
        former.end()
        on.again()
        recovers = on.recovered()
        noted = [line for line in former.log_lines if '"/x"' in line]
        on.running.log_lines[:0] = noted
        return on.seen(told, recovers, said=said_by(former, begins))


def _restarted(row: Row, directory: Path) -> Seen:
    with standing(directory) as on:
        begins = len(on.running.messages)
        held = Held()
        client = in_flight(on, held)
        former = on.running
        former.process.send_signal(signal.SIGTERM)
        newcomers = _turns_away(on)
        held.let_go.set()
        told = f"{read(client)}; {newcomers}"
        assert former.process.wait(30) == 0
        former.end()
        on.again()
        recovers = on.recovered()
        on.running.log_lines[:0] = [line for line in former.log_lines if '"/x"' in line]
        return on.seen(told, recovers, said=said_by(former, begins))


def _turns_away(on: Whole) -> str:
    """Nobody listens any more; what newcomers are told then, in the table's words."""
    until(lambda: _refused(on), "nobody is taken any more")
    return "newcomers: refused until it listens again"


def _refused(on: Whole) -> bool:
    """Not only taken and reset, as it happens to whom a queue that is being closed held."""
    try:
        on.client().sock.close()
    except ConnectionRefusedError:
        return True
    except ConnectionError:
        pass
    return False


def _upgraded(row: Row, directory: Path) -> Seen:
    """SIGUSR2: all processes are replaced, the installed version is put to work."""
    with standing(directory) as on:
        held = Held()
        client = in_flight(on, held)
        former = serving(on.running)
        on.running.process.send_signal(signal.SIGUSR2)
        until(lambda: serving(on.running) - former, "a successor serves", 120)
        held.let_go.set()
        told = read(client)
        until(lambda: replaced(on.running, former), "only it serves", 60)
        return on.seen(told, on.recovered())


def _control_hung(row: Row, directory: Path) -> Seen:
    """A command that nobody answers: control is stopped, not dead."""
    with standing(directory) as on:
        control = on.running.control_pid()
        os.kill(control, signal.SIGSTOP)
        try:
            done = subprocess.run(
                [sys.executable, "-m", "proxy", "rollback", "--area", "help", "--reason", "nobody answers", "--state", str(on.state)],
                capture_output=True,
                text=True,
                check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            client = on.client()
            client.send(IN_AREA)
            told = read(client)
        finally:
            os.kill(control, signal.SIGCONT)
        until(lambda: on.running.readyz() is not None, "it goes on")
        assert on.running.command("journal", "--json", "--action", "rollback").count("nobody answers") == 1
        seen = on.seen(told, on.recovered(client), said=done.stdout + done.stderr)
        on.running.command("release", "--area", "help", "--reason", "it answers")
        return seen


# fmt: off
ROWS: Final = (
    Row(id="worker-killed", fault="a worker is killed", client="closed", backends="legacy: 1 whole; new: nothing", log="",
        says="ended (SIGKILL)", metric='strangler_starts_total{process="worker"}', recovers=ANEW, scene=_worker_killed),
    Row(id="worker-killed-in-answer", fault="a worker is killed within an answer that only a close would end", client="200, cut", backends="legacy: 1 whole; new: nothing", log="",
        says="ended (SIGKILL)", metric="", recovers=ANEW, scene=_worker_killed_in_an_answer),
    Row(id="worker-hung", fault="a worker hangs; a rollback is thrown", client="closed", within="1 s without a heartbeat while a rollback waits for it, else 10 s", backends="legacy: 1 whole; new: nothing", log="",
        says="no heartbeat for 1 s; it is killed", metric='strangler_starts_total{process="worker"}', recovers=ANEW, scene=_worker_hung),
    Row(id="control-killed", fault="control is killed", client="200", backends="legacy: nothing; new: 1 whole", log="200",
        says="control", metric='strangler_starts_total{process="control"}', recovers=GOES_ON, scene=_control_killed),
    Row(id="control-hung", fault="control hangs; a rollback is thrown", client="200", within="4 s, then the command writes the latch itself", backends="legacy: 1 whole; new: nothing", log="200",
        says="control", metric="strangler_rollbacks_in_force", recovers=GOES_ON, scene=_control_hung),
    Row(id="supervisor-killed", fault="the supervisor is killed", client="200; newcomers: refused until it listens again", within="`--drain` (30 s)", backends="legacy: 1 whole; new: nothing", log="200",
        says="supervisor", metric="", recovers=ANEW, scene=_supervisor_killed),
    Row(id="restart", fault="the proxy is stopped and started", client="200; newcomers: refused until it listens again", within="`--drain` (30 s)", backends="legacy: 1 whole; new: nothing", log="200",
        says="drain", metric="", recovers=ANEW, scene=_restarted),
    Row(id="upgrade", fault="another version takes over (SIGUSR2)", client="200", backends="legacy: 1 whole; new: nothing", log="200",
        says="taken over", metric='strangler_starts_total{process="worker"}', recovers=ANEW, scene=_upgraded),
)
# fmt: on
