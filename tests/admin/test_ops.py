"""Health and metrics, over a real socket."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from proxy.admin.ops import ops_app, serve_ops
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


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/readyz"), ("DELETE", "/metrics"), ("GET", "/"), ("GET", "/docs")]
)
async def test_there_is_nothing_else_and_no_way_to_change_anything(method: str, path: str) -> None:
    async with ops(Told()) as client:
        assert (await client.request(method, path)).status_code in {404, 405}
