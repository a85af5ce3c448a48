"""The demo's processes: both shops in this one, the proxy as `strangler serve` beside it, and an end that leaves nothing.

1. the sample is copied, so that it can be edited without touching a checkout
2. the shops listen, on free ports where the usual ones are taken
3. the proxy starts, exactly as in production
4. what to open and what to try is told
5. a signal, or the proxy's own end, ends all of it, in the reverse order
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import uvicorn
from starlette.applications import Starlette

from proxy.cli.demo.goods import stock
from proxy.cli.demo.sample import claim, copy_sample, sample_directory
from proxy.cli.demo.shops import shop

LOOPBACK: Final = "127.0.0.1"
_START_S: Final = 30.0
_STOP_S: Final = 15.0
_ASK_AGAIN_S: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The ports to try first; a taken one is replaced by a free one, 0 is always a free one."""

    proxy: int = 8080
    legacy: int = 8081
    new: int = 8082
    ops: int = 9001


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A demo that is up."""

    directory: Path
    proxy_url: str
    legacy_url: str
    new_url: str
    ops_url: str


class DemoFailed(Exception):
    """The proxy did not start, or ended by itself."""


async def run_demo(directory: Path, ports: Ports, tell: Callable[[Running], None]) -> None:
    """Run the demo until SIGINT, SIGTERM or SIGHUP.

    Args:
        directory: where the copy of the sample goes; what it already holds is kept.
        ports: which ports to try.
        tell: called once, when everything answers.

    Raises:
        DemoFailed: the proxy did not start, or ended by itself.
        NotADemo: the directory holds somebody else's files; nothing was started.
    """
    claim(directory)
    asked_to_end = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, asked_to_end.set)
    legacy, new = _listen(ports.legacy), _listen(ports.new)
    running = Running(
        directory=directory,
        proxy_url=f"http://{LOOPBACK}:{_free_port(ports.proxy)}",
        legacy_url=f"http://{LOOPBACK}:{legacy.getsockname()[1]}",
        new_url=f"http://{LOOPBACK}:{new.getsockname()[1]}",
        ops_url=f"http://{LOOPBACK}:{_free_port(ports.ops)}",
    )
    goods = stock(sample_directory() / "accounts.csv")
    copy_sample(directory, legacy_url=running.legacy_url, new_url=running.new_url)
    async with _served(shop("legacy", goods), legacy), _served(shop("new", goods), new), _proxy(running) as proxy:
        ended = asyncio.create_task(proxy.wait())
        ended.add_done_callback(lambda _: asked_to_end.set())
        if await _answers(running.ops_url, asked_to_end):
            tell(running)
        await asked_to_end.wait()
        if ended.done():
            raise DemoFailed(f"the proxy ended by itself with exit code {ended.result()}")


class _Server(uvicorn.Server):
    """Uvicorn, leaving signals to the demo."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


@contextlib.asynccontextmanager
async def _served(app: Starlette, sock: socket.socket) -> AsyncIterator[None]:
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, lifespan="off", ws="none", timeout_graceful_shutdown=2
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[sock]))
    try:
        yield
    finally:
        server.should_exit = True
        await serving
        sock.close()


@contextlib.asynccontextmanager
async def _proxy(running: Running) -> AsyncIterator[asyncio.subprocess.Process]:
    """The proxy, in a session of its own: the terminal's Ctrl-C reaches the demo alone, which then ends it once."""
    here = running.directory
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "proxy", "serve"),
        *("--listen", running.proxy_url.removeprefix("http://"), "--ops", running.ops_url.removeprefix("http://")),
        *("--routes", str(here / "routes.yaml"), "--flags", str(here / "flags"), "--state", str(here / "state")),
        *("--workers", "1", "--access-log", str(here / "access.log")),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), _STOP_S)
    except TimeoutError:
        print(f"the proxy did not end within {_STOP_S:.0f} s; killing it", file=sys.stderr)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def _answers(ops_url: str, asked_to_end: asyncio.Event) -> bool:
    """Wait until the proxy is ready; false when the demo is to end first.

    Raises:
        DemoFailed: it is not ready in time.
    """
    deadline_s = asyncio.get_running_loop().time() + _START_S
    async with httpx.AsyncClient(trust_env=False, timeout=2.0) as client:
        while not asked_to_end.is_set():
            with contextlib.suppress(httpx.TransportError):
                if (await client.get(f"{ops_url}/readyz")).status_code == 200:
                    return True
            if asyncio.get_running_loop().time() > deadline_s:
                raise DemoFailed(f"the proxy was not ready within {_START_S:.0f} s")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asked_to_end.wait(), _ASK_AGAIN_S)
    return False


def _listen(port: int) -> socket.socket:
    """A listening socket on the port, or on a free one when it is taken."""
    try:
        return socket.create_server((LOOPBACK, port), backlog=256)
    except OSError:
        return socket.create_server((LOOPBACK, 0), backlog=256)


def _free_port(port: int) -> int:
    with _listen(port) as found:
        number: int = found.getsockname()[1]
        return number
