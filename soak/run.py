"""One soak, from the first request to the verdict."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from soak.acts import ALL, AT_FIRST
from soak.clients import USUAL, Clients
from soak.conductor import Act, Conductor
from soak.configuration import BOUNDS, FIRST
from soak.customers import Customers
from soak.expected import History
from soak.journals import gather
from soak.leaks import MOST_DESCRIPTORS_A_MINUTE, MOST_KIB_A_MINUTE, Watch, grows, left_behind
from soak.oracle import Oracle, Violation, failed
from soak.pressure import BUSY_FAULT, CAPPED_FAULT, Pressure
from soak.scene import Scene, now_s
from soak.story import Seen, Story

_SESSIONS: Final = 24
_REST_S: Final = 1.0
_SHORT_REST_S: Final = 0.2


@dataclass(slots=True)
class Verdict:
    """What came of it.

    Attributes:
        requests: by status, or how the answer ended.
        failures: by their cause.
        violations: of requests.
        wrong: everything else that must not be.
        acts: how often each fault and operation happened.
        met: requests that met something besides, whether it hurt them or not.
        slopes: growth a minute and its standard error, of memory (KiB), descriptors, threads and tasks of workers.
    """

    requests: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    violations: list[Violation] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    acts: Counter[str] = field(default_factory=Counter)
    slopes: dict[str, tuple[float, float] | None] = field(default_factory=dict)
    met: Counter[str] = field(default_factory=Counter)
    commands: int = 0
    lost_entries: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether nothing was found."""
        return not (self.violations or self.wrong or self.lost_entries or self.left)


async def soak(
    directory: Path,
    *,
    seed: str,
    seconds: float = 0.0,
    acts: Sequence[Act] = (),
    encrypted: bool = False,
    progress: Callable[[str], None] = print,
) -> Verdict:
    """Run one.

    Args:
        directory: empty; everything is written there.
        seed: another one makes other traffic and other faults.
        seconds: for how long anything goes on, start and end not counted.
        acts: what goes on besides, before: each once, in this order, with hardly a rest.
        encrypted: clients come over TLS.
        progress: told a line every ten seconds.
    """
    scene = Scene(directory, encrypted=encrypted)
    verdict = Verdict()
    await scene.start()
    customers = Customers()
    clients = Clients(scene.port, seed, kinds=(*USUAL, (customers.shop, 25)), tls=scene.tls)
    oracle = Oracle(History(FIRST))
    conductor = Conductor(scene, clients, oracle, random.Random(f"{seed} faults"))
    watch = Watch(scene)
    try:
        asking = asyncio.create_task(clients.run(_SESSIONS))
        helpers = [asyncio.create_task(watch.run()), asyncio.create_task(_tell(clients, conductor, progress))]
        conductor.rest_s = _SHORT_REST_S
        for act in acts:
            await conductor.play(act)
        conductor.rest_s = _REST_S
        if seconds:
            began_s = now_s()
            await conductor.run(AT_FIRST, began_s + seconds / 4)
            await conductor.run(ALL, began_s + seconds)
        clients.stopped = True
        await asking
        for helper in helpers:
            helper.cancel()
            with suppress(asyncio.CancelledError):
                await helper
        verdict.left = await left_behind(scene, watch.fewest_tasks)
    finally:
        code = await scene.stop()
    if code:
        verdict.wrong.append(f"the proxy ended with exit code {code}")
    verdict.acts, verdict.commands = conductor.done, len(scene.commands)
    verdict.wrong += conductor.wrong
    verdict.wrong += _unexplained_refusals(clients, oracle)
    verdict.lost_entries = _journal(scene)
    _judge(verdict, scene, clients, conductor)
    verdict.met["pin taken"] = customers.pins
    _slopes(verdict, watch)
    return verdict


async def _tell(clients: Clients, conductor: Conductor, progress: Callable[[str], None]) -> None:
    began_s = now_s()
    while True:
        await asyncio.sleep(10)
        progress(
            f"{now_s() - began_s:5.0f} s: {len(clients.stories):,} requests, {conductor.done.total()} faults and operations"
        )


def _judge(verdict: Verdict, scene: Scene, clients: Clients, conductor: Conductor) -> None:
    oracle = conductor.oracle
    strangers = gather((one.journal for one in scene.endpoints), clients.stories)
    oracle.pressure = pressure = Pressure(BOUNDS, clients.stories.values())
    verdict.wrong += [why for account in conductor.floods if (why := pressure.unheld(account))]
    verdict.wrong += [f"arrived and was never sent: {line}" for line in strangers[:5]]
    for story in clients.stories.values():
        if (seen := story.seen) is not None:
            verdict.requests[f"{seen.status} {seen.end}" if seen.status else f"{seen.end}"] += 1
            verdict.met.update(_met(story, seen, oracle))
            if failed(story):
                verdict.failures[oracle.cause(story) or "without a cause"] += 1
        verdict.violations += oracle.judge(story)


def _met(story: Story, seen: Seen, oracle: Oracle) -> Iterator[str]:
    sent = story.sent
    if seen.drill:
        yield f"drill: {oracle.drills[seen.drill].kind}" if seen.drill in oracle.drills else "drill that is unknown"
    if seen.reason == "fallback":
        yield "fallback"
    if seen.reason == "pinned":
        yield "pin that goes before the share"
    if sent.pinned and not seen.own:
        yield "pin shown"
    if sent.visitor and not sent.account:
        yield "visitor known again"
    if seen.own in {CAPPED_FAULT, BUSY_FAULT}:
        yield "rate cap" if seen.own == CAPPED_FAULT else "full backend"


def _unexplained_refusals(clients: Clients, oracle: Oracle) -> list[str]:
    found = [
        at_s
        for at_s in clients.refused
        if not any(one.since_s <= at_s <= one.until_s and not one.lasting_only for one in oracle.causes)
    ]
    return [f"{len(found)} connections were refused"] if found else []


def _journal(scene: Scene) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-m", "proxy", "journal", "--json", "--limit", "1000000", "--state", str(scene.state)],
        capture_output=True,
        text=True,
        check=True,
    )
    events = [json.loads(line) for line in done.stdout.splitlines()]
    named = [(one["action"], one["after"]["id"]) for one in events if one["action"] == "drilled"]
    return not_once(scene.commands, [*((one["action"], one["reason"]) for one in events), *named])


def not_once(commands: Sequence[tuple[str, str, int]], entries: Sequence[tuple[str, str]]) -> list[str]:
    """Commands that aren't in the journal exactly once, or, having changed nothing, are.

    Args:
        commands: action, reason (no two have the same; of a drill that is over its id) and exit code.
        entries: action, and reason or id.
    """
    written = Counter(entries)
    found = []
    for action, reason, code in commands:
        times = written[action, reason] + (written["thaw", reason] if action == "freeze" else 0)
        if times != (code in {0, 3}):
            found.append(f"{reason} (exit {code}) stands there {times} times")
    return found


def _slopes(verdict: Verdict, watch: Watch) -> None:
    for what, unit, most in (
        ("memory_kib", "KiB", MOST_KIB_A_MINUTE),
        ("descriptors", "descriptors", MOST_DESCRIPTORS_A_MINUTE),
        ("threads", "threads", 1.0),
        ("tasks", "tasks", 1.0),
    ):
        found = verdict.slopes[what] = watch.slope(what)
        if grows(found, most):
            assert found is not None
            verdict.wrong.append(f"workers grow by {found[0]:.0f} ± {found[1]:.0f} {unit} a minute")
