"""Inputs that once found something, kept as files so that each is tried again in every run of the tests.

A file is JSON, so that a person can read and mend it; bytes stand in it as Latin-1.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from fuzz.answers import AnswerCase, Script
from fuzz.requests import RequestCase

KEPT: Final = Path(__file__).parent / "seeds"

Case = RequestCase | AnswerCase


@dataclass(frozen=True, slots=True)
class Seed:
    """A kept case, and what it found."""

    name: str
    says: str
    case: Case


def kept(direction: str) -> list[Seed]:
    """Every kept seed of a direction, by name."""
    return [read(path) for path in sorted((KEPT / direction).glob("*.json"))]


def read(path: Path) -> Seed:
    """One seed."""
    values = json.loads(path.read_text())
    return Seed(path.stem, values["says"], _case(values))


def write(path: Path, says: str, case: Case) -> None:
    """Keep a case."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"says": says, **_values(case)}, indent=1) + "\n")


def _case(values: dict[str, Any]) -> Case:
    if "reads" in values:
        return RequestCase(_bytes(values["reads"]))
    scripts = tuple(Script(_bytes(script["writes"]), script["end"]) for script in values["scripts"])
    return AnswerCase(_bytes(values["asks"]), scripts, values["pipelined"])


def _values(case: Case) -> dict[str, Any]:
    if isinstance(case, RequestCase):
        return {"reads": _texts(case.reads)}
    scripts = [{"writes": _texts(script.writes), "end": script.end} for script in case.scripts]
    return {"asks": _texts(case.asks), "scripts": scripts, "pipelined": case.pipelined}


def _bytes(texts: list[str]) -> tuple[bytes, ...]:
    return tuple(text.encode("latin-1") for text in texts)


def _texts(pieces: tuple[bytes, ...]) -> list[str]:
    return [piece.decode("latin-1") for piece in pieces]


async def shrunk(case: Case, still_finds: Callable[[Case], Awaitable[bool]]) -> Case:
    """A smaller case that finds something too; each step is tried, so this takes some seconds."""
    if isinstance(case, RequestCase):

        async def finds(reads: tuple[bytes, ...]) -> bool:
            return await still_finds(RequestCase(reads))

        return RequestCase(await _fewer(case.reads, finds))
    for at in range(len(case.scripts)):

        async def plays(writes: tuple[bytes, ...], at: int = at, whole: AnswerCase = case) -> bool:
            return await still_finds(_with_writes(whole, at, writes))

        case = _with_writes(case, at, await _fewer(case.scripts[at].writes, plays))
    return case


def _with_writes(case: AnswerCase, at: int, writes: tuple[bytes, ...]) -> AnswerCase:
    scripts = list(case.scripts)
    scripts[at] = Script(writes, scripts[at].end)
    return replace(case, scripts=tuple(scripts))


async def _fewer(pieces: tuple[bytes, ...], finds: Callable[[tuple[bytes, ...]], Awaitable[bool]]) -> tuple[bytes, ...]:
    """Join pieces, then take spans out of them, halving the spans."""
    at = 0
    while at + 1 < len(pieces):
        joined = (*pieces[:at], pieces[at] + pieces[at + 1], *pieces[at + 2 :])
        if await finds(joined):
            pieces = joined
        else:
            at += 1
    span = max(map(len, pieces), default=0) // 2
    while span:
        for i in range(len(pieces)):
            at = 0
            while at < len(pieces[i]):
                less = (*pieces[:i], pieces[i][:at] + pieces[i][at + span :], *pieces[i + 1 :])
                if await finds(less):
                    pieces = less
                else:
                    at += span
        span //= 2
    return tuple(piece for piece in pieces if piece)
