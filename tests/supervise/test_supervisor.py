"""The supervisor's own judgement: who is killed for standing still, and who isn't."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.core.layout import StateDir
from proxy.core.switches.latch import Held, Latch, encode_held
from proxy.core.telling.pages import Confirmed, Page, TextPage
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
        self.code: int | None = None

    @property
    def pid(self) -> int:
        return 4711

    def reap(self, now_s: float) -> int | None:
        return self.code

    def tell(self, number: signal.Signals) -> None:
        self.told.append(number)


class Watched:
    """A supervisor with one worker that never really runs."""

    def __init__(self, supervisor: Supervisor, state: StateDir, page: Page[Confirmed]) -> None:
        self.page = page
        self.latch = TextPage(map_page(state.latch_page, writable=True))
        self.worker = Recorded()
        self._supervisor = supervisor
        supervisor._workers[0] = self.worker

    def ticks(self, count: int) -> None:
        for _ in range(count):
            self._supervisor._watch_heartbeats()

    def reap(self, now_s: float) -> None:
        self._supervisor._reap(now_s)


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    settings = Settings(routes="r", flags="f", state=str(tmp_path))
    with contextlib.ExitStack() as stack:
        lock = take_state(settings.state_dir, 0)
        stack.callback(lock.release)
        traffic, ops = (stack.enter_context(sock) for sock in bind("127.0.0.1:0") + bind("127.0.0.1:0"))
        supervisor = Supervisor(settings, lock, [traffic], ops, say=lambda _: None)
        stack.callback(remove_run, settings.state_dir)
        yield Watched(
            supervisor, settings.state_dir, Page(map_page(settings.state_dir.worker(0), writable=True), Confirmed)
        )


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


def test_a_worker_that_stands_still_while_the_latch_waits_for_it_is_killed_after_a_second(watched: Watched) -> None:
    watched.page.write(Confirmed(pid=4711, start_id="a", epoch=3))
    watched.page.beat()
    watched.latch.write_text(encode_held(Held(latch=Latch(epoch=4))))
    watched.ticks(10)
    assert watched.worker.told == []
    watched.ticks(1)
    assert watched.worker.told == [signal.SIGKILL]


def test_a_worker_that_has_confirmed_the_latch_is_given_its_ten_seconds(watched: Watched) -> None:
    watched.page.write(Confirmed(pid=4711, start_id="a", epoch=4))
    watched.page.beat()
    watched.latch.write_text(encode_held(Held(latch=Latch(epoch=4))))
    watched.ticks(100)
    assert watched.worker.told == []


def test_a_worker_that_beats_is_not_killed_for_an_epoch_it_has_not_confirmed(watched: Watched) -> None:
    watched.page.write(Confirmed(pid=4711, start_id="a", epoch=3))
    watched.latch.write_text(encode_held(Held(latch=Latch(epoch=4))))
    for _ in range(5):
        watched.ticks(9)
        watched.page.beat()
    assert watched.worker.told == []


@pytest.mark.parametrize(("pause_s", "when"), [(0.0, "at once"), (0.4, "in 0.4 s")])
def test_when_a_child_that_ended_is_started_again_is_said_as_people_say_it(
    watched: Watched, caplog: pytest.LogCaptureFixture, pause_s: float, when: str
) -> None:
    watched.worker.code = -signal.SIGKILL
    watched.worker.due_at_s = 100.0 + pause_s
    watched.reap(100.0)
    assert caplog.messages == [f"worker 0 ended (SIGKILL) and is started again {when}"]
