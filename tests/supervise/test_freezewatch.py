"""A worker follows the file of freezes, whatever becomes of control, the file or the clocks."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.core.layout import StateDir
from proxy.core.switches.bounded import encode_several
from proxy.core.switches.freeze import Freeze, Freezes, LiveFreeze
from proxy.core.switches.latch import Scope
from proxy.core.telling.pages import PAGE_BYTES, Confirmed, Page
from proxy.supervise.boot import boot_id
from proxy.supervise.freezewatch import FreezeWatch
from proxy.supervise.saying import Saying
from tests.waiting import until_async

pytestmark = pytest.mark.anyio


def thrown(name: str, *, for_s: float = 60.0, boot: str = "this") -> Freeze:
    return Freeze(
        id=name,
        scope=Scope(area=name),
        by="ann",
        reason="-",
        at="-",
        until="2001-01-01T00:00:00Z",
        until_s=time.monotonic() + for_s,
        boot=boot,
    )


class Worker:
    def __init__(self, root: Path) -> None:
        self.state = StateDir(root)
        self.page = Page(memoryview(bytearray(PAGE_BYTES)), Confirmed)
        self.in_force: tuple[LiveFreeze, ...] = ()
        self.writes = 0
        self.watch = FreezeWatch(
            state=self.state,
            boot="this",
            saying=Saying(self.page, "x"),
            changed=self.changed,
            in_flight=lambda: (tuple(self.writes for _ in self.in_force), tuple(0 for _ in self.in_force)),
        )

    def changed(self, live: tuple[LiveFreeze, ...]) -> None:
        self.in_force = live

    def write(self, epoch: int, *freezes: Freeze) -> None:
        fresh = self.state.root / "fresh"
        fresh.write_bytes(encode_several(Freezes(epoch=epoch, entries=freezes)))
        fresh.replace(self.state.freezes)

    def said(self) -> tuple[int, tuple[int, ...]]:
        note = self.page.read()
        return (0, ()) if note is None else (note.freeze_epoch, note.writes)

    def names(self) -> list[str]:
        return [live.freeze.id for live in self.in_force]

    async def looking(self, ask: Callable[[], bool], what: str) -> None:
        """Look until something is so."""

        def there() -> bool:
            self.watch.look()
            return ask()

        await until_async(there, what)

    async def looked(self, epoch: int) -> None:
        await self.looking(lambda: self.said()[0] == epoch, f"epoch {epoch}")


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    return Worker(tmp_path)


def test_what_stands_at_the_start_is_in_force_before_the_first_request(worker: Worker) -> None:
    worker.write(4, thrown("orders"))
    worker.watch.start()
    assert worker.names() == ["orders"]
    assert worker.said() == (4, (0,))


async def test_a_newer_epoch_is_obeyed_and_confirmed_with_what_is_in_flight(worker: Worker) -> None:
    worker.watch.start()
    worker.writes = 3
    worker.write(1, thrown("orders"), thrown("over", for_s=-1.0))
    await worker.looked(1)
    assert worker.names() == ["orders"]
    assert worker.said() == (1, (3, 0))
    worker.writes = 0
    await worker.looking(lambda: worker.said() == (1, (0, 0)), "the count is told again")
    worker.write(2)
    await worker.looked(2)
    assert worker.names() == []


@pytest.mark.parametrize("text", [None, b"{", b'{"version": 9, "epoch": 9, "entries": []}', b""])
async def test_a_file_that_is_gone_or_can_not_be_read_ends_nothing(worker: Worker, text: bytes | None) -> None:
    worker.write(1, thrown("orders"))
    worker.watch.start()
    if text is None:
        worker.state.freezes.unlink()
    else:
        worker.state.freezes.write_bytes(text)
    seen = worker.watch._file
    await worker.looking(lambda: worker.watch._file != seen, "the file is looked at")
    assert worker.names() == ["orders"]


async def test_a_lower_epoch_changes_nothing(worker: Worker) -> None:
    worker.write(5, thrown("orders"))
    worker.watch.start()
    seen = worker.watch._file
    worker.write(4)
    await worker.looking(lambda: worker.watch._file != seen, "the file is looked at")
    assert worker.names() == ["orders"]
    assert worker.said()[0] == 5


async def test_it_ends_by_the_workers_own_clock(worker: Worker) -> None:
    worker.write(1, thrown("orders", for_s=0.2))
    worker.watch.start()
    assert worker.names() == ["orders"]
    await worker.looking(lambda: worker.names() == [], "the end of its time")
    assert worker.said() == (1, (0,))


def test_one_of_another_run_of_the_machine_is_judged_by_the_wall_clock(worker: Worker) -> None:
    worker.write(1, thrown("orders", boot="before"))
    worker.watch.start()
    assert worker.names() == []


def test_the_run_of_the_machine_is_told_the_same_twice_where_the_system_tells_it() -> None:
    if Path("/proc/sys/kernel/random/boot_id").exists():
        assert boot_id() == boot_id()
    assert boot_id()
