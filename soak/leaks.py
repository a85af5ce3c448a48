"""What is left behind: memory, descriptors and threads as slopes over the life of each worker, connections and exchanges as zeros at the end."""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from collections.abc import Sequence
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


@dataclass(slots=True)
class Watch:
    """Looks at the workers twice a second."""

    scene: Scene
    samples: dict[int, list[Sample]] = field(default_factory=lambda: defaultdict(list))

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            for pid in await self.scene.workers():
                if (sample := _look(pid)) is not None:
                    self.samples[pid].append(sample)
            await asyncio.sleep(_EVERY_S)

    def slope(self, what: str) -> tuple[float, float] | None:
        """Growth a minute and its standard error, over all workers, each after its warm-up; None: none lived long enough."""
        lives = []
        for samples in self.samples.values():
            warm = late(samples)
            if len(warm) >= 5:
                lives.append([(one.at_s / 60, float(getattr(one, what))) for one in warm])
        return pooled_slope(lives)


def late(samples: Sequence[Sample]) -> list[Sample]:
    """Those of a life that are late enough to tell growth from warming up."""
    first_s, last_s = samples[0].at_s, samples[-1].at_s
    return [one for one in samples if one.at_s - first_s >= max(_WARM_S, (last_s - first_s) / 2)]


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


async def left_behind(scene: Scene) -> list[str]:
    """What isn't zero, or isn't as it is counted, once all clients have gone."""
    ends_s = now_s() + _ENDS_WITHIN_S
    while True:
        metrics = await scene.metrics()
        found = [
            f"{name} is {value:g}" for name, value in metrics.items() if name.startswith(GAUGES) and value
        ]  # fmt: skip
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


def _look(pid: int) -> Sample | None:
    try:
        resident, shared = map(int, Path(f"/proc/{pid}/statm").read_text().split()[1:3])
        descriptors = sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
        threads = sum(1 for _ in Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return None
    return Sample(now_s(), (resident - shared) * _PAGE_KIB, descriptors, threads)
