"""The ops endpoints: is the process alive, may traffic come, what was counted. No secrets, no way to change anything."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Generator
from typing import Any, Final, Protocol, cast

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from proxy.admin.asking import AT_ONCE, AskingConnection

Readiness = Callable[[], tuple[bool, dict[str, Any]]]

_METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_GRACE_S: Final = 2
_TURN_S: Final = 0.01
_ASKING_TURNS: Final = (
    25  # in which whoever is accepted has asked: clients send with the handshake's last packet, or soon after
)


def ops_app(*, readiness: Readiness, metrics: Callable[[], str]) -> Starlette:
    """The application.

    Args:
        readiness: whether traffic may come, and the body that says why or what else is wrong.
        metrics: the Prometheus text.
    """

    async def livez(_: Request) -> Response:
        return PlainTextResponse("alive\n")

    async def readyz(_: Request) -> Response:
        ready, body = readiness()
        return _Json(body, 200 if ready else 503, headers={"Cache-Control": "no-store"})

    # Not a coroutine: summing thousands of series happens in a thread.
    def metricz(_: Request) -> Response:
        return Response(metrics(), media_type=_METRICS_TYPE)

    return Starlette(routes=[Route("/livez", livez), Route("/readyz", readyz), Route("/metrics", metricz)])


class _Json(JSONResponse):
    """JSON that ends its last line, for whoever asks with curl."""

    def render(self, content: Any) -> bytes:
        return super().render(content) + b"\n"


class _Asks(Protocol):
    """A connection of uvicorn's for HTTP/1.1: what it is asked, or was asked last."""

    cycle: object


class OpsServer(uvicorn.Server):
    """uvicorn without signal handlers: the process that embeds it decides when it ends."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave signals alone."""
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept no more, answer who was accepted already, and end.

        uvicorn closes at once whatever hasn't asked; a request that is on its way then would meet a reset, and a probe would
        report a failure each time control is replaced. Who connects from now on waits in the queue of the socket, which the
        supervisor keeps, for the next control.
        """
        for server in self.servers:
            server.close()
        for _ in range(_ASKING_TURNS):
            await asyncio.sleep(_TURN_S)
            if all(cast("_Asks", one).cycle for one in self.server_state.connections):
                break
        await super().shutdown(sockets)


async def serve_ops(app: Starlette, sock: socket.socket) -> None:
    """Serve on a bound socket until cancelled; then let answers that were begun come to their end."""
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        lifespan="off",
        ws="none",
        http=AskingConnection,
        limit_concurrency=AT_ONCE,
        timeout_graceful_shutdown=_GRACE_S,
        server_header=False,
    )
    server = OpsServer(config)
    serving = asyncio.ensure_future(server.serve(sockets=[sock]))
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        # Cancelled itself, uvicorn would leave its connections open; told to end, it is gone within `_GRACE_S`.
        server.should_exit = True
        await serving
        raise
