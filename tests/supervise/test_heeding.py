"""A worker heeds what control says of endpoints as long as control says it."""

from __future__ import annotations

from collections.abc import Mapping

from proxy.core.telling.pages import NAMES_PAGE_BYTES, PROBES_PAGE_BYTES, Page, Probed, Resolved
from proxy.supervise.heeded import name_watch, probe_watch
from proxy.supervise.heeding import SILENT_LOOKS


class Watched:
    def __init__(self) -> None:
        self.page = Page(memoryview(bytearray(PROBES_PAGE_BYTES)), Probed)
        self.heard: list[set[str]] = []
        self.watch = probe_watch(self.page, lambda unhealthy: self.heard.append(set(unhealthy)))

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


def test_when_nobody_asks_for_names_any_more_none_has_known_addresses() -> None:
    page = Page(memoryview(bytearray(NAMES_PAGE_BYTES)), Resolved)
    heard: list[Mapping[str, tuple[str, ...]]] = []
    watch = name_watch(page, heard.append)
    page.write(Resolved(names=(("shop", "10.0.0.1", "::1"), ("old", "10.0.0.2"))))
    for _ in range(SILENT_LOOKS + 2):
        watch.look()
    assert heard == [{"shop": ("10.0.0.1", "::1"), "old": ("10.0.0.2",)}, {}]
