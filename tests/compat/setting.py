"""Two systems that nobody here wrote, the real proxy in front of them, and an operator at its commands."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from bench.node import LOOPBACK, Node, free_port, node
from tests.app.node import run
from tests.waiting import until

ROUTES = """\
version: 1
backends:
  legacy: {{url: "{legacy}", timeout: {timeout}}}
  new: {{url: "{new}", timeout: {timeout}}}
{identity}public_origin: "{public}"
segments:
  movers: {{accounts: movers.txt}}
{rest}otherwise: legacy
"""
IDENTITY = """\
identity: {account: ["cookie:acct"]}
"""
FLAG = """\
flags:
  {area}:
    state: ENABLED
    variants: {{new: new, legacy: legacy}}
    defaultVariant: {default}
    targeting:
      if:
        - {{in: [movers, {{var: segments}}]}}
        - new
        - fractional: [[new, {new}], [legacy, {legacy}]]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Both systems, and the proxy in front of them."""

    node: Node
    legacy_url: str
    new_url: str

    @property
    def url(self) -> str:
        """The proxy's."""
        return self.node.url

    def command(self, *words: str) -> None:
        """A command of an operator, who gives a reason."""
        done = run(*words, "--state", str(self.node.directory / "state"), "--reason", "a test")
        assert done.returncode == 0, done.stderr + done.stdout

    @contextlib.contextmanager
    def rolled_back(self, *scope: str) -> Iterator[None]:
        """A rollback, released at the end."""
        self.command("rollback", *scope)
        try:
            yield
        finally:
            self.command("release", *scope)

    def serving(self) -> set[int]:
        """The workers that serve; none, while control, who tells, is replaced."""
        try:
            told = httpx.get(f"{self.node.ops_url}/readyz", trust_env=False).json()
        except httpx.TransportError:
            return set()
        return {worker["pid"] for worker in told["workers"] if worker["generation"]}

    def begin_restart(self) -> set[int]:
        """Begin to replace every worker by a successor; gives the former ones once the first successor serves."""
        former = self.serving()
        self.node.process.send_signal(signal.SIGUSR2)
        until(lambda: self.serving() - former, "a successor serves", 60)
        return former

    def end_restart(self, former: set[int]) -> None:
        """Wait until every former worker has ended, and as many others serve."""
        until(lambda: len(now := self.serving()) == len(former) and not now & former, "others serve", 60)

    def restart(self) -> None:
        """Replace every worker by a successor."""
        self.end_restart(self.begin_restart())

    def metric(self, name: str) -> float:
        """The sum of the series whose name starts so."""
        text = httpx.get(f"{self.node.ops_url}/metrics", trust_env=False).text
        return sum(float(found) for found in re.findall(rf"^{re.escape(name)}.* (\S+)$", text, re.MULTILINE))


@contextlib.contextmanager
def setting(
    directory: Path,
    *,
    legacy: str,
    new: str,
    area: str,
    rest: str,
    share: int = 0,
    identity: str = IDENTITY,
    timeout: str = "20s",
    options: Sequence[str] = (),
) -> Iterator[Setting]:
    """The proxy between two systems.

    Args:
        directory: where its files go; made here.
        legacy: the old system's URL.
        new: the new system's.
        area: the one that a flag decides: new for the account `acme`, and for a share of all others.
        rest: what else stands in routes.yaml, at least `areas:`; whole lines.
        share: percent.
        identity: who is asking; whole lines.
        timeout: of both systems.
        options: more options of `strangler serve`.
    """
    (directory / "flags").mkdir(parents=True)
    flag = FLAG.format(area=area, default="new" if share == 100 else "legacy", new=share, legacy=100 - share)
    (directory / "flags" / f"{area}.flagd.yaml").write_text(flag)
    (directory / "movers.txt").write_text("acme\n")
    port = free_port()
    public = f"http://{LOOPBACK}:{port}"
    names = {"legacy": legacy, "new": new, "public": public, "rest": rest, "identity": identity, "timeout": timeout}
    (directory / "routes.yaml").write_text(ROUTES.format_map(names))
    with node(directory, port=port, options=options) as served:
        yield Setting(node=served, legacy_url=legacy, new_url=new)


@contextlib.contextmanager
def running(command: list[str], environment: Mapping[str, str], directory: Path, url: str) -> Iterator[None]:
    """A server in a process of its own, from its first answer to the end of the block."""
    with (directory / "output.log").open("wb") as output:
        process = subprocess.Popen(
            command, env={**os.environ, **environment}, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        _await_answer(process, url, directory / "output.log")
        yield
    finally:
        process.terminate()
        process.wait(10)


def _await_answer(process: subprocess.Popen[bytes], url: str, output: Path) -> None:
    deadline_s = time.monotonic() + 30
    with httpx.Client(trust_env=False) as client:
        while process.poll() is None and time.monotonic() < deadline_s:
            with contextlib.suppress(httpx.TransportError):
                client.get(url)
                return
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.1)
    raise AssertionError(f"{url} did not answer:\n{output.read_text()}")
