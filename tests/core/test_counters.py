"""Counters survive their writer, and any process may read them."""

from __future__ import annotations

import mmap
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from proxy.core.care.breaker import State, half_open_series
from proxy.core.care.endpointhealth import Standing, endpoint_series
from proxy.core.model import Backend
from proxy.core.telling.counters import OVERFLOW, PAGE_BYTES, Counters, is_gauge
from proxy.core.telling.metrics import METRICS, family_of
from proxy.traffic.telling.telemetry import MOST_STANDINGS, Telemetry

REQUESTS = 'strangler_requests_total{area="orders",backend="new",status="2xx"}'


def page(size: int = PAGE_BYTES) -> memoryview:
    return memoryview(bytearray(size))


def test_a_series_keeps_its_index_and_its_count() -> None:
    counters = Counters(page())
    index = counters.series(REQUESTS)
    counters.cells[index] += 3
    assert counters.series(REQUESTS) == index
    assert dict(counters.items()) == {OVERFLOW: 0, REQUESTS: 3}


def test_a_successor_continues_where_a_killed_worker_stopped() -> None:
    buffer = page()
    first = Counters(buffer)
    first.cells[first.series(REQUESTS)] += 2
    second = Counters(buffer)
    second.cells[second.series(REQUESTS)] += 5
    second.series("strangler_new_after_the_crash_total")
    assert dict(second.items())[REQUESTS] == 7
    assert len(dict(second.items())) == 3


def test_a_name_that_was_not_published_before_the_crash_is_overwritten() -> None:
    buffer = page()
    counters = Counters(buffer)
    counters.series("a_total")
    published = bytes(buffer[8:16])
    counters.series("half_written_total")
    buffer[8:16] = published
    successor = Counters(buffer)
    successor.cells[successor.series("b_total")] = 9
    assert dict(Counters(buffer).items()) == {OVERFLOW: 0, "a_total": 0, "b_total": 9}


def test_a_full_page_counts_into_the_overflow_cell_and_says_so() -> None:
    counters = Counters(page(4096))
    indexes = [counters.series(f"s{number}_total") for number in range(100)]
    for index in indexes:
        counters.cells[index] += 1
    values = dict(counters.items())
    assert counters.refused > 0
    assert values[OVERFLOW] == counters.refused
    assert sum(values.values()) == 100


def test_names_too_long_for_the_room_left_overflow_without_harming_the_cells() -> None:
    counters = Counters(page(4096))
    kept = counters.series("kept_total")
    counters.cells[kept] = 7
    counters.cells[counters.series("x" * 5000)] += 1
    assert dict(counters.items()) == {OVERFLOW: 1, "kept_total": 7}


def test_a_starting_worker_resets_levels_but_never_counts() -> None:
    counters = Counters(page())
    for name in (
        'strangler_connections_open{side="client"}',
        "strangler_in_flight",
        "strangler_tasks",
        "strangler_requests_total",
    ):
        counters.cells[counters.series(name)] = 4
    counters.reset_gauges()
    values = dict(counters.items())
    assert [value for name, value in values.items() if is_gauge(name)] == [0, 0, 0]
    assert values["strangler_requests_total"] == 4


def test_what_metrics_call_a_gauge_dies_with_its_worker() -> None:
    kinds = {metric.name: metric.kind for metric in METRICS}
    counters = Counters(page())
    telemetry = Telemetry(counters)
    telemetry.breaker(Backend.LEGACY, State.CLOSED, State.HALF_OPEN)
    telemetry.half_open(Backend.LEGACY, 7)
    telemetry.held_off(Backend.LEGACY, "http://shop", Standing.SOUND, Standing.EJECTED)
    levels = {name for name, _ in counters.items() if kinds[family_of(name)] == "gauge"}
    assert half_open_series(Backend.LEGACY) in levels
    assert {name for name, _ in counters.items() if is_gauge(name)} == levels
    counters.reset_gauges()
    assert not any(value for name, value in counters.items() if name in levels)


def test_addresses_that_come_and_go_leave_room_for_all_else_and_are_missed_aloud() -> None:
    buffer = page()

    def fail(address: int, telemetry: Telemetry) -> str:
        name = f"http://shop.prod.svc.cluster.local:8080 {IPv4Address(address)}"
        telemetry.held_off(Backend.NEW, name, Standing.SOUND, Standing.UNREACHABLE)
        telemetry.held_off(Backend.NEW, name, Standing.UNREACHABLE, Standing.SOUND)
        return endpoint_series(Backend.NEW, name, Standing.UNREACHABLE)

    first = Telemetry(Counters(buffer))
    names = [fail(address, first) for address in range(MOST_STANDINGS)]
    counters = Counters(buffer)  # of a successor
    second = Telemetry(counters)
    assert fail(0, second) == names[0]
    assert dict(counters.items())[OVERFLOW] == 0
    late = [fail(address, second) for address in range(MOST_STANDINGS, 20_000)]
    second.ejected(Backend.NEW)
    told = dict(counters.items())
    assert told[OVERFLOW] == len(late)
    assert told['strangler_endpoint_ejections_total{backend="new"}'] == 1
    assert told.keys() >= set(names)
    assert told.keys().isdisjoint(late)


def test_a_reader_sees_series_that_appear_after_it_opened_the_page() -> None:
    buffer = page()
    reader = Counters(buffer.toreadonly())
    assert dict(reader.items()) == {}
    writer = Counters(buffer)
    writer.cells[writer.series("late_total")] += 1
    assert dict(reader.items()) == {OVERFLOW: 0, "late_total": 1}


def test_another_process_reads_what_this_one_counts(tmp_path: Path) -> None:
    path = tmp_path / "counters"
    path.write_bytes(bytes(PAGE_BYTES))
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        view = memoryview(mapped)
        counters = Counters(view)
        counters.cells[counters.series(REQUESTS)] += 41
        script = (
            "import mmap, sys; from proxy.core.telling.counters import Counters\n"
            "f = open(sys.argv[1], 'rb'); m = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)\n"
            "print(dict(Counters(memoryview(m)).items())[sys.argv[2]])"
        )
        seen = subprocess.run(
            [sys.executable, "-c", script, str(path), REQUESTS], capture_output=True, text=True, check=True
        )
        assert seen.stdout.strip() == "41"
        counters.cells.release()
        counters._words.release()
        counters._text.release()
        view.release()


def test_a_page_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="not a counters page"):
        Counters(memoryview(b"\x01" * 4096))
    with pytest.raises(ValueError, match="at least 4096"):
        Counters(page(512))


def test_a_name_with_a_line_end_is_refused() -> None:
    with pytest.raises(ValueError, match="one line"):
        Counters(page()).series("forged_total\nstrangler_requests_total")


def test_threads_that_read_a_page_at_once_learn_each_name_with_its_own_count() -> None:
    """Scrapes of /metrics come together, and a thread for each sums the pages."""
    names = [f's_total{{number="{number}"}}' for number in range(3000)]
    buffer = page()
    writer = Counters(buffer)
    reader = Counters(buffer.toreadonly())
    for number, name in enumerate(names):
        writer.cells[writer.series(name)] = number
    together = threading.Barrier(4)

    def read() -> dict[str, int]:
        together.wait()
        return dict(reader.items())

    usual_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            told = [one.result() for one in [pool.submit(read) for _ in range(4)]]
    finally:
        sys.setswitchinterval(usual_s)
    right = {OVERFLOW: 0, **{name: number for number, name in enumerate(names)}}
    assert [one == right for one in (*told, dict(reader.items()))] == [True] * 5
