"""The tables of docs/smuggling.md, made of the vectors; to write them anew: `python -m tests.http.tables`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from tests.http.fronts import PEERS
from tests.http.vectors import Outcome, Vector, read

PAGE: Final = Path(__file__).parents[2] / "docs" / "smuggling.md"

_LONGEST: Final = 60


def with_tables(page: str) -> str:
    """The page with what stands between its markers made anew."""
    for name, file, rows in (("requests", "smuggling.yaml", _requests), ("answers", "splitting.yaml", _answers)):
        made = "\n".join(rows(read(file)))
        begin, end = f"<!-- {name} -->\n", "<!-- end -->"
        page = re.sub(f"({begin}).*?({end})", lambda found: f"{found[1]}{made}\n{found[2]}", page, flags=re.DOTALL)  # noqa: B023  used at once
    return page


def _requests(vectors: list[Vector]) -> Iterator[str]:
    for family, rows in groupby(vectors, lambda vector: vector.family):
        yield from (
            "",
            f"### {family}",
            "",
            "| Sent | The client is told | A backend sees | Elsewhere |",
            "|---|---|---|---|",
        )
        for vector in rows:
            ours = vector.ours
            sees = "nothing" if ours.refused else _code(ours.sees[0])
            yield f"| {vector.name} | {ours.answers[0]} | {sees} | {_elsewhere(vector, _request_told)} |"


def _answers(vectors: list[Vector]) -> Iterator[str]:
    for family, rows in groupby(vectors, lambda vector: vector.family):
        yield from ("", f"### {family}", "", "| A backend says | The client is told | Elsewhere |", "|---|---|---|")
        for vector in rows:
            ours = vector.row["ours"]
            told = str(ours) if isinstance(ours, int) else ", ".join(ours if ours[-1] == "cut" else ours[:-1])
            yield f"| {vector.name} | {told} | {_elsewhere(vector, _answer_told)} |"


def _request_told(value: Any) -> str:
    outcome = Outcome.of(value)
    passes = outcome.answers[0] == "200"
    return f"passes {_code(outcome.sees[0])}" if passes else outcome.answers[0]


def _answer_told(value: Any) -> str:
    return str(value).splitlines()[0]


def _elsewhere(vector: Vector, told: Any) -> str:
    others = {peer: told(vector.row[peer]) for peer in PEERS if peer in vector.row}
    if not others:
        return ""
    same = len(others) == len(PEERS) and len(set(others.values())) == 1
    parts = (
        [f"both {others[PEERS[0]].replace('passes', 'pass', 1)}"]
        if same
        else [f"{peer} {what}" for peer, what in others.items()]
    )
    return f"{', '.join(parts)}: {vector.row['because']}"


def _code(words: str) -> str:
    """In backquotes, one line, no longer than a table bears."""
    text = words.encode("unicode_escape").decode("ascii").replace("|", "\\|")
    return f"`{text if len(text) <= _LONGEST else text[:_LONGEST] + '…'}`"


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text("utf-8")), "utf-8")
