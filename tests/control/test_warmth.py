"""What control says of how warm legacy is, and what it remembers of it."""

from __future__ import annotations

from pathlib import Path

from proxy.cli.warm import warm_text
from proxy.control.telling.warmth import LegacyWarm, WarmthWatch
from proxy.core.model import Backend
from tests.core.plans import area, plan, route

HOUR = 500_000


class Counts:
    """What workers counted, as a test says."""

    workers = 1

    def __init__(self) -> None:
        self.requests = {("orders", "legacy"): 0, ("orders", "new"): 0, ("blog", "new"): 0}
        self.held_off: dict[tuple[str, str], dict[int, str]] = {}

    def sums(self) -> dict[str, int]:
        return {
            f'strangler_requests_total{{area="{area}",backend="{backend}",status="2xx"}}': count
            for (area, backend), count in self.requests.items()
        }

    def beliefs(self) -> dict[tuple[str, str], dict[int, str]]:
        return self.held_off

    def breakers(self) -> dict[str, dict[int, str]]:
        return {}


class Watched:
    """A watch over counts, at hours and seconds of a test's own."""

    def __init__(self, path: Path) -> None:
        self.counts = Counts()
        self.now_s = 0.0
        made = plan(
            route("/orders/**"), route("/blog/**", area="blog"), areas=(area("orders"), area("blog", retired=True))
        )
        self.url = made.backends[0].urls[0]
        self.addresses = [""]
        self.unhealthy: set[str] = set()
        self.watch = WarmthWatch(
            path=path,
            counted=self.counts,
            plan=lambda: made,
            endpoints=lambda spec: [(url, address) for url in spec.urls for address in self.addresses],
            verdict=lambda backend, endpoint: ("unhealthy" if endpoint in self.unhealthy else "unknown", ""),
            hour=lambda: HOUR,
        )

    def traffic(self, *, legacy: int, new: int, times: int = 4) -> None:
        """So many a second, for five seconds at a time."""
        for _ in range(times):
            self.watch.look(self.now_s)
            self.now_s += 5.0
            self.counts.requests["orders", "legacy"] += 5 * legacy
            self.counts.requests["orders", "new"] += 5 * new
            self.counts.requests["blog", "new"] += 500
        self.watch.look(self.now_s)

    def figure(self) -> LegacyWarm:
        found = self.watch.figure()
        assert found is not None
        return found


def test_retired_areas_come_back_to_nobody(tmp_path: Path) -> None:
    watched = Watched(tmp_path / "warm.json")
    watched.traffic(legacy=20, new=30)
    found = watched.figure()
    assert (found.carries_per_s, found.would_get_per_s, found.share_percent) == (20.0, 50.0, 40.0)
    assert (found.carried_most_per_s, found.percent) == (20.0, 40)


def test_the_most_that_was_carried_outlives_control(tmp_path: Path) -> None:
    first = Watched(tmp_path / "warm.json")
    first.traffic(legacy=45, new=0)
    first.watch._remember()
    again = Watched(tmp_path / "warm.json")
    again.traffic(legacy=5, new=45)
    assert again.figure().percent == 90
    (tmp_path / "warm.json").write_text("{")
    assert Watched(tmp_path / "warm.json").figure().carried_most_per_s == 0


def test_an_endpoint_that_workers_hold_off_is_not_counted_on(tmp_path: Path) -> None:
    watched = Watched(tmp_path / "warm.json")
    watched.traffic(legacy=50, new=0)
    assert watched.figure().percent == 100
    watched.counts.held_off = {(Backend.LEGACY.value, watched.url): {0: "returning"}}
    assert watched.figure().healthy == 1
    watched.counts.held_off = {(Backend.LEGACY.value, watched.url): {0: "unreachable"}}
    found = watched.figure()
    assert (found.healthy, found.percent) == (0, 0)


def test_each_address_of_a_name_is_counted_on_by_itself(tmp_path: Path) -> None:
    watched = Watched(tmp_path / "warm.json")
    watched.addresses = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"]
    watched.traffic(legacy=50, new=0)
    watched.unhealthy = {f"{watched.url} 10.0.0.1"}
    watched.counts.held_off = {(Backend.LEGACY.value, f"{watched.url} 10.0.0.2"): {0: "unreachable"}}
    found = watched.figure()
    assert (found.endpoints, found.healthy, found.percent) == (4, 2, 50)


def test_people_read_it_in_one_line() -> None:
    one = {
        "percent": 62,
        "share_percent": 40.0,
        "carries_per_s": 200.0,
        "would_get_per_s": 500.0,
        "carried_most_per_s": 310.0,
        "hours": 24,
        "endpoints": 2,
        "healthy": 2,
        "tripped": 0,
        "in_flight": 10,
        "would_have_in_flight": 25,
        "max_in_flight": 200,
    }
    assert warm_text(one) == (
        "LEGACY WARM 62 %: legacy answers 40 % of traffic now; healthy 2 of 2; carried at most 310 requests/s in the last "
        "24 h, would get about 500; would have about 25 in flight of 200"
    )
    cold = {**one, "percent": None, "share_percent": None, "max_in_flight": None, "tripped": 1}
    assert warm_text(cold) == (
        "legacy: no traffic in the last minute; healthy 2 of 2; its breaker isn't closed on 1 worker; "
        "carried at most 310 requests/s in the last 24 h"
    )
