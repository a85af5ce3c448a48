"""Plans of any size for measuring, as configuration files and as what a worker runs."""

from __future__ import annotations

import time
from collections.abc import Iterable

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
    Segment,
    Source,
    TableRef,
    encode_plan,
    new_settings,
    plan_name,
)
from proxy.core.table import build_table

ROUTES_AN_AREA = 5


def plan_of(routes: int, accounts: int, share: int = 2_500) -> tuple[Plan, dict[str, bytes]]:
    """A plan with a flag for every five routes, and a segment of `accounts` accounts; its tables by digest."""
    table = build_table((name.encode(), b"") for name in account_names(accounts))
    digest = plan_name(table)
    areas, rules, flags = [], [], []
    for number in range(max(1, routes // ROUTES_AN_AREA)):
        name = f"area-{number}"
        areas.append(Area(name=name, place="routes.yaml:1:1", flag=name))
        rules += [
            Route(id=f"{name}/{nth}", area=name, place="routes.yaml:1:1", path=path)
            for nth, path in enumerate(paths_of(number), 1)
        ]
        flags.append(flag_of(name, share))
    source = Source(source="header", name="x-account-id", place="routes.yaml:1:1")
    cookie = Source(source="cookie", name="acct", place="routes.yaml:1:1")
    plan = Plan(
        settings=new_settings(otherwise=Backend.LEGACY),
        identity=Identity(trusted_from=("127.0.0.1/32",), account=(source, cookie)),
        backends=tuple(
            BackendSpec(name=backend, urls=("http://127.0.0.1:1",), place="routes.yaml:1:1") for backend in Backend
        ),
        tables=(TableRef(digest=digest, file="segments/pilots.txt", entries=accounts),),
        segments=(Segment(name="pilots", place="routes.yaml:1:1", accounts=digest),),
        areas=tuple(areas),
        routes=tuple(rules[:routes]),
        flags=tuple(flags),
    )
    return plan, {digest: table}


def flag_of(name: str, share: int) -> Flag:
    """A flag in the managed shape: pilots, then a share in basis points."""
    return Flag(
        key=name,
        place="flags/x.flagd.yaml:3:3",
        enabled=True,
        variants={"new": "new", "legacy": "legacy"},
        default="legacy",
        clauses=(
            Clause(id="1", place="flags/x.flagd.yaml:9:9", when={"in": ["pilots", {"var": "segments"}]}, then="new"),
            Clause(
                id="2",
                place="flags/x.flagd.yaml:11:9",
                then={"fractional": [["new", share], ["legacy", 10_000 - share]]},
            ),
        ),
        managed=True,
    )


def generation_of(plan: Plan, tables: dict[str, bytes]) -> Generation:
    """What a worker would run."""
    text = encode_plan(plan)
    steps = assemble(text, lambda digest: memoryview(tables[digest]), number=1, name=plan_name(text), now_s=time.time)
    while True:
        try:
            next(steps)
        except StopIteration as built:
            made: Generation = built.value
            return made


def account_names(count: int) -> Iterable[str]:
    """Names as real ones: neither padded to one length nor consecutive in any hash's eye."""
    return (f"acct-{number}" for number in range(count))


def heads(areas: int, accounts: int, count: int) -> list[RequestHead]:
    """Requests spread over all areas, routes and accounts, with the headers a browser sends."""
    made = []
    for nth in range(count):
        paths = paths_of(nth * 7919 % areas)
        path = paths[nth % len(paths)].replace("{id}", str(nth)).replace("{line}", "3").replace("**", "a/b")
        made.append(
            read_request_head(
                f"GET {path} HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n"
                f"Accept: text/html,application/xhtml+xml\r\nAccept-Language: en\r\nAccept-Encoding: gzip, br\r\n"
                f"Connection: keep-alive\r\nX-Account-Id: acct-{nth * 104_729 % (2 * accounts)}".encode()
            )
        )
    return made


def paths_of(area: int) -> list[str]:
    """The five paths of an area."""
    at = f"/area-{area}"
    return [at, f"{at}/{{id}}", f"{at}/{{id}}/lines/{{line}}", f"/api{at}/**", f"{at}/new"][:ROUTES_AN_AREA]
