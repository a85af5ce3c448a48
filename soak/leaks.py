"""What is left behind: memory, descriptors, threads and tasks as slopes over the life of each worker; at the end connections and exchanges as zeros,
and tasks as those of a worker that does nothing.
"""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from soak.scene import Scene, now_s

_PAGE_KIB: Final = os.sysconf("SC_PAGE_SIZE") // 1024
_WARM_S: Final = 60.0
"""In which arenas, caches and code paths are touched for the first time; and so is the first half of a life.

Measured over minutes of the same traffic, with a reload or a rollback each second besides: what Python holds stays where it is after a minute, to 100 KiB up or down
(what is remembered of heads comes and goes), and so do objects, while what the allocators hold approaches its height ever more slowly. So what a leak
would do must be looked for late in a life.
"""
_WARM_TLS_S: Final = 150.0
"""Over TLS the C library's heap comes to its height later: what OpenSSL takes and gives back lies between what stays. Measured by mallinfo2 and
sys.getallocatedblocks every 15 s over five minutes: bytes in use and Python's blocks stay where they are, while the resident 28.4 MiB become 30.9, ever more slowly.
"""
_EVERY_S: Final = 0.5
_ENDS_WITHIN_S: Final = 20.0
MOST_KIB_A_MINUTE: Final = 512.0
"""Four times what allocators still rose by in the third minute, with an act every two seconds."""
MOST_DESCRIPTORS_A_MINUTE: Final = 10.0
_SURE: Final = 3.0  # standard errors
GAUGES: Final = (
    "strangler_requests_in_flight",
    "strangler_client_connections_open",
    "strangler_tunnels_open",
    "strangler_event_streams_open",
)
"""All zero once nobody is there."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at one process.

    Attributes:
        memory_kib: of its own. What it shares (programs, mapped tables) the kernel takes and gives back as it likes.
    """

    at_s: float
    memory_kib: int
    descriptors: int
    threads: int
    tasks: int


@dataclass(slots=True)
class Watch:
    """Looks at the workers twice a second."""

    scene: Scene
    samples: dict[int, list[Sample]] = field(default_factory=lambda: defaultdict(list))

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            tasks = tasks_of(await self.scene.metrics())
            # None at all: it has just begun, and stands there with what its predecessor confirmed.
            for slot, pid in await self.scene.workers_by_slot():
                if tasks.get(slot) and (sample := _look(pid, tasks[slot])) is not None:
                    self.samples[pid].append(sample)
            await asyncio.sleep(_EVERY_S)

    @property
    def fewest_tasks(self) -> int:
        """What a worker has that does nothing: clients leave gaps, and connections are made within moments; at least 1."""
        return min((one.tasks for samples in self.samples.values() for one in samples), default=1)

    def slope(self, what: str) -> tuple[float, float] | None:
        """Growth a minute and its standard error, over all workers, each after its warm-up; None: none lived long enough."""
        lives = []
        for samples in self.samples.values():
            warm = late(samples, _WARM_TLS_S if self.scene.encrypted else _WARM_S)
            if len(warm) >= 5:
                lives.append([(one.at_s / 60, float(getattr(one, what))) for one in warm])
        return pooled_slope(lives)


def late(samples: Sequence[Sample], warm_s: float = _WARM_S) -> list[Sample]:
    """Those of a life that are late enough to tell growth from warming up."""
    first_s, last_s = samples[0].at_s, samples[-1].at_s
    return [one for one in samples if one.at_s - first_s >= max(warm_s, (last_s - first_s) / 2)]


def pooled_slope(lives: Sequence[Sequence[tuple[float, float]]]) -> tuple[float, float] | None:
    """The slope that fits all lives best, each with a level of its own (a regression with fixed effects), and its standard error."""
    points = []
    for life in lives:
        mean_x = sum(x for x, _ in life) / len(life)
        mean_y = sum(y for _, y in life) / len(life)
        points += [(x - mean_x, y - mean_y) for x, y in life]
    spread = sum(x * x for x, _ in points)
    free = len(points) - len(lives) - 1
    if spread <= 0 or free <= 0:
        return None
    slope = sum(x * y for x, y in points) / spread
    rest = sum((y - slope * x) ** 2 for x, y in points)
    return slope, (rest / free / spread) ** 0.5


def grows(found: tuple[float, float] | None, most: float) -> bool:
    """Whether a slope is more than noise and more than is borne."""
    return found is not None and found[0] > most and found[0] > _SURE * found[1]


def tasks_of(metrics: Mapping[str, float]) -> dict[int, int]:
    """The tasks of each worker, by its slot."""
    name = 'strangler_tasks{worker="'
    return {
        int(sample.removeprefix(name).partition('"')[0]): int(value)
        for sample, value in metrics.items()
        if sample.startswith(name)
    }


def left_in(metrics: Mapping[str, float], tasks: int) -> list[str]:
    """What isn't zero once all clients have gone, or more than the tasks of a worker that does nothing."""
    found = [f"{name} is {value:g}" for name, value in metrics.items() if name.startswith(GAUGES) and value]
    found += [
        f"worker {slot} has {count} tasks, of {tasks}" for slot, count in tasks_of(metrics).items() if count > tasks
    ]
    return found


async def left_behind(scene: Scene, tasks: int) -> list[str]:
    """What isn't zero, or isn't as it is counted, once all clients have gone.

    Args:
        scene: where.
        tasks: of a worker that does nothing.
    """
    ends_s = now_s() + _ENDS_WITHIN_S
    while True:
        metrics = await scene.metrics()
        found = left_in(metrics, tasks)
        counted = sum(
            value for name, value in metrics.items() if name.startswith("strangler_backend_connections_open{")
        )
        standing = _connected_to({one.port for one in scene.endpoints})
        if counted != standing:
            found.append(f"{standing} connections to backends stand, {counted:g} are counted")
        if (metrics and not found) or now_s() > ends_s:
            return found if metrics else ["/metrics doesn't answer"]
        await asyncio.sleep(0.2)


def _connected_to(ports: set[int]) -> int:
    """Established connections to local ports, by /proc/net/tcp (proc(5): remote address, state 01)."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[3] == "01" and int(row[2].rpartition(":")[2], 16) in ports for row in rows)


def _look(pid: int, tasks: int) -> Sample | None:
    try:
        resident, shared = map(int, Path(f"/proc/{pid}/statm").read_text().split()[1:3])
        descriptors = sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
        threads = sum(1 for _ in Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return None
    return Sample(now_s(), (resident - shared) * _PAGE_KIB, descriptors, threads, tasks)
