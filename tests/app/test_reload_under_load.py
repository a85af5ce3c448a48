"""Configurations change under load: no request fails, and none lives in two of them.

Each configuration rewrites the path to its own number and sends the same number in a header, and the backend answers with
both: an answer in which they differ would be a mixture of two generations.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import Counter
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.app.node import Config, Node
from tests.waiting import until

T = TypeVar("T")

CONNECTIONS = 20
SWAPS = 20
BROKEN_EVERY = 5

ROUTES = """\
version: 1
backends:
  legacy: {{url: "{url}"}}
  new: {{url: "{url}", headers: {{set: {{X-Config: "{number}"}}}}}}
areas:
  orders:
    routes: [{{path: "/orders/**", to: new, rewrite: {{new: "/{number}/**"}}}}]
otherwise: legacy
cache: off
"""


class Load:
    """A backend that answers with what it was asked, and connections that ask without pause; in a thread of their own."""

    def __init__(self) -> None:
        self.answers: Counter[str] = Counter()
        self.failures: list[str] = []
        self._asking = True
        self._clients: list[asyncio.Task[None]] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._server = self._do(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def begin(self, port: int) -> None:
        async def begin() -> None:
            self._clients = [asyncio.create_task(self._ask(port)) for _ in range(CONNECTIONS)]

        self._do(begin())

    def stop_asking(self) -> None:
        """Let every connection have its last answer."""

        async def stop() -> None:
            self._asking = False
            await asyncio.gather(*self._clients)

        self._do(stop())

    def end(self) -> None:
        """End the backend too."""

        async def end() -> None:
            self._server.close()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for other in others:
                other.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        self._do(end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, what: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(30)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError), contextlib.closing(writer):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                number = head.partition("X-Config: ")[2].partition("\r\n")[0]
                body = f"{head.split()[1]} {number}"
                writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())

    async def _ask(self, port: int) -> None:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            with contextlib.closing(writer):
                while self._asking:
                    writer.write(b"GET /orders/7 HTTP/1.1\r\nHost: shop.example\r\n\r\n")
                    head = (await reader.readuntil(b"\r\n\r\n")).decode()
                    length = int(head.lower().partition("content-length: ")[2].partition("\r\n")[0])
                    body = (await reader.readexactly(length)).decode()
                    if head.startswith("HTTP/1.1 200 "):
                        self.answers[body] += 1
                    else:
                        self.failures.append(head)
        except (OSError, EOFError, ValueError) as error:
            self.failures.append(repr(error))


@pytest.fixture
def load() -> Iterator[Load]:
    running = Load()
    try:
        yield running
    finally:
        running.end()


def test_reloads_under_load_fail_no_request_and_mix_no_generations(tmp_path: Path, load: Load) -> None:
    config = Config(tmp_path / "config", load.url, load.url)

    def routes(number: int) -> str:
        return ROUTES.format(url=load.url, number=number)

    config.edit("routes.yaml", routes(0))
    running = Node(config, tmp_path / "state", "--drain", "10", "--access-log", "off")
    try:
        running.wait_ready()
        load.begin(int(running.url.rpartition(":")[2]))
        until(lambda: load.answers["/0/7 0"], "the first configuration answers")
        for number in range(1, SWAPS + 1):
            if number % BROKEN_EVERY == 0:
                config.edit("routes.yaml", routes(number).replace("areas:", f"areas{number}:"))
                until(lambda: f"areas{number}" in str(running.readyz()), "the broken one is told")  # noqa: B023 - here
                assert not load.answers[f"/{number}/7 {number}"]
            else:
                config.edit("routes.yaml", routes(number))
                until(lambda: load.answers[f"/{number}/7 {number}"], f"configuration {number} answers")  # noqa: B023
    finally:
        load.stop_asking()
        running.end()
    assert load.failures == []
    good = {number for number in range(SWAPS + 1) if number == 0 or number % BROKEN_EVERY}
    assert set(load.answers) == {f"/{number}/7 {number}" for number in good}
