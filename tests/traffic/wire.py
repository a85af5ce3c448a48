"""Raw sockets on both sides of a running proxy: a client and a backend that do exactly what a test says."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self, TypeVar

import uvloop

from proxy.core.generation import Generation, assemble
from proxy.core.model import Backend
from proxy.core.plan import (
    Area,
    BackendSpec,
    Flag,
    Identity,
    Listener,
    Plan,
    Route,
    encode_plan,
    new_settings,
    plan_name,
)
from proxy.core.switches.covering import NOTHING_ROLLED_BACK, LiveLatch
from proxy.core.telling.counters import PAGE_BYTES, Counters
from proxy.core.telling.pages import TextPage
from proxy.core.telling.sightings import REGIONS_PAGE_BYTES
from proxy.traffic.backends.tls import PathOf, load_credentials
from proxy.traffic.server import Traffic
from proxy.traffic.telling.log import AccessLog

T = TypeVar("T")

PATIENCE_S = 10.0
"""How long a test waits for something that must happen; never for something that must not."""

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
"""A whole answer."""


def eventually(condition: Callable[[], T | None], what: str) -> T:
    """Poll until a condition holds, and give what it gave."""
    deadline = time.monotonic() + PATIENCE_S
    pause = threading.Event()
    while not (found := condition()):
        assert time.monotonic() < deadline, f"never happened: {what}"
        pause.wait(0.005)
    return found


def fault_of(head: bytes) -> bytes:
    """What an answer of the proxy's own says is at fault."""
    return head.partition(b"X-Strangler-Error: ")[2].partition(b"\r\n")[0]


def undated(answer: bytes) -> bytes:
    """An answer without the Date that the proxy adds where the backend gave none."""
    return re.sub(rb"\r\nDate: [^\r]+", b"", answer, count=1)


class Wire:
    """One end of a connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        sock.settimeout(PATIENCE_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, *pieces: bytes) -> None:
        """Send pieces joined, in one write."""
        self.sock.sendall(b"".join(pieces))

    def until(self, end: bytes) -> bytes:
        """What comes up to and including `end`."""
        while end not in self.buffer:
            self._more()
        at = self.buffer.index(end) + len(end)
        found, self.buffer = self.buffer[:at], self.buffer[at:]
        return found

    def head(self) -> bytes:
        """A whole head."""
        return self.until(b"\r\n\r\n")

    def exactly(self, count: int) -> bytes:
        """So many bytes."""
        pieces = [self.buffer]
        missing = count - len(self.buffer)
        while missing > 0:
            self.buffer = b""
            self._more()
            pieces.append(self.buffer)
            missing -= len(self.buffer)
        self.buffer = b"".join(pieces)
        found, self.buffer = self.buffer[:count], self.buffer[count:]
        return found

    def answer(self) -> tuple[int, bytes, bytes]:
        """(status, head, body) of an answer with Content-Length."""
        head = self.head()
        found = re.search(rb"(?i)\r\ncontent-length: (\d+)\r\n", head)
        return int(head[9:12]), head, self.exactly(int(found[1])) if found else b""

    def rest(self) -> bytes:
        """Everything until the other side closes cleanly."""
        while data := self.sock.recv(65536):
            self.buffer += data
        found, self.buffer = self.buffer, b""
        return found

    def ends(self) -> str:
        """How the connection ends, whatever comes before: `closed` or `reset`."""
        try:
            while self.sock.recv(65536):
                pass
        except ConnectionResetError:
            return "reset"
        return "closed"

    def leave(self) -> None:
        """Close with FIN."""
        self.sock.close()

    def reset(self) -> None:
        """Close with RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def _more(self) -> None:
        data = self.sock.recv(65536)
        if not data:
            raise EOFError(f"the other side closed after {self.buffer!r}")
        self.buffer += data


class RawBackend:
    """A listening socket whose connections a test answers by hand."""

    def __init__(self) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.listening.settimeout(PATIENCE_S)
        self.port: int = self.listening.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def accept(self) -> Wire:
        """The next connection."""
        return Wire(self.listening.accept()[0])

    def serves(self, client: Wire) -> None:
        """Answer the request that a client has sent, on the next connection, and see the answer arrive."""
        with self.accept() as wire:
            wire.head()
            wire.send(OK)
            assert client.answer()[0] == 200

    def has_caller(self) -> bool:
        """Whether a connection waits to be accepted."""
        self.listening.setblocking(False)
        try:
            self.listening.accept()[0].close()
        except BlockingIOError:
            return False
        finally:
            self.listening.settimeout(PATIENCE_S)
        return True

    def stop_listening(self) -> None:
        """Refuse connections from now on; the port stays taken, so that no other test's server can turn up there."""
        self.listening.close()
        self.listening = socket.socket()
        self.listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listening.bind(("127.0.0.1", self.port))
        self.listening.settimeout(PATIENCE_S)

    def listen_again(self) -> None:
        """Take connections after having refused them."""
        self.listening.listen()

    def close(self) -> None:
        """Let go of the port, too."""
        self.listening.close()


@contextmanager
def full_backlog() -> Iterator[str]:
    """The URL of a host that leaves connections waiting, as one that drops packets would."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, ExitStack() as crowd:
        for _ in range(3):
            sock = crowd.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(full.getsockname())
        yield f"http://127.0.0.1:{full.getsockname()[1]}"


def a_plan(
    legacy: str | tuple[str, ...],
    new: str | tuple[str, ...],
    *,
    routes: tuple[Route, ...] = (),
    areas: tuple[Area, ...] = (),
    flags: tuple[Flag, ...] = (),
    identity: Identity | None = None,
    listener: Listener | None = None,
    legacy_options: dict[str, Any] | None = None,
    new_options: dict[str, Any] | None = None,
    **settings: Any,
) -> Plan:
    """A plan; `/new/**` belongs to the area `moved`, which is fixed to new, everything else is legacy's."""
    moved = Area(name="moved", place="-", flag="moved")
    fixed = Route(id="moved/1", area="moved", place="-", path="/new/**", to=Backend.NEW)
    return Plan(
        settings=new_settings(otherwise=Backend.LEGACY, **settings),
        identity=identity or Identity(),
        listener=listener or Listener(),
        backends=(
            _backend(Backend.LEGACY, legacy, legacy_options or {}),
            _backend(Backend.NEW, new, new_options or {}),
        ),
        areas=(moved, *areas),
        routes=(fixed, *routes),
        flags=flags,
    )


def _backend(name: Backend, urls: str | tuple[str, ...], options: dict[str, Any]) -> BackendSpec:
    return BackendSpec(name=name, urls=(urls,) if isinstance(urls, str) else urls, place="-", **options)


def build(plan: Plan, number: int = 1) -> Generation:
    """A generation of a plan without tables."""

    def no_table(digest: str) -> memoryview:
        raise AssertionError(digest)

    text = encode_plan(plan)
    steps = assemble(text, no_table, number=number, name=plan_name(text), now_s=time.time)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            generation = end.value
            assert isinstance(generation, Generation)
            return generation


class Node:
    """The real traffic path on a loop of its own, in a thread, so that tests read from top to bottom."""

    def __init__(self, plan: Plan, *, log: Path | None = None, share: int = 1, path_of: PathOf = Path) -> None:
        self.log_path = log
        self._log = None if log is None else AccessLog(log, b"key")
        self._share = share
        self._path_of = path_of
        self.regions = memoryview(bytearray(REGIONS_PAGE_BYTES))
        self.counters = Counters(memoryview(bytearray(PAGE_BYTES)))
        self.latch: LiveLatch = NOTHING_ROLLED_BACK
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listening.getsockname()[1]
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._open = True
        self.run(self._start(plan))

    async def _start(self, plan: Plan) -> None:
        generation = build(plan)
        self.traffic = Traffic(
            generation,
            counters=self.counters,
            log=self._log,
            latch=lambda: self.latch,
            share_of_node=self._share,
            regions=TextPage(self.regions),
            credentials=load_credentials(generation, self._path_of),
        )
        await self.traffic.listen(self.listening)

    def swap(self, plan: Plan, number: int = 2) -> None:
        """Put another plan in force, as a worker does."""
        generation = build(plan, number)
        credentials = load_credentials(generation, self._path_of, self.traffic.credentials)
        self.do(lambda: self.traffic.swap(generation, credentials))

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the node's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_S * 2)

    def begin(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start a coroutine on the node's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def stop_accepting(self) -> None:
        """Leave new connections in the queue, as a busy loop would."""
        for server, _ in self.traffic.doors._servers:
            server.close()

    def do(self, work: Callable[[], T]) -> T:
        """Call a function on the node's loop."""

        async def call() -> T:
            return work()

        return self.run(call())

    def prefer(self, url: str) -> None:
        """Let an endpoint be asked before others: as if these had more in flight."""

        def weigh() -> None:
            for endpoint in self.traffic._endpoints.values():
                endpoint.in_flight = 0 if endpoint.url == url else 1

        self.do(weigh)

    def client(self, receive_bytes: int | None = None) -> Wire:
        """Connect."""
        sock = socket.socket()
        if receive_bytes is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        sock.connect(("127.0.0.1", self.port))
        return Wire(sock)

    def count(self, start: str) -> int:
        """The sum of the series whose name starts so."""
        return sum(value for name, value in self.counters.items() if name.startswith(start))

    def log_lines(self, count: int) -> list[bytes]:
        """The log, once it has so many lines."""
        path = self.log_path
        assert path is not None
        return eventually(
            lambda: lines if len(lines := path.read_bytes().splitlines()) >= count else None, f"{count} log lines"
        )

    def close(self) -> None:
        """Drain and end."""
        if self._open:
            self._open = False
            self.run(self.traffic.drain(0))
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(PATIENCE_S)
            self._loop.close()
            self.listening.close()
            if self._log is not None:
                self._log.close()
