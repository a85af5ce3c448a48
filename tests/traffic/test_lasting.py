"""Whoever holds many tunnels goes on answering while a rollback judges them."""

from __future__ import annotations

import asyncio

from proxy.core.covering import NOTHING_ROLLED_BACK, LiveEntry, LiveLatch, Under
from proxy.core.decision import Decision, decide
from proxy.core.latch import Entry, Scope
from proxy.core.message import read_request_head
from proxy.traffic.lasting import Lasting
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
