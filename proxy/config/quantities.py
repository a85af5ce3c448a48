"""Kinds of values that say how many, how much, how long."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from proxy.config.kinds import JsonSchema, tell_kind
from proxy.config.problems import quoted
from proxy.config.text.nodes import Node, Scalar

if TYPE_CHECKING:
    from proxy.config.problems import Report

OFF: Final = 0
"""What a number or size is when it is written `off`."""


@dataclass(frozen=True)
class Whole:
    """A whole number within bounds; `off` (0) where `may_be_off`."""

    least: int
    most: int
    may_be_off: bool = False

    @property
    def words(self) -> str:
        return f"a whole number from {self.least}" + (", or `off`" if self.may_be_off else "")

    def read(self, node: Node, where: str, report: Report) -> int | None:
        if self.may_be_off and isinstance(node, Scalar) and node.value == "off":
            return OFF
        if not isinstance(node, Scalar) or not isinstance(node.value, int) or isinstance(node.value, bool):
            tell_kind(node, where, report, "a whole number" + (" or off" if self.may_be_off else ""))
            return None
        if not self.least <= node.value <= self.most:
            or_off = ", or off" if self.may_be_off else ""
            report.tell("bad-number", node, where, f"{node.value} is out of range: {self.least} to {self.most}{or_off}")
            return None
        return node.value

    def schema(self) -> JsonSchema:
        return _or_off({"type": "integer", "minimum": self.least, "maximum": self.most}, may_be_off=self.may_be_off)


_SIZE: Final = re.compile(r"([0-9]{1,15})(B|KiB|MiB|GiB|kB|MB|GB)?")
_UNIT_BYTES: Final = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "kB": 10**3, "MB": 10**6, "GB": 10**9}


@dataclass(frozen=True)
class Size:
    """A number of bytes such as `512`, `64KiB` or `10MB`; `off` (0) where `may_be_off`."""

    least: int
    most: int
    may_be_off: bool = False

    @property
    def words(self) -> str:
        return "a size such as `512`, `64KiB`, `10MB`" + (", or `off`" if self.may_be_off else "")

    def read(self, node: Node, where: str, report: Report) -> int | None:
        if not isinstance(node, Scalar):
            tell_kind(node, where, report, "a size such as 64KiB")
            return None
        if self.may_be_off and node.value == "off":
            return OFF
        or_off = ", or off" if self.may_be_off else ""
        found = _SIZE.fullmatch(node.text)
        if found is None:
            told = f"{quoted(node.text)} is no size; write it as 512, 64KiB, 10MB{or_off}"
            report.tell("bad-size", node, where, told)
            return None
        size = int(found[1]) * _UNIT_BYTES[found[2] or "B"]
        if not self.least <= size <= self.most:
            told = f"{quoted(node.text)} is out of range: {size_text(self.least)} to {size_text(self.most)}{or_off}"
            report.tell("bad-size", node, where, told)
            return None
        return size

    def schema(self) -> JsonSchema:
        text = {"type": "string", "pattern": f"^{_SIZE.pattern}$"}
        number = {"type": "integer", "minimum": self.least, "maximum": self.most}
        return _or_off({"anyOf": [number, text]}, may_be_off=self.may_be_off)


def size_text(size: int) -> str:
    """A size as people write it: in the largest binary unit that leaves no rest."""
    for unit in ("GiB", "MiB", "KiB"):
        if size and size % _UNIT_BYTES[unit] == 0:
            return f"{size // _UNIT_BYTES[unit]}{unit}"
    return f"{size}B"


def _or_off(schema: JsonSchema, *, may_be_off: bool) -> JsonSchema:
    return {"anyOf": [schema, {"const": "off"}]} if may_be_off else schema


_DURATION: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)(ms|s|m|h)")
_UNIT_S: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_LONGEST_S: Final = 86_400.0


@dataclass(frozen=True)
class Duration:
    """A duration such as `250ms`, `20s` or `2m`, in seconds; `off` (infinity) where `may_be_off`."""

    may_be_off: bool = False

    @property
    def words(self) -> str:
        return "a duration such as `250ms`, `20s`, `2m`" + (", or `off`" if self.may_be_off else "")

    def read(self, node: Node, where: str, report: Report) -> float | None:
        if not isinstance(node, Scalar):
            tell_kind(node, where, report, "a duration such as 20s")
            return None
        if self.may_be_off and node.text == "off":
            return float("inf")
        or_off = ", or off" if self.may_be_off else ""
        found = _DURATION.fullmatch(node.text)
        if found is None:
            hint = f'; did you mean "{node.text}s"?' if node.text.isdecimal() else f" such as 250ms, 20s, 2m{or_off}"
            report.tell("bad-duration", node, where, f"{quoted(node.text)} is no duration{hint}")
            return None
        seconds = round(float(found[1]) * _UNIT_S[found[2]], 3)
        if not 0 < seconds <= _LONGEST_S:
            report.tell("bad-duration", node, where, f"{quoted(node.text)} is out of range: above 0, to 24h{or_off}")
            return None
        return seconds

    def schema(self) -> JsonSchema:
        off = "off|" if self.may_be_off else ""
        return {"type": "string", "pattern": rf"^(?:{off}[0-9]{{1,9}}(?:\.[0-9]{{1,3}})?(?:ms|s|m|h))$"}


def duration_text(seconds: float) -> str:
    """A duration as people write it: in hours, where it is whole ones."""
    return f"{seconds / 3600:g}h" if seconds % 3600 == 0 else f"{seconds:g}s"
