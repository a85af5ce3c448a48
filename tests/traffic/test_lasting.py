"""Whoever holds many tunnels goes on answering while a rollback judges them."""

from __future__ import annotations

import asyncio
import itertools

from proxy.core.deciding.decision import Decision, decide
from proxy.core.http.message import read_request_head
from proxy.core.switches.covering import NOTHING_ROLLED_BACK, LiveEntry, LiveLatch, Under
from proxy.core.switches.latch import Entry, Scope
from proxy.traffic.exchanges.lasting import Lasting
from tests.traffic.wire import a_plan, build
from tests.waiting import until_async

GENERATION = build(a_plan("http://127.0.0.1:1", "http://127.0.0.1:2", rollback_drain_s=0.001))
AREA = Entry(id="r1", scope=Scope(area="moved"), by="me", reason="smells", at="now")
MANY = 20_000


class Held:
    """Stands for a tunnel."""

    peer = "127.0.0.1"

    def __init__(self, target: bytes) -> None:
        head = read_request_head(b"GET %b HTTP/1.1\r\nHost: shop" % target)
        self.decision: Decision | None = decide(GENERATION, head, peer_trusted=False, latch=NOTHING_ROLLED_BACK)
        self.ends: list[str] = []
        self.breaks = False

    def recalled(self) -> None:
        if self.breaks:
            raise RuntimeError
        self.ends.append("recalled")

    def drained(self) -> None:
        if self.breaks:
            raise RuntimeError
        self.ends.append("drained")

    def failed(self) -> None:
        self.ends.append("failed")


def test_many_are_judged_over_many_turns_of_the_loop() -> None:
    async def go() -> None:
        turns = 0

        def turn() -> None:
            nonlocal turns
            turns += 1
            asyncio.get_running_loop().call_soon(turn)

        latch = LiveLatch(1, [LiveEntry(AREA, Under.RUNNING)])
        lasting = Lasting(lambda: latch, lambda: GENERATION)
        kept = Held(b"/")
        lasting.held.update(Held(b"/new/1") for _ in range(MANY))
        lasting.held.add(kept)
        turn()
        lasting.look()
        while lasting._unjudged:
            await asyncio.sleep(0)
        assert turns >= 3
        everything = list(lasting.held)
        await until_async(
            lambda: sum(bool(one.ends) for one in everything if isinstance(one, Held)) == MANY, "all ended"
        )
        assert kept.ends == []

    asyncio.run(go())


def test_one_that_breaks_ends_alone() -> None:
    async def go() -> None:
        latch = NOTHING_ROLLED_BACK
        lasting = Lasting(lambda: latch, lambda: GENERATION)
        broken, sound = Held(b"/new/1"), Held(b"/new/2")
        broken.breaks = True
        for one in (broken, sound):
            lasting.add(one)
        lasting.look()
        assert not lasting._unjudged, "there is nothing to judge"
        latch = LiveLatch(1, [LiveEntry(AREA, Under.RUNNING)])
        lasting.look()
        await until_async(lambda: broken.ends and sound.ends, "both ended")
        assert (broken.ends, sound.ends) == (["failed"], ["recalled"])

    asyncio.run(go())


def test_what_ends_by_itself_is_recalled_no_more() -> None:
    async def go() -> None:
        latch = LiveLatch(1, [LiveEntry(AREA, Under.RUNNING)])
        lasting = Lasting(lambda: latch, lambda: GENERATION)
        first, second = Held(b"/new/1"), Held(b"/new/2")
        for one in (first, second):
            lasting.add(one)
        lasting.discard(first)
        await until_async(lambda: second.ends, "the other one ended")
        assert first.ends == []
        lasting.discard(second)
        assert not lasting.held
        assert not lasting._timers

    asyncio.run(go())


def test_a_drain_lets_go_of_many_at_moments_that_are_spread_and_of_none_at_its_beginning() -> None:
    async def go() -> None:
        lasting = Lasting(lambda: NOTHING_ROLLED_BACK, lambda: GENERATION)
        lasting.held.update(Held(b"/") for _ in range(MANY))
        began_s = asyncio.get_running_loop().time()
        lasting.drain(3600)
        late = Held(b"/new/1")
        lasting.add(late)
        await until_async(lambda: len(lasting._partings) == MANY + 1, "each has its moment")
        due_s = sorted(timer.when() - began_s for timer in lasting._partings.values())
        assert 1200 <= due_s[0] < 1260
        assert 3180 < due_s[-1] <= 3300, "the last are gone before the drain is over"
        assert max(later - sooner for sooner, later in itertools.pairwise(due_s)) < 60
        lasting.discard(late)
        assert len(lasting._partings) == MANY
        lasting.close()
        assert not lasting._partings

    asyncio.run(go())


def test_a_drain_ends_all_of_them_and_one_that_breaks_alone() -> None:
    async def go() -> None:
        lasting = Lasting(lambda: NOTHING_ROLLED_BACK, lambda: GENERATION)
        broken, sound = Held(b"/"), Held(b"/new/2")
        broken.breaks = True
        for one in (broken, sound):
            lasting.add(one)
        lasting.drain(0.01)
        await until_async(lambda: broken.ends and sound.ends, "both ended")
        assert (broken.ends, sound.ends) == (["failed"], ["drained"])

    asyncio.run(go())


def test_a_rollback_recalls_what_it_covers_in_the_middle_of_a_drain() -> None:
    async def go() -> None:
        latch = NOTHING_ROLLED_BACK
        lasting = Lasting(lambda: latch, lambda: GENERATION)
        covered, kept = Held(b"/new/1"), Held(b"/")
        for one in (covered, kept):
            lasting.add(one)
        lasting.drain(3600)
        latch = LiveLatch(1, [LiveEntry(AREA, Under.RUNNING)])
        lasting.look()
        await until_async(lambda: covered.ends, "recalled")
        assert (covered.ends, kept.ends) == (["recalled"], [])
        lasting.close()

    asyncio.run(go())
