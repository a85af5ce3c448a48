"""Shares by command: two workers under load; every request sent after `canary` returned is decided by the new share.

Each request names its account and the step in which it was sent, and the origins answer with what they were asked and who they are: so
each answer says for itself whether it was decided as `explain --accounts` says.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, cast

import uvloop

from bench.node import LOOPBACK, node
from bench.tables import show
from prove.crowd import Origin, until
from prove.files import replace, write_flag

_ACCOUNTS = [f"acct-{number}" for number in range(500)]
_CONNECTIONS = 64
_REQUESTS_A_STEP = 10_000
_STEPS = ("25", "50", "25", "12.5", "90", "100", "0", "1")

_ROUTES = """\
version: 1
backends:
  legacy: {{url: "http://{origin}", headers: {{set: {{X-Config: legacy}}}}}}
  new: {{url: "http://{origin}", headers: {{set: {{X-Config: new}}}}}}
identity: {{account: "cookie:acct"}}
segments:
  pilots: {{accounts: pilots.txt}}
areas:
  orders: {{routes: [{{path: "/orders/**"}}]}}
otherwise: legacy
cache: off
"""


class Asking:
    """What is asked now, and what was answered."""

    def __init__(self) -> None:
        self.step = 0
        self.answers: Counter[tuple[int, str, str]] = Counter()  # step, account, backend
        self.failures = 0
        self.going_on = True

    def of_step(self, step: int) -> int:
        """How many were answered that were sent in a step."""
        return sum(count for (sent, _, _), count in self.answers.items() if sent == step)


class Client(asyncio.Protocol):
    """One connection that asks for one account after another."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking
        self._answer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._ask()

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head, found, body = self._answer.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or b"0")
        if not found or len(body) < length:
            return
        self._answer = b""
        if head[9:12] == b"200":
            target, backend = body.decode().split()
            account, _, step = target.removeprefix("/orders/").partition("?")
            self._asking.answers[int(step), account, backend] += 1
        else:
            self._asking.failures += 1
        self._ask()

    def connection_lost(self, _exc: Exception | None) -> None:
        self._asking.failures += self._asking.going_on

    def _ask(self) -> None:
        assert self._transport is not None
        if not self._asking.going_on:
            self._transport.close()
            return
        account = random.choice(_ACCOUNTS)
        head = f"GET /orders/{account}?{self._asking.step} HTTP/1.1\r\nHost: shop.example\r\nCookie: acct={account}\r\n\r\n"
        self._transport.write(head.encode())


async def _strangler(here: Path, *arguments: str) -> Any:
    done = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "proxy", *arguments, "--state", str(here / "state"), "--json"),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await done.communicate()
    if done.returncode:
        raise RuntimeError(f"strangler {' '.join(arguments)} ended with {done.returncode}")
    return json.loads(out)


async def _step(here: Path, asking: Asking, step: int, percent: str) -> list[str]:
    began_s = time.monotonic()
    done = await _strangler(here, "canary", "orders", "--percent", percent, "--reason", "prove")
    command_s = time.monotonic() - began_s
    asking.step = step  # whatever is sent from here on was sent after the command returned
    explained = await _strangler(here, "explain", "GET", "/orders/1", "--accounts", str(here / "accounts.txt"))
    told = {one["account"]: one["backend"] for one in explained}
    await until(lambda: asking.of_step(step) >= _REQUESTS_A_STEP, within_s=60)
    after = {key: count for key, count in asking.answers.items() if key[0] == step}
    wrong = sum(count for (_, account, backend), count in after.items() if told[account] != backend)
    seen = {account for _, account, _ in after}
    on_new = sum(backend == "new" for backend in told.values())
    good = not wrong and len(seen) == len(_ACCOUNTS) and not asking.failures
    return [
        f"{percent} %",
        f"{done['within_ms']:.0f}",
        f"{command_s * 1000:.0f}",
        f"{sum(after.values()):,}",
        str(wrong),
        f"{on_new} of {len(seen)}",
        str(asking.failures),
        "" if good else "NO",
    ]


async def _prove() -> list[list[str]]:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Origin, LOOPBACK, 0, backlog=1024)
    origin = f"{LOOPBACK}:{server.sockets[0].getsockname()[1]}"
    asking = Asking()
    with tempfile.TemporaryDirectory() as scratch:
        here = Path(scratch)
        (here / "flags").mkdir()
        replace(here / "routes.yaml", _ROUTES.format(origin=origin))
        replace(here / "pilots.txt", "nobody-yet\n")
        replace(here / "accounts.txt", "\n".join(_ACCOUNTS))
        write_flag(here, "orders", 0)
        with node(here, access_log="off", options=("--workers", "2")) as running:
            port = int(running.url.rpartition(":")[2])
            for _ in range(_CONNECTIONS):
                await loop.create_connection(lambda: Client(asking), LOOPBACK, port)
            rows = [await _step(here, asking, step, percent) for step, percent in enumerate(_STEPS, 1)]
            asking.going_on = False
    server.close()
    return rows


def main() -> None:
    show(
        f"canary --percent, 2 workers, {_CONNECTIONS} keep-alive connections, {len(_ACCOUNTS)} accounts",
        [
            "share",
            "confirmed, ms",
            "command, ms",
            "requests after",
            "decided otherwise",
            "accounts on new, as explained",
            "failures",
            "",
        ],
        uvloop.run(_prove()),
    )


if __name__ == "__main__":
    main()
