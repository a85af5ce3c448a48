"""The supervisor's own judgement: who is killed for standing still, and who isn't."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.core.pages import Confirmed, Page
from proxy.supervise.assignment import Settings
from proxy.supervise.children import Child
from proxy.supervise.lock import take_state
from proxy.supervise.mapped import map_page, remove_run
from proxy.supervise.sockets import bind
from proxy.supervise.supervisor import Supervisor


class Recorded(Child):
    """A child that only takes note of what it is told."""

    def __init__(self) -> None:
        super().__init__("worker 0", "nothing")
        self.told: list[signal.Signals] = []

    @property
    def pid(self) -> int:
        return 4711

    def tell(self, number: signal.Signals) -> None:
        self.told.append(number)


class Watched:
    """A supervisor with one worker that never really runs."""

    def __init__(self, supervisor: Supervisor, page: Page[Confirmed]) -> None:
        self.page = page
        self.worker = Recorded()
        self._supervisor = supervisor
        supervisor._workers = [self.worker]

    def ticks(self, count: int) -> None:
        for _ in range(count):
            self._supervisor._watch_heartbeats()


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    settings = Settings(routes="r", flags="f", state=str(tmp_path))
    with contextlib.ExitStack() as stack:
        lock = take_state(settings.state_dir, 0)
        stack.callback(lock.release)
        traffic, ops = (stack.enter_context(sock) for sock in bind("127.0.0.1:0") + bind("127.0.0.1:0"))
        supervisor = Supervisor(settings, lock, [traffic], ops, say=lambda _: None)
        stack.callback(remove_run, settings.state_dir)
        yield Watched(supervisor, Page(map_page(settings.state_dir.worker(0), writable=True), Confirmed))


def test_a_worker_whose_heart_stands_still_for_ten_seconds_of_ticks_is_killed(watched: Watched) -> None:
    watched.page.write(Confirmed(pid=4711, start_id="a"))
    watched.page.beat()
    watched.ticks(100)
    assert watched.worker.told == []
    watched.ticks(1)
    assert watched.worker.told == [signal.SIGKILL]


def test_a_worker_that_beats_now_and_then_lives(watched: Watched) -> None:
    watched.page.write(Confirmed(pid=4711, start_id="a"))
    for _ in range(5):
        watched.ticks(99)
        watched.page.beat()
    assert watched.worker.told == []


def test_a_worker_that_has_not_begun_is_given_more_time(watched: Watched) -> None:
    watched.page.write(Confirmed(pid=4710, start_id="a"))  # its predecessor's note
    watched.ticks(300)
    assert watched.worker.told == []
    watched.ticks(1)
    assert watched.worker.told == [signal.SIGKILL]
