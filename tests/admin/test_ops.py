"""Health and metrics, over a real socket."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import uvicorn

from proxy.admin import asking
from proxy.admin.asking import AT_ONCE
from proxy.admin.ops import OpsServer, ops_app, serve_ops
from tests.waiting import until_async

pytestmark = pytest.mark.anyio


class Told:
    """What the endpoints report."""

    ready = False
    body: dict[str, Any] = {"held_back": ["routes.yaml"]}  # noqa: RUF012 - replaced, never changed


@contextlib.asynccontextmanager
async def ops(told: Told) -> AsyncIterator[httpx.AsyncClient]:
    sock = socket.create_server(("127.0.0.1", 0))
    app = ops_app(readiness=lambda: (told.ready, told.body), metrics=lambda: "a_total 1\n")
    serving = asyncio.create_task(serve_ops(app, sock))
    try:
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{sock.getsockname()[1]}", trust_env=False, timeout=10
        ) as client:
            yield client
    finally:
        serving.cancel()
        await until_async(serving.done, "the server ends")
        sock.close()


async def test_readiness_is_a_status_for_machines_and_a_body_for_people() -> None:
    told = Told()
    async with ops(told) as client:
        answer = await client.get("/readyz")
        assert answer.status_code == 503
        told.ready = True
        answer = await client.get("/readyz")
        assert answer.status_code == 200
        assert answer.json() == told.body
        assert answer.text.endswith("}\n")
        assert answer.headers["cache-control"] == "no-store"


async def test_liveness_does_not_depend_on_readiness() -> None:
    async with ops(Told()) as client:
        assert (await client.get("/livez")).status_code == 200


async def test_metrics_are_prometheus_text() -> None:
    async with ops(Told()) as client:
        answer = await client.get("/metrics")
        assert answer.text == "a_total 1\n"
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")


async def test_who_is_asking_already_is_answered_though_the_server_is_told_to_end() -> None:
    sock = socket.create_server(("127.0.0.1", 0))
    address = sock.getsockname()
    app = ops_app(readiness=lambda: (True, {}), metrics=str)
    server = OpsServer(uvicorn.Config(app, lifespan="off"))
    serving = asyncio.create_task(server.serve(sockets=[sock]))
    reader, writer = await asyncio.open_connection(*address)
    await until_async(lambda: server.started and server.server_state.connections, "it is accepted")
    server.should_exit = True
    await until_async(lambda: not server.servers[0].is_serving(), "it begins to end")
    writer.write(b"GET /livez HTTP/1.1\r\nHost: ops\r\n\r\n")
    answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 200 ")
    await until_async(serving.done, "the server ends")


async def test_connections_that_ask_nothing_or_half_keep_nobody_from_asking() -> None:
    async with ops(Told()) as client, contextlib.AsyncExitStack() as stack:
        for number in range(2 * AT_ONCE):
            _, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
            stack.callback(writer.close)
            writer.write(b"GET /livez HT" if number % 2 else b"")
        assert (await client.get("/livez")).status_code == 200


@pytest.mark.parametrize("asked", [b"", b"GET /livez HTTP/1.1\r\nHost:"])
async def test_who_does_not_ask_in_time_is_ended(monkeypatch: pytest.MonkeyPatch, asked: bytes) -> None:
    monkeypatch.setattr(asking, "ASKING_S", 0.05)
    async with ops(Told()) as client:
        reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
        writer.write(asked)
        with contextlib.suppress(ConnectionResetError):
            await asyncio.wait_for(reader.read(), 20)
        writer.close()


async def test_who_asks_again_and_again_keeps_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "ASKING_S", 0.05)
    async with ops(Told()) as client:
        reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
        began_s = asyncio.get_running_loop().time()
        while asyncio.get_running_loop().time() - began_s < 0.3:
            writer.write(b"HEAD /livez HTTP/1.1\r\nHost: ops\r\n\r\n")
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        writer.close()


async def test_a_head_is_not_gathered_for_ever() -> None:
    async with ops(Told()) as client:
        reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
        writer.write(b"GET /livez HTTP/1.1\r\nHost: ops\r\nX: " + b"x" * 200_000)
        assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 400 ")
        writer.close()


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/readyz"), ("DELETE", "/metrics"), ("GET", "/"), ("GET", "/docs")]
)
async def test_there_is_nothing_else_and_no_way_to_change_anything(method: str, path: str) -> None:
    async with ops(Told()) as client:
        assert (await client.request(method, path)).status_code in {404, 405}
