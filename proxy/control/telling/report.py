"""What stands, for people and scripts: `status`, and the body of `/readyz`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from proxy.control.history.journal import Behind, Journal
from proxy.control.plans.publish import Publisher, WorkerReport
from proxy.control.plans.reload import Reloader
from proxy.control.reaching.probes import Prober
from proxy.control.reaching.resolver import Resolver
from proxy.control.switches.drillreport import DrillReport
from proxy.control.switches.freezes import FreezeLine, Freezer
from proxy.control.switches.lateness import Lateness
from proxy.control.switches.rollbacks import LatchLine, Rollbacks
from proxy.control.telling.backends import BackendLine, backend_lines
from proxy.control.telling.room import descriptors_here, memory_here
from proxy.control.telling.telemetry import Telemetry
from proxy.control.telling.warmth import LegacyWarm, WarmthWatch
from proxy.core.care.probing import addressed
from proxy.core.footprint import Footprint, footprint
from proxy.core.plan import Plan
from proxy.core.telling.status import area_statuses

_COMPLAINTS_SHOWN: Final = 200


class WorkerLine(msgspec.Struct, frozen=True, kw_only=True):
    """One worker slot."""

    slot: int
    pid: int
    starts: int
    generation: int
    plan: str
    epoch: int  # of the latch that it obeys
    late: bool  # its generation or epoch has not been the posted one for over 5 s
    refused: int  # a generation it could not build; 0: none
    trouble: str


class AreaLine(msgspec.Struct, frozen=True, kw_only=True):
    """One area, with what was counted since the supervisor started.

    Attributes:
        share_percent: None: its flag is written by hand.
        requests: by backend.
        errors: those of them that were answered 5xx, by the backend or for it by the proxy.
    """

    name: str
    status: str
    share_percent: float | None
    owner: str | None
    runbook: str | None
    flag: str
    routes: int
    requests: dict[str, int]
    errors: dict[str, int]


class EndpointLine(msgspec.Struct, frozen=True, kw_only=True):
    """One endpoint, or one address of it, in the eyes of control and of each worker.

    Attributes:
        address: of its host; empty: the URL has it, or none is known, and workers ask the system at each connection.
        stale: why its host can't be looked up, so that the last addresses are kept; empty: it can, or is no name.
        probes: `off`, `unknown`, `healthy`, `unhealthy`.
        why: how the last probe failed; empty: it didn't.
        held_off: by worker slot why others are asked first: `unreachable`, `unhealthy`, `ejected`, `returning`; those
            that treat it like any other aren't here.
    """

    backend: str
    url: str
    address: str
    stale: str
    probes: str
    why: str
    held_off: dict[str, str]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of `status --json`; its keys stay."""

    latch: LatchLine
    ready: bool
    draining: bool
    generation: int  # posted
    plan: str
    listen: str
    ops: str
    control_starts: int
    workers: tuple[WorkerLine, ...]
    backends: tuple[BackendLine, ...]
    legacy_warm: LegacyWarm | None  # None: no plan is known yet
    endpoints: tuple[EndpointLine, ...]
    areas: tuple[AreaLine, ...]
    otherwise: str
    otherwise_requests: dict[str, int]
    otherwise_errors: dict[str, int]
    held_back: tuple[str, ...]  # files; why is told once, in the complaints
    complaints: tuple[dict[str, str | int], ...]
    complaints_count: int
    trouble: str
    memory: Footprint | None  # what clients can make the workers take; None: no plan stands
    memory_told: str  # the same for people
    freezes: tuple[FreezeLine, ...]  # in force
    drills: tuple[DrillReport, ...]  # that are on
    journal_behind: Behind | None  # events that a failing disk keeps waiting; None: none


class Reporter:
    """Answers from the pages and the standing configuration, at the moment it is asked."""

    def __init__(
        self,
        *,
        publisher: Publisher,
        reloader: Reloader,
        telemetry: Telemetry,
        journal: Journal,
        latch: Rollbacks,
        lateness: Lateness,
        freezer: Freezer,
        drills: Callable[[], tuple[DrillReport, ...]],
        prober: Prober,
        warmth: WarmthWatch,
        workers: int,
        resolver: Resolver,
    ) -> None:
        self._workers = workers
        self._publisher = publisher
        self._reloader = reloader
        self._telemetry = telemetry
        self._journal = journal
        self._latch = latch
        self._lateness = lateness
        self._freezer = freezer
        self._drills = drills
        self._prober = prober
        self._resolver = resolver
        self._warmth = warmth

    def readiness(self) -> tuple[bool, dict[str, Any]]:
        """Whether at least one worker serves, and what people should know even if so."""
        workers = self._publisher.workers()
        roster = self._publisher.roster()
        draining = roster is not None and roster.draining
        standing = self._reloader.standing
        posted = self._publisher.posted
        ready = not draining and any(worker.generation for worker in workers)
        latch = self._latch.line()
        return ready, {
            "latch": msgspec.to_builtins(latch),
            "ready": ready,
            "why_not": "" if ready else "the proxy was told to end" if draining else "no worker serves",
            "draining": draining,
            "generation": 0 if posted is None else posted.generation,
            "plan": "" if posted is None else posted.plan,
            "workers": [msgspec.to_builtins(one) for one in self._worker_lines()],
            "held_back": list(standing.held_back),
            "complaints": [str(one) for one in standing.complaints[:_COMPLAINTS_SHOWN]],
            "complaints_count": len(standing.complaints),
            "trouble": standing.trouble,
            "journal_behind": msgspec.to_builtins(self._journal.behind),
        }

    def status(self) -> Report:
        """Everything."""
        ready, body = self.readiness()
        standing = self._reloader.standing
        roster = self._publisher.roster()
        requests, failed = self._telemetry.requests()
        plan = standing.plan
        latch = self._latch.line()
        memory = None if plan is None else footprint(plan, workers=self._workers, descriptors=descriptors_here())
        return Report(
            latch=latch,
            ready=ready,
            draining=body["draining"],
            generation=body["generation"],
            plan=body["plan"],
            listen="" if roster is None else roster.listen,
            ops="" if roster is None else roster.ops,
            control_starts=0 if roster is None else roster.control_starts,
            workers=self._worker_lines(),
            backends=()
            if plan is None
            else backend_lines(
                plan.backends, self._telemetry.sums(), self._telemetry.breakers(), self._telemetry.half_open_s()
            ),
            legacy_warm=self._warmth.figure(),
            endpoints=() if plan is None else self._endpoint_lines(plan),
            areas=()
            if plan is None
            else tuple(
                AreaLine(
                    name=one.area.name,
                    status=one.status.value,
                    share_percent=None if one.share_bp is None else one.share_bp / 100,
                    owner=one.area.owner,
                    runbook=one.area.runbook,
                    flag=one.area.flag,
                    routes=one.routes,
                    requests=requests.get(one.area.name, {}),
                    errors=failed.get(one.area.name, {}),
                )
                for one in area_statuses(plan, self._latch.latch())
            ),
            otherwise="" if plan is None else plan.settings.otherwise.value,
            otherwise_requests=requests.get("-", {}),
            otherwise_errors=failed.get("-", {}),
            held_back=tuple(standing.held_back),
            complaints=tuple(one.data() for one in standing.complaints[:_COMPLAINTS_SHOWN]),
            complaints_count=len(standing.complaints),
            trouble=standing.trouble,
            memory=memory,
            memory_told="" if memory is None else memory.told(memory_here()),
            freezes=self._freezer.lines(),
            drills=self._drills(),
            journal_behind=self._journal.behind,
        )

    def _endpoint_lines(self, plan: Plan) -> tuple[EndpointLine, ...]:
        beliefs = self._telemetry.beliefs()
        lines = []
        for spec in plan.backends:
            for url, address in self._resolver.endpoints(spec):
                endpoint = addressed(url, address)
                verdict, why = self._prober.verdict(spec.name, endpoint)
                held_off = beliefs.get((spec.name.value, endpoint), {})
                lines.append(
                    EndpointLine(
                        backend=spec.name.value,
                        url=url,
                        address=address,
                        stale=self._resolver.known(urlsplit(url).hostname or "")[1],
                        probes=verdict,
                        why=why,
                        held_off={str(slot): told for slot, told in held_off.items()},
                    )
                )
        return tuple(lines)

    def _worker_lines(self) -> tuple[WorkerLine, ...]:
        return tuple(_worker_line(one, late=one.slot in self._lateness.late) for one in self._publisher.workers())


def _worker_line(worker: WorkerReport, *, late: bool) -> WorkerLine:
    said = worker.confirmed
    return WorkerLine(
        slot=worker.slot,
        pid=worker.pid,
        starts=worker.starts,
        generation=worker.generation,
        plan="" if said is None else said.plan,
        epoch=0 if said is None else said.epoch,
        late=late,
        refused=0 if said is None else said.refused,
        trouble="" if said is None else said.trouble,
    )
