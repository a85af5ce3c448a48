"""A worker heeds probes as long as somebody probes."""

from __future__ import annotations

from proxy.core.pages import PROBES_PAGE_BYTES, Page, Probed
from proxy.supervise.probewatch import SILENT_LOOKS, ProbeWatch


class Watched:
    def __init__(self) -> None:
        self.page = Page(memoryview(bytearray(PROBES_PAGE_BYTES)), Probed)
        self.heard: list[set[str]] = []
        self.watch = ProbeWatch(self.page, lambda unhealthy: self.heard.append(set(unhealthy)))

    def looks(self, times: int) -> None:
        for _ in range(times):
            self.watch.look()


def test_only_changes_are_told() -> None:
    watched = Watched()
    watched.looks(3)
    watched.page.write(Probed(unhealthy=("new http://a:1",)))
    watched.looks(3)
    watched.page.write(Probed(unhealthy=("new http://a:1",)))
    watched.looks(3)
    watched.page.write(Probed())
    watched.looks(3)
    assert watched.heard == [{"new http://a:1"}, set()]


def test_when_nobody_probes_any_more_all_count_as_healthy_until_somebody_does() -> None:
    watched = Watched()
    watched.page.write(Probed(unhealthy=("new http://a:1",)))
    for _ in range(3):
        watched.page.beat()
        watched.looks(SILENT_LOOKS)
    assert watched.heard == [{"new http://a:1"}]
    watched.looks(SILENT_LOOKS)
    assert watched.heard[1:] == [set()]
    watched.page.beat()
    watched.looks(1)
    assert watched.heard[2:] == [{"new http://a:1"}]
