"""What the load brings is believed by ours: two signed cookies are verified, and no answer needs another."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.asking import cookies
from bench.job import Job
from bench.peers.strangler import EVERYTHING, Setup, paths, write
from proxy.config.compile import compile_files
from proxy.config.text.files import read_files
from proxy.core.generation import Generation
from proxy.core.model import Reason
from tests.core.plans import ask, live

SMALL = Setup(routes=50)


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Generation:
    here: Path = tmp_path_factory.mktemp("ours")
    write(here, Job(directory=here, legacy=1, new=2, wrap=()), SMALL)
    compiled = compile_files(read_files(here / "routes.yaml", here / "flags"))
    assert compiled.plan is not None, [str(one) for one in compiled.complaints]
    return live(compiled.plan, compiled.tables)


def test_everything_is_on(ours: Generation) -> None:
    assert EVERYTHING.visitors
    assert EVERYTHING.pins
    assert ours.visitors is not None
    assert ours.pins is not None


@pytest.mark.parametrize(("number", "path"), list(enumerate(paths(SMALL.routes), 1)))
def test_a_visitor_is_known_and_pinned(ours: Generation, number: int, path: str) -> None:
    decision = ask(ours, path, headers=f"Cookie: {cookies(number, path, account=False)}")
    assert (decision.account, decision.reason) == (None, Reason.SHARE)
    assert decision.visitor is not None
    assert not decision.visitor.renew
    assert decision.pinning is not None
    assert decision.pinning.held


@pytest.mark.parametrize(("number", "path"), list(enumerate(paths(SMALL.routes), 1)))
def test_an_account_is_pinned_unless_it_is_a_pilot(ours: Generation, number: int, path: str) -> None:
    decision = ask(ours, path, headers=f"Cookie: {cookies(number, path)}")
    assert (decision.account, decision.visitor) == (f"acct-{number}", None)
    assert decision.reason is (Reason.CLAUSE if number <= 3 else Reason.SHARE)
    assert number <= 3 or (decision.pinning is not None and decision.pinning.held)
