"""What all processes counted, as one."""

from __future__ import annotations

from proxy.control.telling.telemetry import requests_by_area, sum_pages
from proxy.core.telling.counters import Counters
from proxy.core.telling.metrics import METRICS, family_of, label, render

OPEN = 'strangler_backend_connections_open{backend="new"}'


def page(**values: int) -> Counters:
    counters = Counters(memoryview(bytearray(4096)))
    for name, value in values.items():
        counters.cells[counters.series(name)] = value
    return counters


def test_counts_of_all_workers_are_summed_and_levels_only_of_those_that_live() -> None:
    summed = sum_pages([(page(a_total=1, x_open=5), True), (page(a_total=2, x_open=7), False), (page(b_total=4), True)])
    assert summed["a_total"] == 3
    assert summed["b_total"] == 4
    assert summed["x_open"] == 5


def test_requests_are_told_by_area_and_system_and_so_are_those_that_were_answered_5xx() -> None:
    requests, errors = requests_by_area(
        {
            'strangler_requests_total{area="orders",backend="new",status="2xx"}': 4,
            'strangler_requests_total{area="orders",backend="new",status="5xx"}': 3,
            'strangler_requests_total{area="-",backend="legacy",status="4xx"}': 2,
            'strangler_faults_total{party="new",stage="head",kind="cut",backend="new"}': 9,
        }
    )
    assert requests == {"orders": {"new": 7}, "-": {"legacy": 2}}
    assert errors == {"orders": {"new": 3}}


def test_families_stand_together_with_help_and_type_once() -> None:
    text = render(
        [
            ('strangler_requests_total{area="a"}', 1),
            ("strangler_generation_posted", 3),
            ('strangler_requests_total{area="b"}', 2),
        ]
    )
    assert text.splitlines() == [
        "# HELP strangler_requests_total Exchanges that ended, by status class.",
        "# TYPE strangler_requests_total counter",
        'strangler_requests_total{area="a"} 1',
        'strangler_requests_total{area="b"} 2',
        "# HELP strangler_generation_posted The generation that workers are told to serve.",
        "# TYPE strangler_generation_posted gauge",
        "strangler_generation_posted 3",
    ]


def test_the_samples_of_a_histogram_belong_to_it_and_others_that_end_alike_do_not() -> None:
    for suffix in ("_bucket", "_sum", "_count"):
        assert family_of(f'strangler_request_duration_us{suffix}{{backend="new"}}') == "strangler_request_duration_us"
    assert family_of("strangler_something_count") == "strangler_something_count"


def test_a_series_that_is_not_in_the_table_is_told_all_the_same() -> None:
    assert render([("strangler_unheard_of", 1)]) == "# TYPE strangler_unheard_of untyped\nstrangler_unheard_of 1\n"


def test_a_label_can_not_break_out_of_its_quotes() -> None:
    assert label('a"b\\c\nd') == 'a\\"b\\\\c\\nd'


def test_every_metric_has_one_name_and_counters_end_in_total() -> None:
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names)
    assert all((metric.kind == "counter") == metric.name.endswith("_total") for metric in METRICS)
