"""A worker follows the board, whatever becomes of control."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path

import pytest

from proxy.core.generation import Generation
from proxy.core.layout import StateDir
from proxy.core.plan import Plan, Segment, TableRef, encode_plan, plan_name
from proxy.core.table import build_table
from proxy.core.telling.pages import PAGE_BYTES, Confirmed, Page, Posted
from proxy.supervise.building import Builder
from proxy.supervise.follow import Follower, NothingToRun
from proxy.supervise.saying import Saying
from tests.core.plans import plan, route
from tests.waiting import until_async

pytestmark = pytest.mark.anyio


class Node:
    """A state directory, a board, and one worker's page."""

    def __init__(self, root: Path) -> None:
        self.state = StateDir(root)
        self.state.plans.mkdir()
        self.state.tables.mkdir()
        self.board = Page(memoryview(bytearray(PAGE_BYTES)), Posted)
        self.page = Page(memoryview(bytearray(PAGE_BYTES)), Confirmed)
        self.adopted: list[Generation] = []

    def write(self, made: Plan) -> str:
        text = encode_plan(made)
        self.state.plan(plan_name(text)).write_bytes(text)
        return plan_name(text)

    def post(self, generation: int, name: str) -> None:
        self.board.write(Posted(generation=generation, plan=name))

    async def adopt(self, generation: Generation) -> Generation | None:
        self.adopted.append(generation)
        return None

    def said(self) -> Confirmed:
        return self.page.read() or Confirmed(pid=0, start_id="")

    def follower(self) -> Follower:
        return Follower(
            board=self.board, builder=Builder(self.state), saying=Saying(self.page, "abc"), adopt=self.adopt
        )

    @contextlib.asynccontextmanager
    async def worker(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.follower().run())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def confirmed(self, generation: int) -> None:
        await until_async(lambda: self.said().generation == generation, f"generation {generation} confirmed")

    async def refused(self, generation: int) -> str:
        await until_async(lambda: self.said().refused == generation, f"generation {generation} refused")
        return self.said().trouble


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


async def test_a_worker_runs_what_the_board_says_and_confirms_it(node: Node) -> None:
    name = node.write(plan(route("/orders")))
    node.post(1, name)
    async with node.worker():
        await node.confirmed(1)
        assert [one.number for one in node.adopted] == [1]
        assert node.said().plan == name
        node.post(2, node.write(plan(route("/orders"), route("/search", area="search"))))
        await node.confirmed(2)
    assert set(node.adopted[1].areas) == {"orders", "search"}


async def test_the_same_plan_under_a_new_number_is_a_new_generation(node: Node) -> None:
    name = node.write(plan(route("/orders")))
    async with node.worker():
        for number in (1, 2):
            node.post(number, name)
            await node.confirmed(number)


async def test_a_worker_without_a_plan_beats_and_waits(node: Node) -> None:
    async with node.worker():
        beats = node.page.beats
        await until_async(lambda: node.page.beats > beats + 2, "heartbeats")
        assert node.said().generation == 0
        assert node.adopted == []


async def test_a_damaged_plan_leaves_the_running_one_in_place_and_says_why(node: Node) -> None:
    async with node.worker():
        node.post(1, node.write(plan(route("/orders"))))
        await node.confirmed(1)
        other = node.write(plan(route("/search", area="search")))
        path = node.state.plan(other)
        path.write_bytes(path.read_bytes().replace(b"/search", b"/saerch"))
        node.post(2, other)
        assert "damaged" in await node.refused(2)
        assert node.said().generation == 1
        node.post(3, node.write(plan(route("/help", area="help"))))
        await node.confirmed(3)
        assert node.said().trouble == ""


async def test_a_plan_that_is_not_there_or_of_another_format_is_refused(node: Node) -> None:
    async with node.worker():
        node.post(1, node.write(plan(route("/orders"))))
        await node.confirmed(1)
        node.post(2, "ab" * 32)
        assert "No such file" in await node.refused(2)
        text = encode_plan(plan(route("/orders"))).replace(b'"format":1', b'"format":99')
        node.state.plan(plan_name(text)).write_bytes(text)
        node.post(3, plan_name(text))
        assert await node.refused(3)
        assert len(node.adopted) == 1


async def test_a_plan_that_was_refused_is_tried_again_without_being_posted_again(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    async with node.worker():
        node.post(1, node.write(plan(route("/orders"))))
        await node.confirmed(1)
        other = plan(route("/search", area="search"))
        path = node.state.plan(plan_name(encode_plan(other)))
        node.post(2, plan_name(encode_plan(other)))
        await node.refused(2)
        versions = node.page.version
        await until_async(lambda: node.page.version > versions + 2, "it is tried again")
        node.write(other)
        await node.confirmed(2)
    assert node.said().trouble == ""
    assert caplog.text.count(str(path)) == 1, "it is told once"


async def test_a_worker_that_has_nothing_to_run_says_why_and_ends(node: Node) -> None:
    node.post(1, "ab" * 32)
    follower = node.follower()
    with pytest.raises(ExceptionGroup) as caught:
        await follower.run()
    assert caught.group_contains(NothingToRun)
    assert node.said().refused == 1
    assert "No such file" in node.said().trouble


async def test_trouble_of_any_characters_fits_on_the_page(node: Node) -> None:
    saying = Saying(node.page, "abc")
    for character in ("x", "\x00", "\U0001f600", '"'):
        saying.say(refused=1, trouble=character * 5000, unreadable=character * 5000)
        assert set(node.said().trouble) == {character}
        assert len(node.said().trouble) >= 80


async def test_tables_are_mapped_and_checked_before_they_are_used(node: Node) -> None:
    table = build_table([(b"acme", b"")])
    digest = sha256(table).hexdigest()
    made = plan(
        route("/orders"),
        tables=(TableRef(digest=digest, file="pilots.txt", entries=1),),
        segments=(Segment(name="pilots", place="routes.yaml:5:3", accounts=digest),),
    )
    node.state.table(digest).write_bytes(table.replace(b"acme", b"evil"))
    async with node.worker():
        node.post(1, node.write(plan(route("/orders"))))
        await node.confirmed(1)
        node.post(2, node.write(made))
        assert "damaged" in await node.refused(2)
        node.state.table(digest).unlink()
        node.state.table(digest).write_bytes(table)
        await node.confirmed(2)


async def test_building_a_large_plan_lets_other_tasks_run_between_slices(node: Node) -> None:
    node.post(1, node.write(plan(*(route(f"/orders/{number}/{{id}}") for number in range(2000)))))
    turns = 0
    async with node.worker():
        while not node.adopted:
            turns += 1
            await asyncio.sleep(0)
    assert turns > 10
