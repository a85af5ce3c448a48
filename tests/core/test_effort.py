from __future__ import annotations

from typing import Any

import pytest

from proxy.core.targeting.effort import grows, most_steps

SEGMENTS = {"var": "segments"}


@pytest.mark.parametrize(
    ("expression", "steps"),
    [
        ("new", 1),
        ({"==": [1, 2]}, 3),
        ({"some": [[1, 2, 3], {"!": [{"var": ""}]}]}, 13),
        ({"map": [SEGMENTS, {"var": ""}]}, 203),
    ],
)
def test_steps_are_counted_items_times_what_each_takes(expression: Any, steps: int) -> None:
    assert most_steps(expression) == steps


def test_loops_in_loops_multiply() -> None:
    nested: Any = {"var": ""}
    for _ in range(3):
        nested = {"some": [SEGMENTS, nested]}
    assert most_steps(nested) > 1_000_000


@pytest.mark.parametrize(
    ("step", "doubles"),
    [
        ({"+": [{"var": "current"}, {"var": "accumulator"}]}, False),
        ({"cat": [{"var": "accumulator"}, {"var": "accumulator"}]}, True),
        ({"cat": [{"var": "accumulator"}, {"var": ""}]}, True),
        ({"cat": [{"var": "accumulator"}, {"var": {"cat": ["accu", "mulator"]}}]}, True),
    ],
)
def test_an_accumulator_that_is_read_twice_grows(step: Any, doubles: bool) -> None:
    assert grows({"if": [{"reduce": [[1, 2], step, ""]}, "new"]}) is doubles
