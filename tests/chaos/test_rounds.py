"""Seeded chaos on real sockets: clients of every kind, backends that break in every way, and an oracle that knows each request."""

from __future__ import annotations

from pathlib import Path

import pytest
import uvloop

from proxy.core.http import message
from proxy.traffic.exchanges import exchange
from soak.oracle import Wrong
from tests.chaos.rounds import round_of

ROUNDS = 12
SEEDS = [
    line.split()[0]
    for line in (Path(__file__).parent / "seeds.txt").read_text().splitlines()
    if not line.startswith("#")
]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("breaking", [False, True], ids=["only what is asked for breaks", "endpoints come and go"])
def test_no_round_of_chaos_ends_with_anything_wrong_or_left_behind(seed: str, tmp_path: Path, breaking: bool) -> None:
    wrong, ends = uvloop.run(round_of(seed, tmp_path, seconds=1.5, breaking=breaking))
    assert wrong == [], f"seed {seed}"
    assert ends["whole"] > 50
    assert ends["cut"] > 2


@pytest.mark.skipif(message.__file__.endswith(".so"), reason="compiled modules don't look their constants up")
def test_a_proxy_that_sends_a_post_twice_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "IDEMPOTENT", exchange.IDEMPOTENT | {b"POST"})
    assert any(doubled(tmp_path, f"{number}") for number in range(ROUNDS)), f"in none of {ROUNDS} rounds"


def doubled(root: Path, seed: str) -> bool:
    """Whether a POST came twice: an endpoint has to die in the right moment for it, which not every round has."""
    here = root / seed
    here.mkdir()
    wrong, _ = uvloop.run(round_of(seed, here, seconds=3, breaking=True))
    return any(Wrong.DOUBLED in one for one in wrong)
