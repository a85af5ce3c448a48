"""The alerts and the dashboard under docs/monitoring ask for metrics, labels and values that exist, in queries that can be read."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from proxy.core.faults import Kind, Party, Stage
from proxy.core.metrics import METRICS
from proxy.core.model import Backend, Reason
from tests.docs.reading import ROOT

MONITORING = ROOT / "docs" / "monitoring"
ALERTS: list[dict[str, Any]] = yaml.safe_load((MONITORING / "alerts.yaml").read_text())["groups"][0]["rules"]
BOARD: dict[str, Any] = json.loads((MONITORING / "dashboard.json").read_text())

SAMPLES = {metric.name: metric for metric in METRICS} | {
    metric.name + suffix: metric
    for metric in METRICS
    if metric.kind == "histogram"
    for suffix in ("_bucket", "_count", "_sum")
}
FROM_PROMETHEUS = {"instance", "le"}
VALUES = {
    "backend": {*Backend},
    "reason": {*Reason},
    "party": {*Party},
    "stage": {*Stage},
    "kind": {*Kind},
    "status": {"5xx"},
    "result": {"ok", "held_back", "failed"},
}


def queries() -> list[str]:
    panels = [target["expr"] for panel in BOARD["panels"] for target in panel["targets"]]
    return [*(rule["expr"] for rule in ALERTS), *panels, *(one["expr"] for one in BOARD["annotations"]["list"])]


@pytest.mark.parametrize("query", queries())
def test_every_query_asks_for_metrics_labels_and_values_that_exist(query: str) -> None:
    asked = re.findall(r"(strangler_\w+)(?:\{(.*?)\})?", query)
    assert asked
    for name, selectors in asked:
        for label, values in re.findall(r'(\w+)=~?"(.*?)"', selectors):
            assert label in {*SAMPLES[name].labels, *FROM_PROMETHEUS}
            if not values.startswith("$"):
                assert set(values.split("|")) <= VALUES[label]
    grouped = {label for group in re.findall(r"\bby \((.*?)\)", query) for label in re.split(r",\s*", group)}
    assert grouped <= {label for name, _ in asked for label in SAMPLES[name].labels} | FROM_PROMETHEUS


def test_what_is_shown_of_a_series_are_labels_that_the_query_keeps() -> None:
    for panel in BOARD["panels"]:
        for target in panel["targets"]:
            kept = {
                label for group in re.findall(r"\bby \((.*?)\)", target["expr"]) for label in re.split(r",\s*", group)
            }
            assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= kept, panel["title"]


def test_panels_lie_beside_each_other_and_not_one_over_another() -> None:
    places: set[tuple[int, int]] = set()
    for panel in BOARD["panels"]:
        grid = panel["gridPos"]
        own = {(x, y) for x in range(grid["x"], grid["x"] + grid["w"]) for y in range(grid["y"], grid["y"] + grid["h"])}
        assert not own & places, panel["title"]
        assert max(x for x, _ in own) < 24
        places |= own
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(BOARD["panels"])


def test_prometheus_itself_reads_every_query(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("needs promtool; on Debian and Ubuntu: apt install prometheus")
    plain = [query.replace("$__rate_interval", "5m") for query in queries()]
    rules = [{"record": f"check:query{i}", "expr": query} for i, query in enumerate(plain)]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "check", "rules": rules}]}))
    for path in (MONITORING / "alerts.yaml", tmp_path / "rules.yaml"):
        done = subprocess.run([promtool, "check", "rules", str(path)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
