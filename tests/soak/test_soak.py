"""A short soak: everything breaks for a while, and every zero is one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import uvloop

from soak.acts import SHORT
from soak.leaks import grows, pooled_slope
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
