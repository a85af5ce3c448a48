"""Shares: 10 000 accounts while a flag is edited to 0, 1, 10, 25, 50, 25 and 100 %, through files, plan and decision."""

from __future__ import annotations

import tempfile
from pathlib import Path

from bench.tables import show
from prove.files import replace, write_flag
from prove.plans import generation_of
from proxy.config.compile import compile_files
from proxy.config.text.files import read_files
from proxy.core.deciding.decision import decide
from proxy.core.http.message import read_request_head
from proxy.core.model import Backend
from proxy.core.switches.covering import NOTHING_ROLLED_BACK
from proxy.core.targeting.bucketing import bucket

_ACCOUNTS = [f"acct-{number}" for number in range(10_000)]
_SHARES = (0, 1, 10, 25, 50, 25, 100)
_TOLERANCE_POINTS = 1.5
_VECTORS = (("orders", "acme", 7379), ("orders", "acct-1", 689), ("checkout", "acme", 9874))

_ROUTES = """\
version: 1
backends:
  legacy: {url: "http://127.0.0.1:1"}
  new: {url: "http://127.0.0.1:1"}
identity: {account: ["cookie:acct"]}
segments:
  pilots: {accounts: pilots.txt}
areas:
  orders: {routes: [{path: "/orders/**"}]}
otherwise: legacy
cache: off
"""


def main() -> bool:
    """Whether every share is what it must be."""
    kept_all = True
    rows: list[list[str]] = []
    seen: dict[int, frozenset[str]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        here = Path(scratch)
        (here / "flags").mkdir()
        replace(here / "routes.yaml", _ROUTES)
        replace(here / "pilots.txt", "nobody-yet\n")
        for share in _SHARES:
            write_flag(here, "orders", share)
            on_new = _on_new(here)
            kept = all(seen[smaller] <= on_new for smaller in seen if smaller <= share)
            same = seen[share] == on_new if share in seen else None
            off_points = abs(len(on_new) / len(_ACCOUNTS) * 100 - share)
            good = kept and same is not False and off_points <= (0 if share in {0, 100} else _TOLERANCE_POINTS)
            kept_all = kept_all and good
            again = {None: "", True: "yes", False: "no"}[same]
            rows.append(
                [f"{share} %", f"{len(on_new):,}", f"{off_points:.2f}", "yes" if kept else "no", again, _mark(good)]
            )
            seen[share] = on_new
    show(
        "10 000 accounts, a flag edited step by step",
        ["share", "accounts on new", "points off", "contains the smaller", "same as before", ""],
        rows,
    )
    show(
        "Vectors of bucketing 1, of 10 000",
        ["flag / account", "bucket", "expected", ""],
        [
            [f"{flag} / {account}", str(bucket(flag, account, 10_000)), str(place), _mark(_is(flag, account, place))]
            for flag, account, place in _VECTORS
        ],
    )
    return kept_all and all(_is(flag, account, place) for flag, account, place in _VECTORS)


def _on_new(directory: Path) -> frozenset[str]:
    compiled = compile_files(read_files(directory / "routes.yaml", directory / "flags"))
    assert compiled.plan is not None, compiled.complaints
    generation = generation_of(compiled.plan, dict(compiled.tables))
    found = set()
    for account in _ACCOUNTS:
        head = read_request_head(f"GET /orders/7 HTTP/1.1\r\nHost: x\r\nCookie: acct={account}".encode())
        if decide(generation, head, peer_trusted=False, latch=NOTHING_ROLLED_BACK).backend is Backend.NEW:
            found.add(account)
    return frozenset(found)


def _is(flag: str, account: str, place: int) -> bool:
    return bucket(flag, account, 10_000) == place


def _mark(good: bool) -> str:  # noqa: FBT001  one word for one truth
    return "ok" if good else "FAILED"


if __name__ == "__main__":
    main()
