"""Where scenes of the whole proxy are played: `strangler serve` in processes of its own, in front of scripted backends."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from tests.app.node import Config, Node
from tests.chaos.row import Seen
from tests.chaos.scripted import Behaviour, Scripted, well
from tests.chaos.stage import AFTER, ANEW, GET, GOES_ON, read
from tests.traffic.wire import Wire, eventually
from tests.waiting import until

IN_AREA: Final = GET.replace(b"/x", b"/help/x")
"""Of an area that is fixed to new."""


class Whole:
    """A proxy of one worker with scripted backends, from the moment it is ready."""

    def __init__(self, directory: Path, *arguments: str) -> None:
        self.legacy, self.new = Scripted(), Scripted()
        self.config = Config(directory / "config", self.legacy.url, self.new.url)
        self.state = directory / "state"
        self._stack = ExitStack()
        self._arguments = arguments
        self.running = self._start()
        self._where = urlsplit(self.running.url)
        self._begin()

    def _begin(self) -> None:
        """What is told and counted from here on belongs to the scene that is played."""
        self._messages_before = len(self.running.messages)
        self._counted_before = self._counts()
        self._counted: set[str] = set()

    def lend(self) -> None:
        """Forget what former scenes left, so that another one can be played."""
        for one in (self.legacy, self.new):
            one.behave = well
        wire = self.client()
        wire.send(AFTER.replace(b"/recovered", b"/between"))
        assert read(wire) == "200"
        eventually(lambda: any("/between" in line for line in self.running.log_lines), "the last line of all before")
        wire.sock.close()
        self.running.log_lines.clear()
        for one in (self.legacy, self.new):
            one.arrived.clear()
        self._begin()

    def _start(self, *arguments: str) -> Node:
        running = Node(self.config, self.state, "--drain", "10", *(arguments or self._arguments))
        self._stack.callback(running.end)
        return running.wait_ready()

    def close(self) -> None:
        for one in (self.legacy, self.new):
            one.close()
        self._stack.close()

    def again(self) -> None:
        """Start it once more, where it was."""
        self.running = self._start("--listen", f"{self._where.hostname}:{self._where.port}", *self._arguments)
        self._messages_before = len(self.running.messages)

    def client(self) -> Wire:
        assert self._where.hostname is not None
        wire = Wire(socket.create_connection((self._where.hostname, self._where.port or 0)))
        self._stack.callback(wire.sock.close)
        return wire

    def says(self, text: str) -> bool:
        return any(text in line for line in list(self.running.messages)[self._messages_before :])

    def seen(self, client: str, recovers: str, *, said: str = "") -> Seen:
        lines = [json.loads(line) for line in self.running.log_lines if line.startswith("{")]
        noted = [f"{one['status']} {one['fault'] or ''}".strip() for one in lines if one["path"] != "/recovered"]
        self.look()
        return Seen(
            client=client,
            backends=f"legacy: {self._arrived(self.legacy)}; new: {self._arrived(self.new)}",
            log=", ".join(dict.fromkeys(noted)),
            recovers=recovers,
            says=said + "".join(self.running.messages[self._messages_before :]),
            metrics="\n".join(self._counted),
        )

    def look(self) -> None:
        """Note which series have risen; gauges fall again."""
        now = self._counts()
        self._counted |= {name for name, value in now.items() if value > self._counted_before.get(name, 0)}

    def recovered(self, wire: Wire | None = None) -> str:
        """Ask once more, on a connection or anew."""
        one = wire or self.client()
        one.send(AFTER)
        assert read(one) == "200"
        eventually(lambda: any("/recovered" in line for line in self.running.log_lines), "the last line")
        return GOES_ON if wire else ANEW

    @staticmethod
    def _arrived(one: Scripted) -> str:
        counts: dict[str, int] = {}
        for path, how in one.arrived:
            if path != "/recovered":
                counts[how] = counts.get(how, 0) + 1
        return ", ".join(f"{count} {how}" for how, count in counts.items()) or "nothing"

    def _counts(self) -> dict[str, float]:
        with self.running.client() as client:
            text = client.get(f"{self.running.ops}/metrics").text
        pairs = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, value in pairs}


@contextmanager
def whole(directory: Path, *arguments: str) -> Iterator[Whole]:
    """A proxy, until the scene is over."""
    one = Whole(directory, *arguments)
    try:
        yield one
    finally:
        one.close()


_standing: list[Whole] = []


@contextmanager
def standing(directory: Path) -> Iterator[Whole]:
    """A proxy that outlives the scene, for the next one; not if the scene fails. `end_standing` ends it."""
    if _standing:
        on = _standing.pop()
        on.lend()
    else:
        on = Whole(directory)
    try:
        yield on
    except BaseException:
        on.close()
        raise
    _standing.append(on)


def end_standing() -> None:
    """End the proxy that stands, if there is one."""
    while _standing:
        _standing.pop().close()


class Held:
    """A behaviour that answers when it is let go."""

    def __init__(self) -> None:
        self.let_go = threading.Event()

    def __call__(self, wire: Wire) -> None:
        self.let_go.wait(20)
        well(wire)


def in_flight(on: Whole, behave: Behaviour) -> Wire:
    """A client whose request has arrived at legacy, which does something with it."""
    on.legacy.behave = behave
    client = on.client()
    client.send(GET)
    until(lambda: on.legacy.arrived, "it arrives")
    return client
