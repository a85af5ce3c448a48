"""flagd's `sem_ver`: compare versions by SemVer 2.0.0 §11, partial ones filled up with zeros."""

from __future__ import annotations

import re
from typing import Any, Final

_VERSION: Final = re.compile(
    r"[vV]?(0|[1-9]\d*)(?:\.(0|[1-9]\d*))?(?:\.(0|[1-9]\d*))?"
    r"(?:-((?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?"
    r"(?:\+[0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*)?",
    re.ASCII,
)
_LONGEST: Final = 256

Version = tuple[tuple[int, int, int], tuple[int, tuple[tuple[int, int, str], ...]]]


def parse_version(value: Any) -> Version | None:
    """A sortable form of a version (a release sorts after its pre-releases); None when it is none."""
    text = str(value)
    found = _VERSION.fullmatch(text) if len(text) <= _LONGEST else None
    if found is None:
        return None
    core = (int(found[1]), int(found[2] or 0), int(found[3] or 0))
    if found[4] is None:
        return core, (1, ())
    return core, (0, tuple((0, int(i), "") if i.isdigit() else (1, 0, i) for i in found[4].split(".")))


def compare_versions(*arguments: Any) -> bool | None:
    """`sem_ver`: [version, operator, version]; null for anything that is no version or operator."""
    if len(arguments) != 3:
        return None
    a, operator, b = parse_version(arguments[0]), arguments[1], parse_version(arguments[2])
    if a is None or b is None:
        return None
    match operator:
        case "=":
            return a == b
        case "!=":
            return a != b
        case "<":
            return a < b
        case "<=":
            return a <= b
        case ">":
            return a > b
        case ">=":
            return a >= b
        case "^":
            return a[0][0] == b[0][0]
        case "~":
            return a[0][:2] == b[0][:2]
        case _:
            return None
