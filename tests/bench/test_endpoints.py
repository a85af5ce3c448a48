"""The proof about dying endpoints, in small."""

from __future__ import annotations

import os

import pytest
import uvloop

from prove.endpoints import DEATHS, prove


@pytest.mark.skipif(os.uname().sysname != "Linux", reason="reads what processes do from /proc")
def test_no_safe_request_fails_when_one_of_two_endpoints_dies(capsys: pytest.CaptureFixture[str]) -> None:
    assert uvloop.run(prove(1, DEATHS[:1]))
    assert "killed (SIGKILL)" in capsys.readouterr().out
