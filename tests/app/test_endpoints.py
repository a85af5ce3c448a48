"""Two endpoints of one backend, probed, as people see them."""

from __future__ import annotations

from pathlib import Path

from tests.app.node import Backend, node
from tests.waiting import until


def test_an_unhealthy_endpoint_is_shown_asked_last_and_comes_back(tmp_path: Path) -> None:
    with node(tmp_path) as (running, _, new):
        other = Backend("other")
        try:
            other.ready = False
            text = running.config.contents["routes.yaml"]
            probed = (
                f'new: {{url: ["{new.url}", "{other.url}"], health: /readyz, endpoints: '
                "{probe_every: 100ms, unhealthy_after: 1, healthy_after: 1, slow_start: off}}"
            )
            running.config.edit("routes.yaml", text.replace(f'new: {{url: "{new.url}"}}', probed))
            running.reloaded(2)

            def line() -> tuple[str, dict[str, str]]:
                found = next(one for one in running.status()["endpoints"] if one["url"] == other.url)
                return found["probes"], found["held_off"]

            until(lambda: line() == ("unhealthy", {"0": "unhealthy"}), "control and the worker know")
            assert {running.get("/help/") for _ in range(20)} == {"new"}
            assert running.metric("strangler_endpoint_held_off") == 1
            told = running.command("status")
            assert "unhealthy (worker 0)" in told
            assert f"new {other.url} failed its last probe: it answers 503" in told
            other.ready = True
            until(lambda: line() == ("healthy", {}), "it is back")
            until(lambda: running.get("/help/") == "other", "it is asked again")
            assert [line for line in running.messages if "HTTP Request" in line] == []
        finally:
            other.close()
