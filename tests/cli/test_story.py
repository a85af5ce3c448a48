"""The journal as people read it."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.cli.story import story
from proxy.control.history.event import Action, Event, Line


def told(action: Action, before: Any, after: Any) -> list[str]:
    event = Event(action=action, by="ada", scope={"area": "orders"}, before=before, after=after)
    return [line.strip() for line in story(Line(seq=1, event=event, workers={})).splitlines()[1:]]


def flag(share: float, *, new: list[str], everyone: bool = False) -> dict[str, Any]:
    return {"share_percent": share, "new": new, "legacy": [], "everyone": everyone}


@pytest.mark.parametrize(
    ("action", "before", "after", "says"),
    [
        (Action.ROLLBACK, [], ["r3 (area orders)"], ["in force: none → r3 (area orders)"]),
        (Action.RELEASE, ["r3 (area orders)"], [], ["in force: r3 (area orders) → none"]),
        (Action.CANARY, flag(10.0, new=[]), flag(12.5, new=[]), ["share: 10 % → 12.5 %"]),
        (Action.CANARY, flag(0.0, new=[]), flag(0.0, new=["pilots"]), ["segments to new: none → pilots"]),
        (
            Action.CANARY,
            None,
            flag(0.0, new=["pilots"]),
            ["share: 0 %, segments to new: pilots, without an account too: no"],
        ),
        (
            Action.CANARY,
            flag(100.0, new=[]),
            flag(100.0, new=[], everyone=True),
            ["without an account too: no → yes"],
        ),
    ],
)
def test_what_changed_is_told_in_the_words_of_the_documents(
    action: Action, before: Any, after: Any, says: list[str]
) -> None:
    assert told(action, before, after) == says
