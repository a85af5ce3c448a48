"""How much memory there is, and what is said where clients could take more."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from proxy.control.telling.room import memory_here, say_what_does_not_fit
from proxy.core.footprint import Footprint
from proxy.core.limits import Limits
from proxy.core.model import Backend
from proxy.core.plan import BackendSpec, Identity, Plan, new_settings

MIB = 1 << 20
MACHINE = 8 << 30


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("groups", "files", "there"),
    [
        ("0::/system.slice/strangler.service\n", {"system.slice/strangler.service/memory.max": 512 * MIB}, 512 * MIB),
        ("0::/a/b\n", {"a/memory.max": 256 * MIB, "a/b/memory.max": "max"}, 256 * MIB),
        ("0::/a\n", {"a/memory.max": "max"}, MACHINE),
        ("0::/\n", {"memory.max": 64 * MIB}, 64 * MIB),
        ("2:cpu:/x\n1:cpuacct,memory:/docker/4711\n", {"memory/memory.limit_in_bytes": 128 * MIB}, 128 * MIB),
        ("1:memory:/\n", {"memory/memory.limit_in_bytes": 0x7FFFFFFFFFFFF000}, MACHINE),
        ("1:cpu:/\n", {"memory.max": 1, "cpu/memory.max": 1}, MACHINE),
    ],
    ids=["of a unit", "of one above", "unbounded", "of a container", "version 1", "version 1 unbounded", "not ours"],
)
def test_memory_is_what_the_tightest_control_group_leaves(
    tmp_path: Path, groups: str, files: dict[str, object], there: int
) -> None:
    put(tmp_path / "cgroup", groups)
    for name, value in files.items():
        put(tmp_path / "mounted" / name, f"{value}\n")
    assert memory_here(tmp_path / "cgroup", tmp_path / "mounted", MACHINE) == there


def test_without_control_groups_it_is_the_machines(tmp_path: Path) -> None:
    assert memory_here(tmp_path / "none", tmp_path, MACHINE) == MACHINE
    here = memory_here()
    assert here is not None
    assert here >= 64 * MIB


def taking(connections: int | None) -> Footprint:
    return Footprint(shared_bytes=75 * MIB, connection_bytes=2 * MIB, connections=connections, workers=2)


def test_connections_that_would_fit_are_told_where_they_do_not_and_then_fit() -> None:
    tight = 200 * MIB + 2 * MIB * 4567  # two workers of 75 and 25, and what is left for connections
    assert not taking(4567).exceeds(tight)
    assert taking(4568).exceeds(tight)
    assert taking(4567).told(tight) == str(taking(4567))
    assert (
        taking(4568).told(tight).endswith(", which is more than the 9.1 GiB here; of limits.connections 4500 would fit")
    )
    assert not taking(4500).exceeds(tight)
    assert taking(None).told(tight).endswith("limits.connections bounds these: 4500 would fit into the 9.1 GiB here")
    assert "none would fit, without smaller limits" in taking(1).told(100 * MIB)
    assert taking(9).told(None) == str(taking(9))


@pytest.mark.parametrize(("connections", "level"), [(1000, logging.WARNING), (0, logging.INFO)])
def test_a_start_warns_only_of_what_somebody_wrote(
    caplog: pytest.LogCaptureFixture, connections: int, level: int
) -> None:
    caplog.set_level(logging.INFO)
    backends = tuple(BackendSpec(name=name, urls=("http://inner:80",), place="-") for name in Backend)
    for head_bytes, levels in ((1 << 50, [level]), (1, [] if connections else None)):
        caplog.clear()
        limits = Limits(connections=connections, head_bytes=head_bytes, pipelined_bytes=1)
        plan = Plan(
            settings=new_settings(otherwise=Backend.LEGACY, limits=limits), identity=Identity(), backends=backends
        )
        say_what_does_not_fit(plan, 2)
        if levels is not None:
            assert [one.levelno for one in caplog.records] == levels
