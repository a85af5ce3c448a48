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

from proxy.core.care.endpointhealth import Standing
from proxy.core.model import Backend, Reason
from proxy.core.telling.faults import Kind, Party, Stage
from proxy.core.telling.metrics import METRICS
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
    "why": {one.name.lower() for one in Standing},
    "cap": {"account", "total"},
}


SMELLS = {  # an alert, a series that raises it, and the like of it that doesn't; a minute a value
    "StranglerEndpointUnhealthy": ('strangler_endpoint_healthy{backend="new",endpoint="http://a"}', "0x40", "1x40"),
    "StranglerEndpointHeldOff": (
        'strangler_endpoint_held_off{backend="new",endpoint="http://a",why="ejected"}',
        "2x40",
        "0 1 0 0 1 0x35",
    ),
    "StranglerNameStale": ('strangler_name_stale{name="shop.internal"}', "1x40", "0x40"),
    "StranglerFallsBack": ('strangler_fallbacks_total{area="orders"}', "0+5x40", "5x40"),
    "StranglerAreaCapped": ('strangler_capped_total{area="orders",cap="total"}', "0+5x40", "5x40"),
    "StranglerAccountCapped": ('strangler_capped_total{area="orders",cap="account"}', "0+5x40", "5x40"),
    "StranglerLegacyCold": ("strangler_legacy_warm_percent", "49x40", "50x40"),
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


@pytest.mark.parametrize("name", SMELLS)
def test_an_alert_is_raised_by_what_it_is_about_and_by_nothing_less(tmp_path: Path, name: str) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("needs promtool; on Debian and Ubuntu: apt install prometheus")
    series, bad, good = SMELLS[name]
    for values, raised in ((bad, 1), (good, 0)):
        watched = {
            "rule_files": [str(MONITORING / "alerts.yaml")],
            "evaluation_interval": "1m",
            "tests": [
                {
                    "interval": "1m",
                    "input_series": [{"series": series, "values": values}],
                    "promql_expr_test": [
                        {
                            "expr": f'count(ALERTS{{alertname="{name}",alertstate="firing"}}) or vector(0)',
                            "eval_time": "35m",
                            "exp_samples": [{"labels": "{}", "value": raised}],
                        }
                    ],
                }
            ],
        }
        (tmp_path / "watched.yaml").write_text(yaml.safe_dump(watched))
        done = subprocess.run(
            [promtool, "test", "rules", str(tmp_path / "watched.yaml")], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
