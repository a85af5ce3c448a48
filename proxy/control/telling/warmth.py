"""Watches what legacy carries, remembers the most of each hour, and says how much of the traffic it could take back."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from proxy.control.commands import Refused
from proxy.control.durable import write_file
from proxy.control.telling.backends import Breakers
from proxy.control.telling.telemetry import requests_by_area
from proxy.core.care.probing import addressed
from proxy.core.care.warmth import KEPT_H, Peaks, Seen, warmth
from proxy.core.model import Backend
from proxy.core.plan import BackendSpec, Plan

_EVERY_S: Final = 5.0
_PEAK_SAMPLES: Final = 3  # 10 s: shorter bursts show nothing that lasts
_NOW_SAMPLES: Final = 13  # a minute
_HOUR_S: Final = 3600
_VERSION: Final = 1

_log = logging.getLogger("control")


class LegacyWarm(msgspec.Struct, frozen=True, kw_only=True):
    """How much of the traffic legacy could take back; in `status --json`, where its keys stay. Rates are requests a second, over a minute.

    Attributes:
        percent: of what it would get if everything were rolled back, how much it is shown to carry; None: no traffic.
        share_percent: of the traffic now; None likewise.
        would_get_per_s: without the traffic of retired areas.
        carried_most_per_s: over 10 s, in the last `hours`.
        healthy: of its endpoints, those that no worker holds off and no probe says otherwise.
        would_have_in_flight: if it got all at once; None: it answers nothing now.
    """

    percent: int | None
    share_percent: float | None
    carries_per_s: float
    would_get_per_s: float
    carried_most_per_s: float
    hours: int
    endpoints: int
    healthy: int
    tripped: int
    in_flight: int
    would_have_in_flight: int | None
    max_in_flight: int | None


class _Note(msgspec.Struct, frozen=True):
    version: int
    hours: dict[int, float]


class _Sample(msgspec.Struct, frozen=True):
    at_s: float
    legacy: int
    returning: int


class Counted(Protocol):
    """What workers counted (`proxy.control.telling.telemetry`)."""

    @property
    def workers(self) -> int:
        """How many live."""

    def sums(self) -> dict[str, int]:
        """Every series."""

    def beliefs(self) -> dict[tuple[str, str], dict[int, str]]:
        """For each endpoint (backend, URL and address) that is held off: by worker slot, why."""

    def breakers(self) -> Breakers:
        """Those that aren't closed."""


class WarmthWatch:
    """Looks every five seconds.

    Args:
        path: where the most of each hour is remembered.
        counted: what was counted.
        plan: gives the one in force; None: none is known yet.
        endpoints: gives those of a backend as workers have them, each a URL and an address.
        verdict: gives what the probes of an endpoint say.
        hour: gives the present one, counted from 1970.
    """

    def __init__(
        self,
        *,
        path: Path,
        counted: Counted,
        plan: Callable[[], Plan | None],
        endpoints: Callable[[BackendSpec], Iterable[tuple[str, str]]],
        verdict: Callable[[Backend, str], tuple[str, str]],
        hour: Callable[[], int] = lambda: int(time.time()) // _HOUR_S,
    ) -> None:
        self._path = path
        self._counted = counted
        self._plan = plan
        self._endpoints = endpoints
        self._verdict = verdict
        self._hour = hour
        self._samples: deque[_Sample] = deque(maxlen=_NOW_SAMPLES)
        self._peaks = Peaks(_recall(path))
        self._told = False

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            if self.look(time.monotonic()):
                await asyncio.to_thread(self._remember)
            await asyncio.sleep(_EVERY_S)

    def look(self, now_s: float) -> bool:
        """Look once; whether there is something to remember.

        Args:
            now_s: monotonic seconds.
        """
        plan = self._plan()
        retired = frozenset[str]() if plan is None else {area.name for area in plan.areas if area.retired}
        requests, _ = requests_by_area(self._counted.sums())
        legacy = sum(backends.get(Backend.LEGACY.value, 0) for backends in requests.values())
        returning = sum(
            backends.get(Backend.NEW.value, 0) for area, backends in requests.items() if area not in retired
        )
        samples = self._samples
        if samples and (legacy < samples[-1].legacy or returning < samples[-1].returning):
            samples.clear()  # an area was retired, or everything was started anew
        samples.append(_Sample(now_s, legacy, returning))
        if len(samples) < _PEAK_SAMPLES:
            return False
        then = samples[-_PEAK_SAMPLES]
        return self._peaks.note(self._hour(), (legacy - then.legacy) / (now_s - then.at_s))

    def figure(self) -> LegacyWarm | None:
        """How it stands; None: no plan is known yet."""
        plan = self._plan()
        if plan is None:
            return None
        seen = self._seen(plan)
        found = warmth(seen)
        return LegacyWarm(
            percent=found.percent,
            share_percent=round(100 * seen.legacy_per_s / (seen.legacy_per_s + seen.returning_per_s), 1)
            if found.would_get_per_s > 0
            else None,
            carries_per_s=round(seen.legacy_per_s, 1),
            would_get_per_s=round(found.would_get_per_s, 1),
            carried_most_per_s=round(seen.most_per_s, 1),
            hours=KEPT_H,
            endpoints=seen.endpoints,
            healthy=seen.healthy,
            tripped=seen.tripped,
            in_flight=seen.in_flight,
            would_have_in_flight=found.would_have_in_flight,
            max_in_flight=seen.max_in_flight,
        )

    def levels(self) -> Iterator[tuple[str, int | float]]:
        """The metrics."""
        figure = self.figure()
        if figure is not None:
            if figure.percent is not None:
                yield "strangler_legacy_warm_percent", figure.percent
            yield "strangler_legacy_would_get_per_second", figure.would_get_per_s
            yield "strangler_legacy_carried_most_per_second", figure.carried_most_per_s

    def _seen(self, plan: Plan) -> Seen:
        spec = next(one for one in plan.backends if one.name is Backend.LEGACY)
        beliefs = self._counted.beliefs()
        endpoints = [addressed(url, address) for url, address in self._endpoints(spec)]
        healthy = sum(
            self._verdict(spec.name, endpoint)[0] != "unhealthy"
            and set(beliefs.get((spec.name.value, endpoint), {}).values()) <= {"returning"}
            for endpoint in endpoints
        )
        legacy = returning = 0.0
        if len(self._samples) > 1:
            first, last = self._samples[0], self._samples[-1]
            took_s = last.at_s - first.at_s
            legacy, returning = (last.legacy - first.legacy) / took_s, (last.returning - first.returning) / took_s
        return Seen(
            legacy_per_s=legacy,
            returning_per_s=returning,
            most_per_s=self._peaks.most(self._hour()),
            endpoints=len(endpoints),
            healthy=healthy,
            workers=self._counted.workers,
            tripped=len(self._counted.breakers().get(spec.name.value, {})),
            in_flight=self._counted.sums().get(f'strangler_backend_in_flight{{backend="{spec.name}"}}', 0),
            max_in_flight=spec.max_in_flight,
        )

    def _remember(self) -> None:
        try:
            write_file(self._path, msgspec.json.encode(_Note(_VERSION, dict(self._peaks.hours))))
        except OSError as error:
            if not self._told:
                self._told = True
                _log.warning("what legacy carries can't be remembered: %s", error)
        else:
            self._told = False


class WarmCommand:
    """Says how warm legacy is, fast: `rollback` asks before it acts."""

    name = "warm"

    def __init__(self, watch: WarmthWatch) -> None:
        self._watch = watch

    async def run(self, arguments: dict[str, Any], *, by_uid: int) -> Any:  # noqa: ARG002 - anyone may look
        """The figure."""
        if arguments:
            raise Refused("warm takes no arguments", 2)
        return msgspec.to_builtins(await asyncio.to_thread(self._watch.figure))


def _recall(path: Path) -> dict[int, float]:
    """What is remembered; nothing, where it can't be read: a figure that begins anew is low, which is the safe side."""
    try:
        note = msgspec.json.decode(path.read_bytes(), type=_Note)
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.MsgspecError) as error:
        _log.warning("%s can't be read, what legacy carried is forgotten: %s", path, error)
        return {}
    return note.hours if note.version == _VERSION else {}
