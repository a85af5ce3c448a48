"""JavaScript's idea of values, as JsonLogic defines its operators by it.

Numbers stay Python's int and float; lists and mappings are never equal to anything but by the text they turn into.
Sources: jsonlogic.com/operations; ECMA-262 §7.1 (conversion), §7.2.15 (loose equality). The flagd core for
Python is the oracle of the tests.
"""

from __future__ import annotations

from math import isnan, nan
from typing import Any


def truthy(value: Any) -> bool:
    """JsonLogic's truth: empty lists are false (unlike JavaScript), every mapping is true."""
    if isinstance(value, float) and isnan(value):
        return False
    return True if isinstance(value, dict) else bool(value)


def number(value: Any) -> float | int:
    """What a value counts as in arithmetic; NaN when it is no number."""
    if isinstance(value, int | float):
        return value
    if value is None:
        return 0
    if isinstance(value, list):
        return 0 if not value else nan if len(value) > 1 else number(value[0])
    if isinstance(value, str) and "_" not in value:
        text = value.strip().lower()
        if text in ("inf", "+inf", "-inf", "nan"):  # Python reads these as numbers, JavaScript doesn't
            return nan
        try:
            return float(text)
        except ValueError:
            return nan
    return nan


def text(value: Any) -> str:
    """What a value reads as when it is joined or compared as text."""
    if isinstance(value, str):
        return value
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.15g}"
    if isinstance(value, list):
        return ",".join(text(inner) for inner in value)
    return "[object Object]" if isinstance(value, dict) else str(value)


def loosely_equal(a: Any, b: Any) -> bool:
    """`==`. As in flagd's core, null counts as 0 beside a number or a truth value (in JavaScript it doesn't)."""
    if isinstance(a, str) and isinstance(b, str):
        return a == b
    if isinstance(a, int | float) or isinstance(b, int | float):
        return number(a) == number(b)
    if a is None or b is None:
        return a is b
    if isinstance(a, list | dict) and isinstance(b, list | dict):
        return a is b
    return text(a) == text(b)


def less(a: Any, b: Any) -> bool:
    """`<`: text against text by code points, everything else as numbers."""
    if isinstance(a, int | float) or isinstance(b, int | float):
        return number(a) < number(b)
    if isinstance(a, str) or isinstance(b, str):
        return text(a) < text(b)
    return number(a) < number(b)


def less_or_equal(a: Any, b: Any) -> bool:
    """`<=`. Not the negation of `>`: NaN is neither."""
    if isinstance(a, int | float) or isinstance(b, int | float):
        return number(a) <= number(b)
    if isinstance(a, str) or isinstance(b, str):
        return text(a) <= text(b)
    return number(a) <= number(b)
