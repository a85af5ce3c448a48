"""What the people on call see when a backend is gone."""

from __future__ import annotations

from pathlib import Path

from tests.app.node import node
from tests.waiting import until


def test_a_backend_that_is_gone_is_told_on_standard_error_and_counted_by_area(tmp_path: Path) -> None:
    with node(tmp_path) as (running, _, new):
        new.close()
        with running.client() as client:
            for _ in range(2):
                assert client.get(f"{running.url}/help/").status_code == 502
        until(lambda: running.status()["areas"][1]["errors"] == {"new": 2}, "the errors are counted")
        told = running.command("status")
        assert "ERRORS" in told
        assert "2 of new" in told
        lines = [line for line in running.messages if "can't be reached" in line]
        assert len(lines) == 1
        assert (
            f"new {new.url} can't be reached (connection refused); requests that only it may answer get 502" in lines[0]
        )
