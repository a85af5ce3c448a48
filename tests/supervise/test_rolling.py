"""Which worker is replaced next, when the former one may go, and when a successor is given up."""

from __future__ import annotations

from proxy.supervise.rolling import GIVE_UP_S, Do, Rolling, Step


class Group:
    """Slots with processes that do as they are told."""

    def __init__(self, sockets: int) -> None:
        self.rolling = Rolling(sockets)
        self.pids = [100 + slot for slot in range(sockets)] + [0]
        self.serving = set(range(sockets))
        self.now_s = 0.0

    def step(self) -> Step | None:
        step = self.rolling.step(self.pids, self.serving.__contains__, self.now_s)
        if step is not None and step.do is Do.START:
            self.pids[step.slot] = 200 + step.slot
        return step

    def serve(self, slot: int) -> None:
        self.serving.add(slot)

    def end(self, slot: int) -> None:
        self.pids[slot] = 0
        self.serving.discard(slot)

    def replace_one(self) -> tuple[int, int]:
        """The former's slot and the successor's."""
        start = self.step()
        assert start is not None
        assert start.do is Do.START
        assert self.step() is None, "nobody goes before the successor serves"
        self.serve(start.slot)
        retire = self.step()
        assert retire is not None
        assert retire.do is Do.RETIRE
        return retire.slot, start.slot


def test_one_after_another_each_on_its_predecessors_socket() -> None:
    group = Group(2)
    group.rolling.begin()
    assert group.replace_one() == (0, 2)
    assert group.rolling.sockets == [None, 1, 0]
    assert group.step() is None, "the next waits until the former has ended: there is no other free slot"
    group.end(0)
    assert group.replace_one() == (1, 0)
    assert group.rolling.sockets == [1, None, 0]
    assert not group.rolling.under_way
    group.end(1)
    assert group.step() is None


def test_nothing_happens_unasked() -> None:
    assert Group(3).step() is None


def test_a_successor_that_can_not_serve_is_given_up_and_the_rest_stay() -> None:
    group = Group(2)
    group.rolling.begin()
    assert group.step() == Step(Do.START, 2)
    group.now_s = GIVE_UP_S - 0.1
    assert group.step() is None
    group.now_s = GIVE_UP_S
    assert group.step() == Step(Do.ABANDON, 2)
    assert group.rolling.sockets == [0, 1, None]
    assert not group.rolling.under_way
    assert group.step() is None


def test_a_worker_that_is_dead_at_its_turn_is_passed_over() -> None:
    group = Group(2)
    group.rolling.begin()
    group.end(0)
    assert group.replace_one() == (1, 2)
    assert group.rolling.sockets == [0, None, 1]


def test_asked_again_meanwhile_everybody_is_replaced_again() -> None:
    group = Group(2)
    group.rolling.begin()
    assert group.step() == Step(Do.START, 2)
    group.rolling.begin()
    group.serve(2)
    assert group.step() == Step(Do.RETIRE, 0)
    group.end(0)
    assert group.replace_one() == (1, 0)
    group.end(1)
    assert group.replace_one() == (2, 1), "the first successor, too"
    assert not group.rolling.under_way
