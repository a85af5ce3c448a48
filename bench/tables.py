"""Tables for people, on standard output."""

from __future__ import annotations

from collections.abc import Sequence


def beside(figure: float, aim: float, digits: int) -> str:
    """A figure as a cell, marked when it is above its aim."""
    shown = f"{figure:.{digits}f}"
    return shown if figure <= aim else f"{shown} missed"


def show(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: the first column to the left, figures to the right."""
    widths = [max(len(line[column]) for line in (head, *rows)) for column in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        return "  ".join([cells[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(cells[1:], widths[1:], strict=True))])

    print(f"\n{title}\n")
    print(line(head))
    print("  ".join("-" * width for width in widths))
    for row in rows:
        print(line(row))
    print(flush=True)
