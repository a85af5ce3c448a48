"""Trying inputs by number, as many as are asked for or until the time is up, and telling what came of them."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from fuzz.directions import Direction
from fuzz.rig import Line
from fuzz.seeds import Case

_INPUTS_A_PROXY: Final = 500
"""So many share a proxy: what one leaves behind is felt by the next, and what they all leave is looked at when it ends."""


@dataclass(slots=True)
class Find:
    """A case that found something, and what."""

    number: str
    case: Case
    says: list[str]


@dataclass(slots=True)
class Tally:
    """What was tried, by kind.

    Attributes:
        tried: inputs.
        passed: inputs of which a message got through.
        refused: those of which none did.
        messages: messages that got through.
        faults: how exchanges broke.
    """

    tried: Counter[str] = field(default_factory=Counter)
    passed: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    messages: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    finds: list[Find] = field(default_factory=list)
    seconds: float = 0.0


async def run(direction: Direction, *, seed: str, inputs: int, seconds: float, most_finds: int = 10) -> Tally:
    """Try the cases `seed:0` and on.

    Args:
        direction: which.
        seed: another one makes other cases.
        inputs: how many at most.
        seconds: how long at most.
        most_finds: after so many it ends.
    """
    tally = Tally()
    began = time.monotonic()
    number = 0
    while number < inputs and tally.seconds < seconds and len(tally.finds) < most_finds:
        async with direction.rig() as rig:
            for _ in range(_INPUTS_A_PROXY):
                name = f"{direction.name}:{seed}:{number}"
                kind, case = direction.make(name)
                outcome = await direction.attempt(rig, case)
                tally.tried[kind] += 1
                (tally.passed if outcome.reached else tally.refused)[kind] += 1
                tally.messages[kind] += outcome.reached
                tally.faults.update(line.fault for line in outcome.lines if line.fault)
                number += 1
                if says := _why(kind, direction, outcome.finds, outcome.lines):
                    if says := await again(direction, case, plain=kind == "plain"):
                        tally.finds.append(Find(name, case, says))
                    break  # what went wrong may have left this proxy in any state
                tally.seconds = time.monotonic() - began
                if number >= inputs or tally.seconds >= seconds:
                    break
    return tally


async def again(direction: Direction, case: Case, *, plain: bool) -> list[str]:
    """What a case finds in a proxy of its own, with more patience: the scheduler's whims aren't finds."""
    async with direction.rig(patient=True) as rig:
        outcome = await direction.attempt(rig, case)
        return _why("plain" if plain else "", direction, outcome.finds, outcome.lines)


def _why(kind: str, direction: Direction, finds: list[str], lines: list[Line]) -> list[str]:
    """What was found; of a well-formed input also that it was refused."""
    if kind != "plain" or finds:
        return finds
    party = "client" if direction.name == "requests" else "legacy"
    return [
        f"well-formed, and refused: {line}"
        for line in lines
        if line.fault and line.fault.endswith("-malformed") and line.fault.startswith(party)
    ]
