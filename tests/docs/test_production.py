"""docs/production.md says what stands in the state directory, in the log, and in answers of the proxy's own."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

from proxy.cli.serve import serve
from proxy.core.footprint import footprint
from proxy.core.layout import StateDir
from proxy.core.model import Backend
from proxy.core.plan import BackendSpec, Identity, Plan, new_settings
from proxy.core.telling.faults import Kind
from proxy.traffic.telling import log
from tests.docs.reading import ROOT, blocks, table_after

_SPARE_S = 10  # what the supervisor itself gives those who don't end in time: 5 s for workers, 5 s for control
_TEXT = (ROOT / "docs" / "production.md").read_text()


def _named(head: str) -> set[str]:
    return {name for row in table_after(_TEXT, head) for name in row[0].replace("`", "").replace(",", " ").split()}


def test_everything_in_the_state_directory_is_named() -> None:
    state = StateDir(Path("state"))
    paths = [getattr(state, name) for name, kind in inspect.getmembers(StateDir) if isinstance(kind, property)]
    inside = {path.relative_to("state").parts[0] for path in paths}
    assert {name.rstrip("/") for name in _named("| In `state/`")} == inside


def test_every_field_of_the_access_log_is_named() -> None:
    fields = set(re.findall(r'"(\w+)":', inspect.getsource(log)))
    assert _named("| Field | Is") == fields


def test_every_kind_of_fault_has_a_remedy() -> None:
    assert _named("| When it ends in") >= {str(kind) for kind in Kind}


def test_the_unit_starts_what_there_is() -> None:
    (unit,) = blocks(_TEXT, "ini")
    (started,) = re.findall(r"^ExecStart=.*?strangler (.*)$", unit, re.MULTILINE)
    options = {option for parameter in serve.params for option in parameter.opts}
    assert set(re.findall(r"--[a-z-]+", started)) <= options
    drain: Any = next(parameter.default for parameter in serve.params if parameter.name == "drain_s")
    (directory,) = re.findall(r"^StateDirectory=(.*)$", unit, re.MULTILINE)
    assert f"Environment=STRANGLER_STATE=/var/lib/{directory}\n" in unit  # so that reload finds it, too
    assert "--state" not in unit
    (patience,) = re.findall(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)
    (delay,) = re.findall(r"--drain-delay (\d+)", started)
    assert int(patience) > int(delay) + drain + _SPARE_S


def test_what_a_worker_takes_by_default_is_what_is_computed() -> None:
    backends = tuple(BackendSpec(name=name, urls=("http://inner:80",), place="-") for name in Backend)
    plan = Plan(settings=new_settings(otherwise=Backend.LEGACY), identity=Identity(), backends=backends)
    told = str(footprint(plan))
    figures = [row[2] for row in table_after(_TEXT, "| For | A worker takes at most")]
    assert len(figures) == 2
    assert all(figure in told for figure in figures)
