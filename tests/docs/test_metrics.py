"""docs/metrics.md says what there is."""

from __future__ import annotations

import re
from pathlib import Path

from proxy.core.telling.metrics import METRICS

TEXT = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text("utf-8")


def test_the_table_of_metrics_is_the_programs_own() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (.*?) \| (.*?) \|$", TEXT, re.MULTILINE)
    assert rows == [
        (metric.name, metric.kind, ", ".join(f"`{name}`" for name in metric.labels), metric.help) for metric in METRICS
    ]


def test_queries_name_metrics_and_labels_that_exist() -> None:
    queries = "".join(re.findall(r"```promql\n(.*?)```", TEXT, re.DOTALL))
    known = {metric.name for metric in METRICS} | {f"{metric.name}_bucket" for metric in METRICS}
    assert set(re.findall(r"strangler_\w+", queries)) <= known
    labels = {name for metric in METRICS for name in metric.labels}
    assert set(re.findall(r"(\w+)=~?\"", queries)) <= labels
