"""How long a flag's expression can run: a flag is asked on the traffic path, where one slow answer delays everybody's."""

from __future__ import annotations

from typing import Any, Final

MOST_STEPS: Final = 10_000
"""Steps one flag may take for one request: about a millisecond."""

_UNKNOWN_ITEMS: Final = 100  # of a list that isn't written out, such as a request's segments
_OVER_ITEMS: Final = frozenset(("all", "filter", "map", "none", "reduce", "some"))


def most_steps(expression: Any) -> int:
    """The most operations that an expression can take for one request, lists of unknown length taken as 100 items."""
    if isinstance(expression, list):
        return sum(most_steps(inner) for inner in expression)
    if not isinstance(expression, dict) or len(expression) != 1:
        return 1
    ((operator, raw),) = expression.items()
    arguments = raw if isinstance(raw, list) else [raw]
    if operator not in _OVER_ITEMS or not arguments:
        return 1 + most_steps(arguments)
    items, *each = arguments
    count = len(items) if isinstance(items, list) else _UNKNOWN_ITEMS
    return 1 + most_steps(items) + count * most_steps(each)


def grows(expression: Any) -> bool:
    """Whether a `reduce` reads its accumulator more than once: text or a list that doubles with every item."""
    if isinstance(expression, list):
        return any(grows(inner) for inner in expression)
    if not isinstance(expression, dict):
        return False
    for operator, raw in expression.items():
        if operator == "reduce" and isinstance(raw, list) and _accumulators(raw[1:2]) > 1:
            return True
        if grows(raw):
            return True
    return False


def _accumulators(expression: Any) -> int:
    if isinstance(expression, list):
        return sum(_accumulators(inner) for inner in expression)
    if not isinstance(expression, dict):
        return 0
    found = 0
    for operator, raw in expression.items():
        name = raw[0] if isinstance(raw, list) and raw else raw
        if operator == "var" and (not isinstance(name, str) or name.split(".")[0] in ("accumulator", "")):
            found += 1
        found += _accumulators(raw)
    return found
