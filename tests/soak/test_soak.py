"""A short soak: everything breaks for a while, and every zero is one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import uvloop

from soak.acts import SHORT
from soak.leaks import Sample, grows, late, left_in, pooled_slope
from soak.run import soak


@pytest.mark.skipif(os.uname().sysname != "Linux", reason="several workers, and /proc, are Linux's")
def test_in_a_short_soak_nothing_is_wrong_doubled_cut_or_left_behind(tmp_path: Path) -> None:
    verdict = uvloop.run(soak(tmp_path, seed="test", acts=SHORT))
    told = [f"{one.wrong}: {one.why}\n{one.story.told()}" for one in verdict.violations]
    assert (told, verdict.wrong, verdict.lost_entries, verdict.left) == ([], [], [], [])
    assert verdict.requests.total() > 300
    assert {"pin shown", "visitor known again", "rate cap", "full backend"} <= set(verdict.met)


def test_a_slope_is_found_over_lives_that_begin_at_levels_of_their_own_and_noise_is_none() -> None:
    noise = [0, 3, -2, 1, -3, 2, 0, -1]
    grown = [[(x / 10, level + 50 * x + wobble) for x, wobble in enumerate(noise)] for level in (10_000.0, 90_000.0)]
    still = [[(x / 10, level + wobble) for x, wobble in enumerate(noise)] for level in (10_000.0, 90_000.0)]
    found = pooled_slope(grown)
    assert found is not None
    assert found[0] == pytest.approx(500, abs=20)
    assert grows(found, 400)
    assert not grows(found, 600)
    assert not grows(pooled_slope(still), 1)
    assert pooled_slope([]) is None


def test_growth_is_looked_for_late_in_a_life_when_warming_up_is_over() -> None:
    warms_up = [Sample(float(at_s), min(at_s, 200) * 10, 9, 3, 5) for at_s in range(0, 401, 10)]
    leaks = [Sample(float(at_s), at_s * 10, 9, 3, 5) for at_s in range(0, 401, 10)]
    slopes = []
    for life in (warms_up, leaks):
        found = pooled_slope([[(one.at_s / 60, float(one.memory_kib)) for one in late(life)]])
        assert found is not None
        slopes.append(round(found[0]))
    assert slopes == [0, 600]
    assert late(leaks[:6]) == []
    assert [one.at_s for one in late(leaks[:31], 290.0)] == [290.0, 300.0]


def test_what_is_left_behind_is_found_and_so_is_a_task_more_than_an_idle_worker_has() -> None:
    rest = {
        "strangler_requests_in_flight": 0.0,
        'strangler_tasks{worker="0"}': 5.0,
        'strangler_tasks{worker="1"}': 5.0,
    }
    assert left_in(rest, 5) == []
    assert left_in(rest | {'strangler_tasks{worker="1"}': 6.0}, 5) == ["worker 1 has 6 tasks, of 5"]
    assert left_in(rest | {"strangler_requests_in_flight": 1.0}, 5) == ["strangler_requests_in_flight is 1"]
