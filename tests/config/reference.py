"""The tables of docs/routes.md, made of the same table as the reader and the JSON Schema."""

from __future__ import annotations

import re

from proxy.config.edges.limits import ROWS
from proxy.config.kinds import Shape
from proxy.config.routes.shapes import SHAPES

BETWEEN = re.compile(r"(<!-- keys of (?P<name>[^>]+) -->\n).*?(<!-- end -->)", re.DOTALL)

LIMITS_BETWEEN = re.compile(r"(<!-- limits -->\n).*?(<!-- end -->)", re.DOTALL)


def table(shape: Shape) -> str:
    """The keys of one shape."""
    lines = ["| Key | Takes | Without it | Meaning |", "|---|---|---|---|"]
    for key in shape.keys:
        without = "**required**" if key.required else key.default
        meaning = f"*Not built yet:* {key.meaning}" if key.later else key.meaning
        takes = "a mapping, see below" if isinstance(key.kind, Shape) else key.kind.words
        lines.append(f"| `{key.name}` | {takes} | {without} | {meaning} |".replace("\n", " "))
    return "\n".join(lines) + "\n"


def limits_table() -> str:
    """The limits, with what happens beyond them and who has which."""
    lines = ["| Limit | Default | Of | Beyond it | Precedent |", "|---|---|---|---|---|"]
    lines += [f"| `{row.limit}` | {row.without} | {row.of} | {row.then} | {row.precedent} |" for row in ROWS]
    return "\n".join(lines) + "\n"


def with_limits(page: str) -> str:
    """docs/traffic.md with the table of limits as the code has it."""
    return LIMITS_BETWEEN.sub(lambda found: found[1] + limits_table() + found[2], page)


def with_tables(page: str) -> str:
    """The page with every table as the code has it.

    Raises:
        KeyError: the page has a table of a shape that doesn't exist.
    """
    shapes = {shape.name: shape for shape in SHAPES}
    return BETWEEN.sub(lambda found: found[1] + table(shapes[found["name"]]) + found[3], page)


def described(page: str) -> set[str]:
    """The shapes that the page has tables of."""
    return {found["name"] for found in BETWEEN.finditer(page)}
