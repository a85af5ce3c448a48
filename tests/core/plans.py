"""Plans and requests in few words, for tests of the core."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from proxy.core.deciding.decision import Decision, Trace, decide
from proxy.core.generation import Generation, assemble
from proxy.core.http.message import RequestHead, read_request_head
from proxy.core.model import Backend
from proxy.core.plan import (
    Area,
    BackendSpec,
    Clause,
    Flag,
    Identity,
    Plan,
    Route,
    Source,
    TableRef,
    encode_plan,
    new_settings,
    plan_name,
)
from proxy.core.switches.covering import NOTHING_ROLLED_BACK, LiveLatch

BACKENDS = tuple(
    BackendSpec(name=backend, urls=(f"http://{backend}.internal:80",), place="routes.yaml:3:3") for backend in Backend
)
HEADER = Source(source="header", name="X-Account-Id", place="routes.yaml:9:3")
BY_HEADER = Identity(trusted_from=("10.0.0.0/8",), account=(HEADER,))
NOW_S = 1_700_000_000.0


def area(name: str, **keys: Any) -> Area:
    return Area(name=name, place=f"routes.yaml:{name}", **{"flag": name, **keys})


def route(path: str, **keys: Any) -> Route:
    name = keys.pop("area", "orders")
    return Route(**{"id": f"{name}/{path}", "area": name, "path": path, "place": f"routes.yaml:{path}", **keys})


def flag(*clauses: tuple[Any, Any], key: str = "orders", **keys: Any) -> Flag:
    numbered = tuple(
        Clause(id=str(i), place=f"flags/{key}.flagd.yaml:{i}", when=when, then=then)
        for i, (when, then) in enumerate(clauses, 1)
    )
    rest = {"enabled": True, "variants": {"new": "new", "legacy": "legacy"}, "default": "legacy", **keys}
    return Flag(key=key, place=f"flags/{key}.flagd.yaml", clauses=numbered, **rest)


def plan(*routes: Route, **keys: Any) -> Plan:
    names = dict.fromkeys(one.area for one in routes)
    rest = {"areas": tuple(area(name) for name in names), "identity": BY_HEADER, "backends": BACKENDS, **keys}
    settings = rest.pop("settings", new_settings(otherwise=Backend.LEGACY))
    return Plan(settings=settings, routes=routes, **rest)


def live(made: Plan, tables: Mapping[str, bytes] | None = None, number: int = 1) -> Generation:
    text = encode_plan(made)
    held = tables or {}
    steps = assemble(
        text, lambda digest: memoryview(held[digest]), number=number, name=plan_name(text), now_s=lambda: NOW_S
    )
    while True:
        try:
            next(steps)
        except StopIteration as done:
            generation: Generation = done.value
            return generation


def table(digest: str, entries: int = 0) -> TableRef:
    return TableRef(digest=digest, file=f"segments/{digest}.txt", entries=entries)


def request(target: str, method: str = "GET", headers: str = "", host: str = "shop.example") -> RequestHead:
    lines = "".join(f"\r\n{line}" for line in headers.splitlines() if line)
    return read_request_head(f"{method} {target} HTTP/1.1\r\nHost: {host}{lines}".encode())


def ask(
    generation: Generation,
    target: str,
    *,
    account: str | None = None,
    trusted: bool = True,
    latch: LiveLatch = NOTHING_ROLLED_BACK,
    peer: str | None = None,
    trace: Trace | None = None,
    **keys: Any,
) -> Decision:
    headers = keys.pop("headers", "") + (f"\nX-Account-Id: {account}" if account is not None else "")
    head = request(target, headers=headers, **keys)
    return decide(generation, head, peer_trusted=trusted, latch=latch, peer=peer, trace=trace)
