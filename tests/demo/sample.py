"""The sample configuration, as a worker would run it."""

from __future__ import annotations

from functools import cache

from proxy.cli.demo.sample import sample_directory
from proxy.config.compile import Compiled, compile_files
from proxy.config.text.files import read_files
from proxy.core.deciding.decision import Decision
from proxy.core.generation import Generation
from tests.core.plans import ask, live


@cache
def compiled_sample() -> Compiled:
    here = sample_directory()
    return compile_files(read_files(here / "routes.yaml", here / "flags"))


@cache
def _generation() -> Generation:
    compiled = compiled_sample()
    assert compiled.plan is not None, [str(complaint) for complaint in compiled.complaints]
    return live(compiled.plan, compiled.tables)


def ask_sample(path: str, account: str | None) -> Decision:
    """Decide a request of an account that its cookie names."""
    return ask(_generation(), path, trusted=False, headers="" if account is None else f"Cookie: acct={account}")
