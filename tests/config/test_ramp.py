"""A flag's file is edited, step by step: who is on new, of ten thousand accounts."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from proxy.config.compile import compile_files
from proxy.config.text.files import read_files
from proxy.core.model import Backend
from tests.config import base
from tests.core.plans import ask, live

ACCOUNTS = [f"acct-{number}" for number in range(10_000)]
TOLERANCE_POINTS = 1.5


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    for name, content in base.contents().items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    return tmp_path


def on_new_at(share: int, directory: Path) -> frozenset[str]:
    targeting = base.MANAGED.replace("[new, 5], [legacy, 95]", f"[new, {share}], [legacy, {100 - share}]")
    (directory / "flags" / "orders.flagd.yaml").write_text(base.flag(targeting))
    compiled = compile_files(read_files(directory / "routes.yaml", directory / "flags"))
    assert compiled.plan is not None, compiled.complaints
    generation = live(compiled.plan, compiled.tables)
    return frozenset(
        account
        for account in ACCOUNTS
        if ask(generation, "/orders", headers=f"Cookie: acct={account}").backend is Backend.NEW
    )


def test_raising_a_share_only_adds_accounts_and_going_back_to_25_percent_gives_the_same_set(directory: Path) -> None:
    on_new = {share: on_new_at(share, directory) for share in (0, 1, 10, 25, 50)}
    assert on_new_at(25, directory) == on_new[25]
    on_new[100] = on_new_at(100, directory)
    for smaller, larger in pairwise(on_new):
        assert on_new[smaller] < on_new[larger], f"{larger} % contains {smaller} %"
    for share, accounts in on_new.items():
        assert len(accounts) / len(ACCOUNTS) * 100 == pytest.approx(share, abs=TOLERANCE_POINTS)
    assert on_new[0] == frozenset()
    assert on_new[100] == frozenset(ACCOUNTS)
