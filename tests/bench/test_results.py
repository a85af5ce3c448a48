"""Results as they are kept: one part's section replaced, the rest untouched; charts that browsers can draw."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from bench.__main__ import PARTS
from bench.drawing import Bar, bars
from bench.section import RESULTS, Section, Table, markdown, placed
from bench.spread import cell

SECTION = Section(
    title="Bodies",
    method="How.",
    tables=[Table(title="down", head=["", "ms"], rows=[["  ours", "1.5 missed"]])],
    charts={"bodies.svg": "<svg/>"},
)


def test_a_part_replaces_its_own_section_and_no_other() -> None:
    text = "# Figures\n<!-- part: a -->\nold\n<!-- end: a -->\n<!-- part: b -->\nkept\n<!-- end: b -->\n"
    assert placed(text, "a", r"new \1 \g<0>" + "\n") == text.replace("old", r"new \1 \g<0>")
    with pytest.raises(ValueError, match="no place for c"):
        placed(text, "c", "new\n")


@pytest.mark.parametrize("name", list(PARTS))
def test_the_results_have_a_place_for_every_part(name: str) -> None:
    assert "new" in placed(RESULTS.read_text("utf-8"), name, "new\n")


def test_a_section_in_markdown_marks_what_was_missed_and_shows_its_charts() -> None:
    assert markdown(SECTION) == (
        "## Bodies\n\nHow.\n\n|  | ms |\n| --- | ---: |\n| ours | 1.5 **missed** |\n\n![Bodies](charts/bodies.svg)\n"
    )


@pytest.mark.parametrize(
    ("figures", "shown"),
    [([2.0], "2.0"), ([3.0, 1.0, 2.0], "2.0 (1.0–3.0)"), ([1000.0, 2000.0], "1,500.0 (1,000.0–2,000.0)")],
)
def test_several_rounds_are_shown_with_their_spread(figures: list[float], shown: str) -> None:
    assert cell(figures, 1) == shown


def lengths(svg: str) -> list[float]:
    return [float(bar.get("width", "")) for bar in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}rect")]


def test_bars_are_as_long_as_their_medians_say() -> None:
    short, long = lengths(
        bars("<&>", [Bar(label="a", rounds=[9.0, 10.0, 11.0]), Bar(label="b", rounds=[20.0])], unit="µs")
    )
    assert long == pytest.approx(2 * short)


def test_a_bar_that_would_dwarf_the_others_is_cut_and_keeps_its_number() -> None:
    rows = [Bar(label=name, rounds=[figure]) for name, figure in (("a", 10.0), ("b", 25.0), ("c", 4_000.0))]
    drawn = bars("cut", rows, unit="µs")
    _, b, c = lengths(drawn)
    assert b == c
    assert "4,000.0 µs" in drawn
