"""What drills do, and what befalls the proxy while one is on, one row each: a drill must hurt nobody but its scope, and end."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from proxy.core.model import Backend
from proxy.core.plan import Route
from proxy.core.switches.drill import Drill, LiveDrill, read_injection
from proxy.core.switches.latch import Scope
from proxy.traffic.exchanges.drilling import Drilling
from tests.chaos.row import Row, Seen
from tests.chaos.scripted import Behaviour, sends, well
from tests.chaos.stage import GET, GOES_ON, POST, Stage, read, stage
from tests.chaos.whole import IN_AREA, Whole, standing
from tests.waiting import until

BODY_BYTES: Final = 2000
A_BODY: Final = sends(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % BODY_BYTES, bytes(BODY_BYTES), then=well)
_EVERYTHING: Final = Route(id="moved/2", area="moved", place="-", path="/**", to=Backend.NEW)
_COUNTED: Final = 'strangler_drill_faults_total{{area="moved",backend="new",fault="{}"}}'


def drilling(on: Stage, fault: str, for_s: float = 3600.0) -> Callable[[], None]:
    """Begin a drill of everything that new answers; what is returned ends it."""
    rest = {"by": "me", "reason": "-", "at": "-", "until": "-", "until_s": 0.0, "boot": "-", "uid": 0}
    drill = Drill(id="d1", scope=Scope(area="moved"), fault=read_injection(fault), without_account=True, **rest)  # type: ignore[arg-type]  # fields by name
    node = on.node
    drills = Drilling(node.traffic)
    node.do(lambda: drills.put((LiveDrill(drill, time.monotonic() + for_s),)))
    return lambda: node.do(lambda: drills.put(()))


def injected(
    fault: str, request: bytes = GET, behave: Behaviour = well, *, for_s: float = 3600.0, ended: bool = False
) -> Callable[[Row, Path], Seen]:
    """A request that meets a drill, and one behind it once the drill is over; `ended`: it ends early, while the request is held."""

    def scene(row: Row, directory: Path) -> Seen:
        with stage(row, directory) as on:
            new = on.endpoint(behave)
            on.start("http://127.0.0.1:9", new=new.url, routes=(_EVERYTHING,))
            end = drilling(on, fault, for_s)
            client = on.client()
            client.send(request)
            if ended:
                held = on.node.traffic.drilling
                assert held is not None
                until(lambda: on.node.do(lambda: len(held._waiting)) == 1, "it is held")
                end()
            told = read(client)
            end()
            return on.seen(told, client)

    return scene


def _begins(on: Whole, for_: str) -> str:
    """Begin a drill of the area that is new's; returns its id."""
    begun = on.running.command(
        *("drill", "help", "--fault", "status=503", "--share", "100%", "--without-account", "--for", for_),
        *("--detach", "--reason", "game day", "--json"),
    )  # fmt: skip
    name: str = json.loads(begun)["drills"][0]["id"]
    return name


def _told(on: Whole, name: str, *, by: str) -> None:
    """The report is in the journal, once."""

    def reports() -> list[str]:
        lines = on.running.command("journal", "--json", "--action", "drilled").splitlines()
        return [event["by"] for event in map(json.loads, lines) if event["after"]["id"] == name]

    assert until(reports, "it is reported") == [by]


def _control_killed(row: Row, directory: Path) -> Seen:
    with standing(directory) as on:
        client = on.client()
        name = _begins(on, "3s")
        former = on.running.control_pid()
        os.kill(former, signal.SIGKILL)
        client.send(IN_AREA)
        told = [read(client)]
        assert told == ["503"]

        def over() -> bool:
            client.send(IN_AREA)
            return read(client) == "200"

        until(over, "the end of its time")
        told.append("200")
        until(lambda: on.running.control_pid() not in {0, former} and on.running.readyz(), "control is back")
        _told(on, name, by="the clock")
        return on.seen(", ".join(told), on.recovered(client))


def _rolled_back(row: Row, directory: Path) -> Seen:
    with standing(directory) as on:
        client = on.client()
        _begins(on, "10m")
        client.send(IN_AREA)
        told = [read(client)]
        on.running.command("rollback", "--area", "help", "--reason", "5xx on new")
        client.send(IN_AREA)
        told.append(read(client))
        until(lambda: json.loads(on.running.command("drill", "list", "--json"))["drills"][0]["rollback"], "it is seen")
        said = on.running.command("drill", "--end")
        on.look()
        on.running.command("release", "--area", "help", "--reason", "it was a drill")
        return on.seen(", ".join(told), on.recovered(client), said=said)


# fmt: off
ROWS: Final = (
    Row(id="drill-status", fault="a drill answers with a status: POST", client="503", backends="nothing", log="503 new-head-drilled",
        metric=_COUNTED.format("status"), recovers=GOES_ON, scene=injected("status=503", POST)),
    Row(id="drill-reset", fault="a drill breaks connections: POST", client="502", backends="nothing", log="502 new-head-cut",
        metric=_COUNTED.format("reset"), recovers=GOES_ON, scene=injected("reset", POST)),
    Row(id="drill-refused", fault="a drill refuses connections", client="502", backends="nothing", log="502 new-connect-unreachable",
        metric=_COUNTED.format("refused"), recovers=GOES_ON, scene=injected("refused")),
    Row(id="drill-delay", fault="a drill delays for longer than anybody would wait: POST", client="504", within="`timeout` (20 s)", backends="nothing", log="504 new-head-timeout",
        metric=_COUNTED.format("delay"), recovers=GOES_ON, scene=injected("delay=60s", POST)),
    Row(id="drill-ended", fault="a drill is ended while it holds a request: POST", client="200", backends="1 whole", log="200",
        metric=_COUNTED.format("delay"), recovers=GOES_ON, scene=injected("delay=60s", POST, ended=True)),
    Row(id="drill-slow", fault="a drill slows an answer down", client="200", within="`--for` (15 m at most)", backends="1 whole", log="200",
        metric=_COUNTED.format("slow"), recovers=GOES_ON, scene=injected("slow=1B", behave=A_BODY, for_s=0.5)),
)
WHOLE_ROWS: Final = (
    Row(id="drill-control-killed", fault="control is killed while a drill is on", client="503, 200", within="`--for` (15 m at most)", backends="legacy: nothing; new: 1 whole", log="503 new-head-drilled, 200",
        says="control", metric='strangler_drill_faults_total{area="help",backend="new",fault="status"}', recovers=GOES_ON, scene=_control_killed),
    Row(id="drill-rolled-back", fault="a rollback is thrown while a drill is on", client="503, 200", backends="legacy: 1 whole; new: nothing", log="503 new-head-drilled, 200",
        says="rolled back", metric="strangler_rollbacks_in_force", recovers=GOES_ON, scene=_rolled_back),
)
# fmt: on
