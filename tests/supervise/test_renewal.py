"""Control is replaced before the workers are, and they stay where they are if it can't be."""

from __future__ import annotations

import signal

import pytest

from proxy.supervise.children import Child
from proxy.supervise.handover import Handover
from proxy.supervise.judging import tell_end
from proxy.supervise.renewal import Renewal


class Control(Child):
    """Takes note of what it is told."""

    def __init__(self) -> None:
        super().__init__("control", "nothing")
        self.now = 4711
        self.told: list[signal.Signals] = []

    @property
    def pid(self) -> int:
        return self.now

    def tell(self, number: signal.Signals) -> None:
        self.told.append(number)


class Board:
    """Beats."""

    beats = 7


def nothing() -> Handover:
    raise AssertionError("nobody is handed anything here")


def renewed() -> tuple[Renewal, Control, Board]:
    control, board = Control(), Board()
    renewal = Renewal(nothing, control, lambda: board.beats)
    renewal.resume(100.0)
    return renewal, control, board


def test_workers_follow_once_another_control_serves() -> None:
    renewal, control, board = renewed()
    assert control.told == [signal.SIGTERM]
    board.beats = 8  # the former's last reading
    assert not renewal.step(101.0, busy=False)
    board.beats = 7
    control.now = 4712
    assert not renewal.step(102.0, busy=False)
    board.beats = 8
    assert renewal.step(103.0, busy=False)
    assert not renewal.step(104.0, busy=False), "once"


def test_only_the_end_that_was_asked_for_is_an_expected_one() -> None:
    renewal, _, _ = renewed()
    assert renewal.expected_end()
    assert not renewal.expected_end(), "its successor's isn't"


@pytest.mark.parametrize(
    ("code", "planned", "told"),
    [
        (0, True, ("INFO", "control has ended for its successor, which starts now")),
        (0, False, ("WARNING", "control ended (exit code 0) and is started again at once")),
        (-signal.SIGKILL, True, ("WARNING", "control ended (SIGKILL) and is started again at once")),
    ],
)
def test_an_end_in_order_that_was_planned_is_no_reason_to_look(
    caplog: pytest.LogCaptureFixture, code: int, planned: bool, told: tuple[str, str]
) -> None:
    caplog.set_level("INFO")
    tell_end("control", code, 0.0, planned=planned)
    assert [(one.levelname, one.getMessage()) for one in caplog.records] == [told]


def test_a_control_that_does_not_end_is_killed() -> None:
    renewal, control, _ = renewed()
    renewal.step(109.9, busy=False)
    assert control.told == [signal.SIGTERM]
    renewal.step(110.0, busy=False)
    assert control.told == [signal.SIGTERM, signal.SIGKILL]


def test_without_another_control_the_workers_stay(caplog: pytest.LogCaptureFixture) -> None:
    renewal, control, board = renewed()
    control.now = 0
    assert not renewal.step(220.0, busy=False)
    assert "the workers stay" in caplog.text
    board.beats = 8
    control.now = 4712
    assert not renewal.step(221.0, busy=False)
