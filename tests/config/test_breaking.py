"""What `breaker` and `queue` of a backend become."""

from __future__ import annotations

import pytest

from proxy.config.compile import compile_files
from proxy.core.care.reaching import BreakerCare, QueueCare
from proxy.core.plan import BackendSpec
from tests.config import base

HEAD = 'backends:\n  legacy: {url: "http://legacy.internal:8080"}\n  new: {url: "http://new.internal:9000", '


def codes(written: str) -> list[str]:
    return [one.code for one in compile_files(base.files({"routes.yaml": f"{HEAD}{written}}}\n"})).complaints]


def new(written: str) -> BackendSpec:
    plan = compile_files(base.files({"routes.yaml": f"{HEAD}{written}}}\n"})).plan
    assert plan is not None
    return plan.backends[1]


@pytest.mark.parametrize(
    ("written", "care"),
    [
        ("timeout: 5s", BreakerCare()),
        ("breaker: off", BreakerCare(share_bp=0)),
        ("breaker: {least: 5}", BreakerCare(least=5)),
        (
            "breaker: {failures: 12.5%, window: 1m, open: 250ms, open_longest: 5s, trials: 1, statuses: [504, 503]}",
            BreakerCare(share_bp=1250, window_s=60.0, first_s=0.25, longest_s=5.0, trials=1, statuses=(503, 504)),
        ),
    ],
)
def test_a_breaker_is_as_it_is_written_and_by_default_otherwise(written: str, care: BreakerCare) -> None:
    assert new(written).breaker == care


@pytest.mark.parametrize(
    ("written", "care"),
    [
        ("timeout: 5s", QueueCare()),
        ("queue: {most: off}", QueueCare(most=0)),
        ("queue: {most: 10, most_of_account: 3, wait: 250ms}", QueueCare(most=10, most_of_account=3, wait_s=0.25)),
    ],
)
def test_a_queue_is_as_it_is_written_and_by_default_otherwise(written: str, care: QueueCare) -> None:
    assert new(written).queue == care


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("breaker: on", "wrong-kind"),
        ("breaker: {failures: 50}", "bad-percent"),
        ("breaker: {statuses: [404]}", "bad-number"),
        ("breaker: {trials: 0}", "bad-number"),
        ("breaker: {opne: 1s}", "unknown-key"),
        ("queue: off", "wrong-kind"),
        ("max_in_flight: 9, queue: {wait: off}", "bad-duration"),
    ],
)
def test_anything_else_is_told(written: str, code: str) -> None:
    assert codes(written) == [code]
