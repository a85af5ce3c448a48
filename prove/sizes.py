"""How long an edit takes to be in force at two sizes, with traffic running, and the longest that a request waited.

The edit is one flag among all of them, and then one line of the big segment list. A prober asks one connection
without pause: no request of its waits longer than the worker's loop was blocked, plus what the machine took away; the
same prober without any edit says how much that is.
"""

from __future__ import annotations

import asyncio
import gc
import tempfile
import time
from pathlib import Path

import uvloop

from bench.node import LOOPBACK, Node
from bench.tables import beside, show
from prove.crowd import Crowd, Origin, Told, until
from prove.entered import entered
from prove.files import write_configuration, write_flag

_SIZES = ((100, 10_000, 1.0), (10_000, 1_000_000, 8.0))
_CALM_S = 5.0
_PROBED = "area-1"
_SHARES = (0, 100, 0, 100, 0)


async def prove() -> None:
    loop = asyncio.get_running_loop()
    origin = await loop.create_server(Origin, LOOPBACK, 0)
    url = f"http://{LOOPBACK}:{origin.sockets[0].getsockname()[1]}"
    rows = []
    for routes, accounts, aim_s in _SIZES:
        with tempfile.TemporaryDirectory() as scratch:
            here = Path(scratch)
            write_configuration(here, routes=routes, accounts=accounts, url=url, share=0)
            began_s = time.monotonic()
            async with entered(here) as running:
                rows.append([_name(routes, accounts), "start", f"{time.monotonic() - began_s:.2f}", "", "", ""])
                rows += await _edits(here, running, _name(routes, accounts), aim_s)
    origin.close()
    show(
        "From an edit to the first answer that follows it (200 ms of quiet included), and what a prober felt",
        ["routes, accounts", "edit", "in force, s", "aim, s", "longest wait, ms", "99.9 %, ms"],
        rows,
    )


async def _edits(here: Path, running: Node, name: str, aim_s: float) -> list[list[str]]:
    # The prober's account is in no list; a flag at 100 % sends it to new, whose requests carry a mark.
    request = f"GET /{_PROBED} HTTP/1.1\r\nHost: shop.example\r\nCookie: acct=prober\r\n\r\n".encode()
    crowd = Crowd(int(running.url.rpartition(":")[2]), request)
    gc.collect()
    gc.freeze()
    crowd.join()
    await until(lambda: crowd.told.answers.total() > 1_000, within_s=20)
    crowd.told = Told()
    await asyncio.sleep(_CALM_S)
    rows = [[name, "none", "", "", *_felt(crowd.told)]]

    crowd.told = Told()
    took_s = [await _edit_flag(here, crowd, share) for share in _SHARES[1:]]
    rows.append(
        [name, "a flag", beside(sorted(took_s)[len(took_s) // 2], aim_s, 2), f"≤ {aim_s:.0f}", *_felt(crowd.told)]
    )

    crowd.told = Told()
    took = await _edit_list(here, crowd)
    rows.append([name, "the segment list", beside(took, aim_s, 2), f"≤ {aim_s:.0f}", *_felt(crowd.told)])
    await crowd.leave()
    return rows


async def _edit_flag(here: Path, crowd: Crowd, share: int) -> float:
    crowd.told.answers.clear()
    began_s = time.monotonic()
    write_flag(here, _PROBED, share)
    marked = share == 100
    await until(lambda: any(body.endswith(b" new") == marked for body in crowd.told.answers), within_s=60)
    # The first answers may still be the former generation's: what counts is the first of the wanted kind.
    return time.monotonic() - began_s


async def _edit_list(here: Path, crowd: Crowd) -> float:
    crowd.told.answers.clear()
    path = here / "segments" / "pilots.txt"
    text = path.read_text() + "prober\n"
    began_s = time.monotonic()
    path.write_text(text)
    await until(lambda: any(body.endswith(b" new") for body in crowd.told.answers), within_s=60)
    return time.monotonic() - began_s


def _felt(told: Told) -> list[str]:
    waits_ms = sorted(wait * 1_000 for wait in told.waits_s)
    return [f"{waits_ms[-1]:.1f}", f"{waits_ms[len(waits_ms) * 999 // 1000]:.1f}"]


def _name(routes: int, accounts: int) -> str:
    return f"{routes:,}, {accounts:,}"


def main() -> None:
    uvloop.run(prove())


if __name__ == "__main__":
    main()
