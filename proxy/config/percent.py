"""Percentages, as a kind of value."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from proxy.config.kinds import JsonSchema, tell_kind
from proxy.config.problems import quoted
from proxy.config.text.nodes import Node, Scalar
from proxy.core.model import SHARE_TOTAL_BP

if TYPE_CHECKING:
    from proxy.config.problems import Report

_PERCENT: Final = re.compile(r"([0-9]{1,3})(?:\.([0-9]{1,2}))? ?%")


@dataclass(frozen=True)
class Percent:
    """A share such as `1%` or `0.25%`, in basis points."""

    words: str = "a percentage such as `1%` or `0.25%`"

    def read(self, node: Node, where: str, report: Report) -> int | None:
        if not isinstance(node, Scalar):
            tell_kind(node, where, report, "a percentage such as 1%")
            return None
        found = _PERCENT.fullmatch(node.text)
        share_bp = None if found is None else int(found[1]) * 100 + int((found[2] or "").ljust(2, "0"))
        if share_bp is None or share_bp > SHARE_TOTAL_BP:
            hint = f'; did you mean "{node.text}%"?' if node.text.isdecimal() else ": from 0% to 100%, such as 0.25%"
            report.tell("bad-percent", node, where, f"{quoted(node.text)} is no percentage{hint}")
            return None
        return share_bp

    def schema(self) -> JsonSchema:
        return {"type": "string", "pattern": r"^[0-9]{1,3}(?:\.[0-9]{1,2})? ?%$"}
