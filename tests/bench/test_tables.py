"""Figures as people read them."""

from __future__ import annotations

import pytest

from bench.tables import beside
from prove import __main__ as prove


@pytest.mark.parametrize(("figure", "cell"), [(1.0, "1.00"), (1.5, "1.50"), (1.51, "1.51 missed")])
def test_a_figure_above_its_aim_is_marked(figure: float, cell: str) -> None:
    assert beside(figure, 1.5, 2) == cell


@pytest.mark.parametrize(("kept", "code"), [(True, 0), (None, 0), (False, 1)])
def test_a_proof_that_fails_sets_the_exit_code(
    kept: bool | None, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("prove.shares.main", lambda: kept)
    monkeypatch.setattr("prove.__main__.end_on_signals", lambda: None)
    monkeypatch.setattr("sys.argv", ["prove", "shares"])
    assert prove.main() == code
    assert ("FAILED: shares" in capsys.readouterr().err) == bool(code)
