"""Vectors of messages on the wire: read from YAML, sent, and told in tables."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

VECTORS: Final = Path(__file__).parents[1] / "vectors"

NEXT: Final = b"GET /next HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n"
"""What a client sends behind every vector, in the same write."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a vector and of what was sent behind it.

    Attributes:
        answers: what the client was told, in order.
        sees: what the backend saw, in order.
    """

    answers: list[str]
    sees: list[str]

    @classmethod
    def of(cls, value: Any) -> Outcome:
        """As vectors write it: a status of a refusal, or what the backend sees; both at length where it is neither."""
        match value:
            case int():
                return cls([str(value)], [])
            case str():
                return cls(["200", "200"], [value, "GET /next"])
            case _:
                return cls(**value)

    @property
    def refused(self) -> bool:
        """Whether no backend heard of it, and the connection ended."""
        return not self.sees and len(self.answers) == 1 and self.answers[0] >= "400"


@dataclass(frozen=True, slots=True)
class Allowed:
    """What another proxy may do with a vector."""

    outcomes: list[Outcome]

    def __contains__(self, outcome: Outcome) -> bool:
        # With which status it refuses is its own business.
        return outcome in self.outcomes or (outcome.refused and any(one.refused for one in self.outcomes))


@dataclass(frozen=True, slots=True)
class Vector:
    """One row.

    Attributes:
        alone: why it means nothing to any proxy but ours.
    """

    family: str
    name: str
    row: dict[str, Any]
    alone: str | None

    @property
    def wire(self) -> bytes:
        """The vector's bytes."""
        text: str = self.row["sends"] if "sends" in self.row else self.row["says"]
        return text.replace("PAD", "a" * self.row.get("pad", 0)).encode("latin-1")

    @property
    def ours(self) -> Outcome:
        """What our proxy does with it."""
        return Outcome.of(self.row["ours"])

    def allowed(self, peer: str) -> Allowed:
        """What a peer may do: the same as ours, or what is written down as its difference (another version may be nearer)."""
        return Allowed([self.ours, *([Outcome.of(self.row[peer])] if peer in self.row else [])])

    def all(self, key: str) -> list[bytes]:
        """A list of the row's."""
        return [text.encode("latin-1") for text in self.row.get(key, ())]

    def __str__(self) -> str:
        return f"{self.family}: {self.name}"


def read(file: str) -> list[Vector]:
    """The vectors of a file in tests/vectors."""
    families = yaml.safe_load((VECTORS / file).read_text("utf-8"))
    return [
        Vector(family["family"], row["is"], row, family.get("alone"))
        for family in families
        for row in family["vectors"]
    ]
