"""Where scenes of one worker are played: a real traffic path in this process, scripted endpoints, clients on raw sockets."""

from __future__ import annotations

import json
import logging
import ssl
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

from fuzz.readers import End, read_answer
from tests.chaos.row import Row, Seen, options_of
from tests.chaos.scripted import Behaviour, Scripted, well
from tests.traffic.wire import Node, RawBackend, Wire, a_plan, eventually

GET = b"GET /x HTTP/1.1\r\nHost: shop\r\n\r\n"
BEFORE = b"GET /before HTTP/1.1\r\nHost: shop\r\n\r\n"
AFTER = b"GET /recovered HTTP/1.1\r\nHost: shop\r\n\r\n"
POST = b"POST /x HTTP/1.1\r\nHost: shop\r\nContent-Length: 5\r\n\r\nhello"
PUT = POST.replace(b"POST", b"PUT")

GOES_ON = "the next request on the same connection"
ANEW = "the next connection"


class Told(logging.Handler):
    """What the proxy says for people, which its processes write to standard error."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


class Stage:
    """One row's scene. Everything it opens is closed with it."""

    def __init__(self, row: Row, directory: Path) -> None:
        self.row = row
        self.directory = directory
        self.endpoints: list[Scripted] = []
        self.told = Told()
        self.trusting: ssl.SSLContext | None = None  # where clients speak TLS: what they trust
        self.node: Node
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        logging.getLogger().addHandler(self.told)
        self._stack.callback(logging.getLogger().removeHandler, self.told)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    # -- what a scene is made of

    def endpoint(self, behave: Behaviour = well, raw: RawBackend | None = None) -> Scripted:
        """One more endpoint of legacy; those named first are asked first."""
        made = Scripted(behave, raw)
        self._stack.callback(made.close)
        self.endpoints.append(made)
        return made

    def start(
        self, *urls: str, new: str = "http://127.0.0.1:9", path_of: Any = Path, care: Any = None, **settings: Any
    ) -> Node:
        """A proxy in front of legacy's endpoints (or other URLs), the first of which is asked first; nobody is at new."""
        options = options_of(self.row.within) | settings
        if care is not None:
            options["legacy_options"] = {**options["legacy_options"], "care": care}
        urls = urls or tuple(one.url for one in self.endpoints)
        plan = a_plan(urls, new, **options)
        self.node = Node(plan, log=self.directory / "access.log", path_of=path_of)
        self._stack.callback(self.node.close)
        self.node.prefer(urls[0])
        return self.node

    def client(self, receive_bytes: int | None = None) -> Wire:
        """One more client."""
        return self._stack.enter_context(self._connected(receive_bytes))

    def _connected(self, receive_bytes: int | None = None) -> Wire:
        wire = self.node.client(receive_bytes)
        if self.trusting is None:
            return wire
        return Wire(self.trusting.wrap_socket(wire.sock, server_hostname="shop.test"))

    # -- what came of it

    def seen(self, client: str, wire: Wire | None = None) -> Seen:
        """Go on as a client would, and say what everybody met before that."""
        recovers = self._recover(wire)
        lines = self.lines_before_recovery()
        noted = [self._line(one) for one in lines]
        eventually(lambda: not any(one.reading for one in self.endpoints), "every request is whole or cut")
        return Seen(
            client=client,
            backends=self._arrivals(),
            log=", ".join(dict.fromkeys(noted)),
            recovers=recovers,
            says="\n".join(self.told.lines),
            metrics="\n".join(name for name, value in self.node.counters.items() if value),
        )

    def lines_before_recovery(self) -> Sequence[dict[str, Any]]:
        """What the access log says, once the request that shows that all is well is in it; without those before the fault."""

        def whole() -> list[dict[str, Any]] | None:
            assert self.node.log_path is not None
            lines = [json.loads(line) for line in self.node.log_path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]  # fmt: skip
            return lines if any(line["path"] == "/recovered" for line in lines) else None

        return [line for line in eventually(whole, "the last line") if line["path"] not in {"/recovered", "/before"}]

    @staticmethod
    def _line(line: dict[str, Any]) -> str:
        return f"{line['status']} {line['fault']}" if line["fault"] else f"{line['status']}"

    def _recover(self, wire: Wire | None) -> str:
        if wire is not None:
            try:
                wire.send(AFTER)
                answer = read(wire)
            except OSError:
                pass
            else:
                if answer == "200":
                    return GOES_ON
        with self._connected() as another:
            another.send(AFTER)
            answer = read(another)
        assert answer == "200", answer
        return ANEW

    def _arrivals(self) -> str:
        told = []
        for one in self.endpoints:
            counts = Counter(how for path, how in one.arrived if path not in {"/recovered", "/before"})
            told.append(", ".join(f"{count} {how}" for how, count in sorted(counts.items(), reverse=True)) or "nothing")
        if len(told) <= 1:
            return "".join(told) or "nothing"
        return "; ".join(f"{name}: {one}" for name, one in zip(("first", "second", "third"), told, strict=False))


def read(wire: Wire, method: bytes = b"GET") -> str:
    """The next answer in words: `200`; `200, cut`; `closed` or `reset` where none came."""
    while True:
        answer = read_answer(wire.buffer, to_method=method, ended=False)
        if answer.end is End.CLEAN:
            wire.buffer = answer.rest
            return f"{answer.status}"
        try:
            data = wire.sock.recv(65536)
        except ConnectionError:
            return f"{answer.status}, cut" if answer.status else "reset"
        if not data:
            answer = read_answer(wire.buffer, to_method=method, ended=True)
            wire.buffer = b""
            if answer.end is End.CLEAN:
                return f"{answer.status}"
            return f"{answer.status}, cut" if answer.status else "closed"
        wire.buffer += data


@contextmanager
def stage(row: Row, directory: Path) -> Iterator[Stage]:
    """A stage for a row."""
    with Stage(row, directory) as one:
        yield one
