"""The two systems as `status` tells of them."""

from __future__ import annotations

from proxy.cli.render import breaker_told
from proxy.control.telling.backends import backend_lines
from proxy.core.model import Backend
from proxy.core.plan import BackendSpec


def test_a_breaker_that_waits_for_requests_says_so_and_for_how_long() -> None:
    spec = BackendSpec(name=Backend.NEW, urls=("http://127.0.0.1:9000",), place="-")
    (line,) = backend_lines((spec,), {}, {"new": {0: "half_open", 1: "open"}}, {"new": {0: 312}})
    assert line.half_open_s == {"0": 312}
    told = "half open for 312 s, until requests prove it (worker 0), open (worker 1)"
    assert breaker_told(line.breakers, line.half_open_s) == told
    (sound,) = backend_lines((spec,), {}, {}, {})
    assert breaker_told(sound.breakers, sound.half_open_s) == "closed"
