"""The sample configuration, as a worker would run it."""

from __future__ import annotations

from functools import cache

from proxy.config.compile import Compiled, compile_files

from proxy.cli.demo.sample import sample_directory
from proxy.config.files import read_files
from proxy.core.decision import Decision, decide
from proxy.core.generation import Generation, assemble
from proxy.core.latch import OPEN
from proxy.core.message import read_request_head
from proxy.core.plan import Plan, encode_plan, plan_name


@cache
def compiled_sample() -> Compiled:
    here = sample_directory()
    return compile_files(read_files(here / "routes.yaml", here / "flags"))


def ask_sample(path: str, account: str | None, method: str = "GET") -> Decision:
    """Decide a request of an account that its cookie names."""
    return ask(_sample_generation(), path, "" if account is None else f"\r\nCookie: acct={account}", method)


def ask(generation: Generation, path: str, headers: str = "", method: str = "GET") -> Decision:
    head = read_request_head(f"{method} {path} HTTP/1.1\r\nHost: shop.example{headers}".encode())
    return decide(generation, head, peer_trusted=False, latch=OPEN)


def generation_of(plan: Plan, tables: dict[str, bytes]) -> Generation:
    text = encode_plan(plan)
    steps = assemble(
        text, lambda digest: memoryview(tables[digest]), number=1, name=plan_name(text), now_s=lambda: 1_800_000_000.0
    )
    while True:
        try:
            next(steps)
        except StopIteration as built:
            made: Generation = built.value
            return made


@cache
def _sample_generation() -> Generation:
    compiled = compiled_sample()
    assert compiled.plan is not None
    return generation_of(compiled.plan, dict(compiled.tables))
