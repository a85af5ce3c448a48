"""A text that isn't YAML is told where it has to be mended, in the same words by both of PyYAML's parsers."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from proxy.config.text.syntax import explain_syntax

PARSERS = [yaml.SafeLoader, *([yaml.CSafeLoader] if hasattr(yaml, "CSafeLoader") else [])]

FLAG = """\
flags:
  orders:
    targeting:
      if:
        - {in: [pilots, {var: segments}]}
        - new
        - fractional: [[new, 25], [legacy, 75]]
    metadata: {owner: desk}
"""


def explained(text: str, parser: Any) -> str:
    with pytest.raises(yaml.YAMLError) as caught:
        list(yaml.parse(text, Loader=parser))
    line, column, words = explain_syntax(text, caught.value)
    return f"{line}:{column}  {words}"


@pytest.mark.parametrize("parser", PARSERS)
@pytest.mark.parametrize(
    ("was", "becomes", "says"),
    [
        ("75]]", "75]", '7:23  the list that begins here isn\'t closed before line 8; add "]"'),
        ("25], [", "25, [", '7:23  the list that begins here isn\'t closed before line 8; add "]"'),
        ("segments}]}", "segments}]", '5:11  the mapping that begins here isn\'t closed before line 6; add "}"'),
        ("desk}", "desk", '8:15  the mapping that begins here isn\'t closed before the end of the file; add "}"'),
        ("75]]", "75]]]", '7:48  a "]" too much; take it out'),
        ("25], [", '25], "x" [', '7:39  a "," or "]" is missing before this, in the list that begins in column 23'),
        ("        - new", "       - new", "6:8  is indented unlike its neighbours of the block that begins in line 4; align it"),
        ("    metadata", "   metadata", "8:4  is indented unlike its neighbours of the block that begins in line 2; align it"),
        ("    metadata", "     metadata", "8:6  is indented unlike its neighbours of the block that begins in line 3; align it"),
        ("    targeting:", "    state: x\n     targeting:", '4:6  is indented deeper than its neighbours, or the line before it lacks its ":"'),
        ("  orders:\n", "  orders\n", '3:5  is indented deeper than its neighbours, or the line before it lacks its ":"'),
        ("- new", "- new: [a", '6:16  the list that begins here isn\'t closed before line 7; add "]"'),
        ("- new", '- "new', "6:11  the text that begins here isn't closed; add \" at its end"),
        ("{owner: desk}", '"desk', "8:15  the text that begins here isn't closed; add \" at its end"),
        ("{owner: desk}", '"desk" of orders', "8:22  the value before this has ended already; put the whole of it in quotes"),
        ("{owner: desk}", "the desk: orders", '8:23  a ": " inside plain text; put the text in quotes'),
        ("{owner: desk}", "@desk", "8:15  plain text can't begin with @; put it in quotes"),
        ("{owner: desk}", "*", "8:15  plain text can't begin with *; put it in quotes"),
        ("        - new", "\t- new", "6:1  a tab: indent with spaces"),
        ("{owner: desk}", "- desk", '8:15  the "- " of a list begins a line of its own'),
        ("{owner: desk}", "[a,, b]", "8:18  a value is missing before this"),
        ("- new", "-new\n        - x", '6:9  a space is missing after "-"'),
    ],
)  # fmt: skip
def test_the_place_to_mend_is_told(was: str, becomes: str, says: str, parser: Any) -> None:
    assert explained(FLAG.replace(was, becomes, 1), parser) == says


@pytest.mark.parametrize("parser", PARSERS)
def test_a_list_of_one_entry_a_line_may_lack_only_a_comma(parser: Any) -> None:
    told = explained('a: [\n  "x"\n  "y"\n]\n', parser)
    assert told == '1:4  the list that begins here isn\'t closed before line 3; add "]", or the "," before it'


@pytest.mark.parametrize("parser", PARSERS)
def test_a_dash_without_its_space_is_told(parser: Any) -> None:
    assert explained("a:\n  - b: x\n  -c\n", parser) == '3:3  a space is missing after "-"'


@pytest.mark.parametrize("parser", PARSERS)
def test_a_control_character_is_named(parser: Any) -> None:
    assert explained("a: b\nc: \x07\n", parser) == "2:4  the control character U+0007 can't stand in YAML"


@pytest.mark.parametrize("parser", PARSERS)
def test_what_nobody_explains_is_told_as_the_parser_tells_it(parser: Any) -> None:
    assert explained("a: |x\n  b\n", parser).startswith("1:5  ")
