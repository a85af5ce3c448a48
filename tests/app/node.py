"""A whole proxy as a user starts it: `strangler serve` in processes of its own, two backends that say who they are."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import httpx

from tests.waiting import until

ROUTES = """\
version: 1
backends:
  legacy: {{url: "{legacy}"}}
  new: {{url: "{new}"}}
identity:
  trusted_from: [127.0.0.1/32]
  account: ["header:X-Account-Id", "cookie:acct"]
segments:
  pilots: {{accounts: pilots.txt}}
areas:
  orders:
    owner: order-desk@shop.example
    routes: [{{path: "/orders/**"}}]
  help:
    routes: [{{path: "/help/**", to: new}}]
otherwise: legacy
cache: off  # nobody caches in front of a test
"""

FLAG = """\
flags:
  orders:
    state: ENABLED
    variants: {{new: new, legacy: legacy}}
    defaultVariant: legacy
    targeting:
      if:
        - {{in: [pilots, {{var: segments}}]}}
        - new
        - fractional: [[new, {new}], [legacy, {legacy}]]
"""


def flag(percent: int) -> str:
    return FLAG.format(new=percent, legacy=100 - percent)


class Backend:
    """Answers every request with its name; `/slow` waits until it is let go, `/readyz` is 503 while it isn't ready."""

    def __init__(self, name: str) -> None:
        self.let_go = threading.Event()
        self.waiting = threading.Event()
        self.ready = True
        backend = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = (
                1 << 16
            )  # head and body in one write: apart, the second waits 40 ms for a delayed acknowledgement
            body: ClassVar[bytes] = name.encode()

            def answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if "slow" in self.path:
                    backend.waiting.set()
                    backend.let_go.wait(30)
                with contextlib.suppress(ConnectionError):
                    self.send_response(503 if self.path == "/readyz" and not backend.ready else 200)
                    self.send_header("Content-Length", str(len(self.body)))
                    self.end_headers()
                    self.wfile.write(self.body)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815 - the names that the server calls

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self.let_go.set()
        self._server.shutdown()
        self._server.server_close()


class Config:
    """Files laid out as a Kubernetes ConfigMap is: everything behind a symlink, `..data`."""

    def __init__(self, root: Path, legacy: str, new: str) -> None:
        self.root = root
        self._versions = 0
        self.contents = {
            "routes.yaml": ROUTES.format(legacy=legacy, new=new),
            "pilots.txt": "pilot-1\n",
            "flags/orders.flagd.yaml": flag(0),
        }
        root.mkdir()
        self.swap()
        for name in ("routes.yaml", "pilots.txt", "flags"):
            (root / name).symlink_to(Path("..data") / name)

    @property
    def routes(self) -> Path:
        return self.root / "routes.yaml"

    @property
    def flags(self) -> Path:
        return self.root / "flags"

    def swap(self) -> None:
        """Write all files anew and swap the symlink that leads to them."""
        self._versions += 1
        directory = self.root / f"..version-{self._versions}"
        for name, text in self.contents.items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        link = self.root / "..new"
        link.symlink_to(directory.name)
        link.replace(self.root / "..data")

    def edit(self, name: str, text: str) -> None:
        """Overwrite a file in place."""
        self.contents[name] = text
        with (self.root / name).open("r+") as file:
            file.truncate()
            file.write(text)

    def rename_over(self, name: str, text: str, *, age_s: float = 0) -> None:
        """Move another file into place, as old as one wants."""
        self.contents[name] = text
        path = (self.root / name).resolve()
        other = path.with_name("other.tmp")
        other.write_text(text)
        about = other.stat()
        os.utime(other, (about.st_atime, about.st_mtime - age_s))
        other.replace(path)


class Node:
    """One running `strangler serve`."""

    def __init__(
        self,
        config: Config,
        state: Path,
        *arguments: str,
        command: Sequence[str] = (sys.executable, "-m", "proxy"),
    ) -> None:
        self.config = config
        self.state = state
        self.messages: list[str] = []
        self.process = subprocess.Popen(
            [
                *command,
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--ops",
                "127.0.0.1:0",
                *self._places(),
                *arguments,
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.log_lines: list[str] = []
        self._readers = [
            threading.Thread(target=self._gather, args=arguments, daemon=True)
            for arguments in ((self.process.stderr, self.messages), (self.process.stdout, self.log_lines))
        ]
        for reader in self._readers:
            reader.start()
        self._client = httpx.Client(trust_env=False, timeout=20)

    def _places(self) -> list[str]:
        return ["--routes", str(self.config.routes), "--flags", str(self.config.flags), "--state", str(self.state)]

    @staticmethod
    def _gather(pipe: Any, lines: list[str]) -> None:
        with pipe:
            lines.extend(pipe)

    # -- addresses ---------------------------------------------------------------------------------------------------

    def wait_ready(self) -> Node:
        until(lambda: self._ready_line() or self.process.poll() is not None, "the ready line")
        assert self._ready_line(), "".join(self.messages)
        return self

    def _ready_line(self) -> str:
        return next((line for line in list(self.messages) if "ready: traffic on" in line), "")

    @property
    def url(self) -> str:
        return self._address("traffic")

    @property
    def ops(self) -> str:
        return self._address("health and metrics")

    def _address(self, what: str) -> str:
        found = re.search(rf"{what} on (http://[\d.:]+)", self._ready_line())
        assert found is not None
        return found[1]

    # -- what it says ------------------------------------------------------------------------------------------------

    def get(self, path: str, account: str | None = None) -> str:
        """Who answers, on a connection of its own or a kept one."""
        headers = {} if account is None else {"Cookie": f"acct={account}"}
        answer = self._client.get(self.url + path, headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.text

    def get_afresh(self, path: str, account: str) -> str:
        """Who answers on a connection of its own: with several workers any of them may take it."""
        with self.client() as client:
            return client.get(self.url + path, headers={"Cookie": f"acct={account}"}).text

    @staticmethod
    def client() -> httpx.Client:
        """Another client, with connections of its own."""
        return httpx.Client(trust_env=False, timeout=20)

    def readyz(self) -> Any:
        """The body, or None while control is away."""
        try:
            return self._client.get(f"{self.ops}/readyz", timeout=5).json()
        except httpx.TransportError:
            return None

    def metric(self, name: str) -> float:
        text = self._client.get(f"{self.ops}/metrics").text
        return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if re.match(rf"{name}[ {{]", line))

    def command(self, *arguments: str, code: int = 0) -> str:
        done = run(*arguments, "--state", str(self.state))
        assert done.returncode == code, done.stderr + done.stdout
        return done.stdout if code == 0 else done.stderr

    def status(self) -> Any:
        return json.loads(self.command("status", "--json"))

    # -- what one does to it -----------------------------------------------------------------------------------------

    def reloaded(self, generation: int) -> None:
        """Wait until every worker serves a generation."""

        def there() -> bool:
            body = self.readyz()
            return body is not None and all(worker["generation"] == generation for worker in body["workers"])

        until(there, f"generation {generation} on every worker")

    def generation(self) -> int:
        number: int = self.readyz()["generation"]
        return number

    def worker_pid(self, slot: int = 0) -> int:
        pid: int = until(lambda: (self.readyz() or {"workers": [{}]})["workers"][slot].get("pid"), "a worker's pid")
        return pid

    def control_pid(self) -> int:
        listed = subprocess.run(
            ["ps", "-e", "-ww", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True
        ).stdout
        for line in listed.splitlines():
            pid, parent, command = line.split(maxsplit=2)
            if int(parent) == self.process.pid and "proxy.app.control" in command:
                return int(pid)
        return 0

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Tell it to end; returns the exit code."""
        self._client.close()  # a drain waits a moment for what idle connections may be asking
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(30)
        for reader in self._readers:
            reader.join(10)
        return code


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A command, to its end."""
    return subprocess.run(
        [sys.executable, "-m", "proxy", *arguments], capture_output=True, text=True, check=False, timeout=60
    )


@contextlib.contextmanager
def backends() -> Iterator[tuple[Backend, Backend]]:
    """Legacy and new."""
    both = Backend("legacy"), Backend("new")
    try:
        yield both
    finally:
        for backend in both:
            backend.close()


@contextlib.contextmanager
def node(root: Path, *arguments: str) -> Iterator[tuple[Node, Backend, Backend]]:
    """A node that is ready, and its backends."""
    with backends() as (legacy, new):
        running = Node(Config(root / "config", legacy.url, new.url), root / "state", "--drain", "10", *arguments)
        try:
            yield running.wait_ready(), legacy, new
        finally:
            legacy.let_go.set()
            running.end()
