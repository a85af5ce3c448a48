"""How much room there is here: file descriptors, and memory, which is the machine's, or less where a control group (a container, a systemd unit) bounds it."""

from __future__ import annotations

import logging
import os
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from proxy.core.footprint import footprint

if TYPE_CHECKING:
    from proxy.core.plan import Plan

_log = logging.getLogger("memory")


def memory_here(
    groups: Path = Path("/proc/self/cgroup"), mounted: Path = Path("/sys/fs/cgroup"), machine: int | None = None
) -> int | None:
    """Bytes that this process and its siblings may use; None: nobody says.

    Args:
        groups: which control groups we are in (cgroups(7)).
        mounted: where they are mounted.
        machine: the machine's bytes; None: as the kernel says.
    """
    if machine is None:
        machine = _physical()
    bounds = [*([] if machine is None else [machine]), *_bounds(groups, mounted)]
    return min(bounds, default=None)


def descriptors_here() -> int | None:
    """What each process of the node may have open: the supervisor raises it before it starts them. None: any number."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft


def say_what_does_not_fit(plan: Plan, workers: int) -> None:
    """Say at a start that clients can make the workers take more memory than there is, if they can.

    A warning is only for who wrote `limits.connections`: without it the descriptors bound connections, and on most machines these are
    more than its memory holds, which is told to everybody without an alarm.
    """
    memory, here = footprint(plan, workers=workers, descriptors=descriptors_here()), memory_here()
    if memory.exceeds(here):
        _log.log(logging.WARNING if plan.settings.limits.connections else logging.INFO, "%s", memory.told(here))


def _physical() -> int | None:
    try:
        pages, page_bytes = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return None
    return pages * page_bytes if pages > 0 else None


def _bounds(groups: Path, mounted: Path) -> Iterator[int]:
    """Of our group and all above it, for each holds. Version 2 has one tree; version 1 one for each controller."""
    try:
        lines = groups.read_text().splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        _, controllers, inside = line.split(":", 2)
        if not controllers:
            top, name = mounted, "memory.max"
        elif "memory" in controllers.split(","):
            top, name = mounted / "memory", "memory.limit_in_bytes"
        else:
            continue
        group = top / inside.lstrip("/")
        # In a container the path may be the host's, of which only the top is mounted there.
        for directory in (group, *group.parents):
            if (bound := _read(directory / name)) is not None:
                yield bound
            if directory == top:
                break


def _read(path: Path) -> int | None:
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None  # "max" is no bound
