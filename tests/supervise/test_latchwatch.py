"""A worker obeys the latch, whatever becomes of control, of the file, and of the plans that rollbacks were thrown under."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from proxy.core.generation import Generation
from proxy.core.layout import StateDir
from proxy.core.plan import Plan, encode_plan, plan_name
from proxy.core.switches.covering import LiveLatch, Under
from proxy.core.switches.latch import Entry, Held, Latch, Scope, encode_held, encode_latch
from proxy.core.telling.pages import LATCH_PAGE_BYTES, PAGE_BYTES, Confirmed, Page, Posted, TextPage
from proxy.supervise.building import Builder
from proxy.supervise.follow import Follower
from proxy.supervise.latchwatch import LatchWatch
from proxy.supervise.saying import Saying
from proxy.supervise.ticking import look_at
from tests.core.plans import plan, route
from tests.waiting import until_async

pytestmark = pytest.mark.anyio


def entry(name: str, under: str | None = None, **scope: str) -> Entry:
    return Entry(id=name, scope=Scope(**scope), by="ann", reason="smells", at="2026-11-22T17:00:00Z", plan=under)


def latch(epoch: int, *entries: Entry) -> Latch:
    return Latch(epoch=epoch, entries=entries)


class Worker:
    """One worker without traffic: it follows the board and watches the latch."""

    def __init__(self, root: Path) -> None:
        self.state = StateDir(root)
        self.state.plans.mkdir()
        self.state.tables.mkdir()
        self.board = Page(memoryview(bytearray(PAGE_BYTES)), Posted)
        self.page = TextPage(memoryview(bytearray(LATCH_PAGE_BYTES)))
        self.own = Page(memoryview(bytearray(PAGE_BYTES)), Confirmed)
        self.running: Generation
        self.watch: LatchWatch

    @contextlib.asynccontextmanager
    async def runs(self) -> AsyncIterator[None]:
        saying, builder = Saying(self.own, "abc"), Builder(self.state)
        self.watch = LatchWatch(state=self.state, page=self.page, builder=builder, saying=saying)
        self.watch.start()
        follower = Follower(board=self.board, builder=builder, saying=saying, adopt=self._adopt)
        tasks = [asyncio.create_task(one) for one in (follower.run(), look_at(self.watch))]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def _adopt(self, generation: Generation) -> Generation | None:
        self.running = generation
        return self.watch.adopt(generation)

    def write(self, made: Plan) -> str:
        text = encode_plan(made)
        self.state.plan(plan_name(text)).write_bytes(text)
        return plan_name(text)

    async def run_plan(self, number: int, made: Plan) -> str:
        name = self.write(made)
        self.board.write(Posted(generation=number, plan=name))
        await until_async(lambda: self.said().generation == number, f"generation {number}")
        return name

    def said(self) -> Confirmed:
        return self.own.read() or Confirmed(pid=0, start_id="")

    @property
    def live(self) -> LiveLatch:
        return self.watch.live

    def under(self) -> Generation | Under:
        """What the first entry is judged by."""
        return self.live.entries[0].under

    def file(self, text: bytes | Latch) -> None:
        other = self.state.root / "other"
        other.write_bytes(encode_latch(text) if isinstance(text, Latch) else text)
        other.replace(self.state.latch)

    def post(self, posted: Latch) -> None:
        self.page.write_text(encode_held(Held(latch=posted)))

    async def confirms(self, epoch: int) -> None:
        await until_async(lambda: self.said().epoch == epoch, f"epoch {epoch} confirmed")

    async def holds(self, *ids: str) -> None:
        await until_async(lambda: self.ids() == ids, f"{ids}, not {self.ids()}")

    def ids(self) -> tuple[str, ...]:
        return tuple(live.entry.id for live in self.live.entries)

    async def looks(self) -> None:
        """Several looks at everything have passed."""
        beats = self.own.beats
        await until_async(lambda: self.own.beats >= beats + 4, "some looks")


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    return Worker(tmp_path)


async def test_a_worker_obeys_the_file_from_its_start_and_confirms_its_epoch(worker: Worker) -> None:
    worker.file(latch(4, entry("r4", area="orders")))
    async with worker.runs():
        assert worker.ids() == ("r4",)
        assert worker.said().epoch == 4


@pytest.mark.parametrize("put", [Worker.file, Worker.post])
async def test_a_newer_epoch_of_file_or_page_replaces_the_whole_latch(
    worker: Worker, put: Callable[[Worker, Latch], None]
) -> None:
    async with worker.runs():
        put(worker, latch(1, entry("r1")))
        await worker.confirms(1)
        assert worker.ids() == ("r1",)
        put(worker, latch(2, entry("r2", area="orders")))
        await worker.confirms(2)
        assert worker.ids() == ("r2",)


async def test_a_file_that_is_gone_or_of_a_lower_epoch_lifts_nothing(worker: Worker) -> None:
    worker.file(latch(5, entry("r5")))
    async with worker.runs():
        worker.state.latch.unlink()
        await worker.looks()
        assert (worker.ids(), worker.said().epoch) == (("r5",), 5)
        worker.file(latch(4))
        await worker.looks()
        assert worker.ids() == ("r5",)
        worker.file(latch(6))
        await worker.holds()


async def test_the_same_epoch_with_other_entries_adds_and_takes_nothing_away(worker: Worker) -> None:
    worker.post(latch(5, entry("r5", area="orders")))
    async with worker.runs():
        worker.file(latch(5, entry("mine", area="help")))
        await worker.holds("r5", "mine")


@pytest.mark.parametrize("text", [b"", b"{", b'{"version": 2, "epoch": 9, "entries": []}', b" " * (1 << 21)])
async def test_an_unreadable_file_rolls_back_everything_until_it_can_be_read(worker: Worker, text: bytes) -> None:
    worker.file(latch(3, entry("r3", area="orders")))
    async with worker.runs():
        worker.file(text)
        await worker.holds("r3", "unreadable")
        assert str(worker.state.latch) in worker.said().unreadable
        worker.file(latch(3, entry("r3", area="orders")))
        await worker.holds("r3")
        assert worker.said().unreadable == ""


async def test_an_unreadable_file_that_is_removed_lifts_nothing_before_a_newer_epoch(worker: Worker) -> None:
    worker.file(b"{")
    async with worker.runs():
        assert worker.ids() == ("unreadable",)
        worker.state.latch.unlink()
        await worker.looks()
        assert worker.ids() == ("unreadable",)
        worker.post(latch(1))
        await worker.holds()


async def test_a_directory_in_the_place_of_the_file_is_unreadable(worker: Worker) -> None:
    async with worker.runs():
        worker.state.latch.mkdir()
        await worker.holds("unreadable")


async def test_rollback_stays_after_its_file_is_removed_until_an_entry_stood_for_it(worker: Worker) -> None:
    async with worker.runs():
        worker.state.rollback.touch()
        await worker.holds("ROLLBACK")
        assert worker.said().sighting
        worker.state.rollback.unlink()
        worker.post(latch(1, entry("r1", area="orders")))
        await worker.confirms(1)
        assert worker.ids() == ("r1", "ROLLBACK"), "whoever wrote that did not know of it"
        worker.post(latch(2, entry("r1", area="orders"), entry("r2")))
        await worker.holds("r1", "r2")
        assert not worker.said().sighting
        worker.post(latch(3))
        await worker.holds()


async def test_an_entry_goes_on_being_judged_by_the_plan_it_was_thrown_under(worker: Worker) -> None:
    async with worker.runs():
        former = await worker.run_plan(1, plan(route("/orders")))
        worker.post(latch(1, entry("r1", former, area="orders")))
        await worker.confirms(1)
        running = worker.running
        await worker.run_plan(2, plan(route("/search", area="search")))
        await worker.looks()
        assert worker.under() is running
        assert running.routes, "it was not taken apart"
        worker.post(latch(2))
        await until_async(lambda: not running.routes, "taken apart after the release")


async def test_a_plan_that_no_longer_runs_is_built_in_the_background(worker: Worker) -> None:
    former = worker.write(plan(route("/orders")))
    worker.file(latch(1, entry("r1", former, area="orders")))
    async with worker.runs():
        assert not worker.watch.settled.is_set()
        assert worker.under() is Under.LOST, "until it is there, the entry covers everything"
        await worker.run_plan(1, plan(route("/search", area="search")))
        await asyncio.wait_for(worker.watch.settled.wait(), 20)
        under = worker.under()
        assert isinstance(under, Generation)
        assert under.plan == former


async def test_a_plan_that_is_lost_makes_its_entries_cover_everything(
    worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    worker.file(latch(1, entry("r1", "ab" * 32, area="orders")))
    async with worker.runs():
        await worker.run_plan(1, plan(route("/search", area="search")))
        await asyncio.wait_for(worker.watch.settled.wait(), 20)
        assert worker.under() is Under.LOST
    assert "cover everything" in caplog.text


async def test_the_plan_an_entry_waits_for_may_be_the_one_that_comes_to_run(worker: Worker) -> None:
    made = plan(route("/orders"))
    worker.file(latch(1, entry("r1", worker.write(made), area="orders")))
    async with worker.runs():
        await worker.run_plan(1, made)
        await asyncio.wait_for(worker.watch.settled.wait(), 20)
        assert worker.under() is worker.running
