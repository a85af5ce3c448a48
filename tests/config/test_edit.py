"""Edits of managed flags: only what has to change does, and the file then says exactly what was wanted."""

from __future__ import annotations

import dataclasses
import difflib
import json
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.config.flags.edit import edit_flag, new_flag_file
from proxy.config.flags.flagfile import read_flag_file
from proxy.config.flags.managed import CannotEdit, Change, Managed, read_managed
from proxy.config.problems import Report
from proxy.config.text.cache import Cache
from proxy.config.text.fileset import File
from proxy.config.text.nodes import data
from proxy.config.text.yaml import read_yaml
from proxy.core.model import Backend

SAMPLE = (Path(__file__).parents[2] / "flags" / "orders.flagd.yaml").read_text()

LIVELY = """\
# who gets orders
flags:
  other:   {state: DISABLED, variants: {"a": 1}}
  orders:
    state: ENABLED          # never off
    variants: {new: new, legacy: legacy}
    defaultVariant: 'legacy'
    targeting:
      if:
        # these stay
        - {in: [key-accounts, {var: segments}]}   # key
        - legacy

        # pilots go first
        - in:
            - pilots       # the list
            - {var: segments}
        - "new"   # go
        # the ramp
        - fractional: [[new,   25], [legacy, 75]]   # slowly
    metadata: {owner: order-desk}
"""


def changed_lines(before: str, after: str) -> list[str]:
    lines = difflib.ndiff(before.splitlines(keepends=True), after.splitlines(keepends=True))
    return [line for line in lines if line[0] in "+-"]


def edited(text: str, *, name: str = "orders.flagd.yaml", **change: Any) -> str:
    return edit_flag(name, text.encode(), "orders", Change(**change)).decode()


def test_a_percentage_changes_two_numbers_and_nothing_else() -> None:
    assert edited(LIVELY, share_bp=5000) == LIVELY.replace("[[new,   25], [legacy, 75]]", "[[new,   50], [legacy, 50]]")


def test_a_percentage_with_decimals_makes_the_total_10_000_and_a_whole_one_makes_it_100_again() -> None:
    fine = edited(SAMPLE, share_bp=1250)
    assert "[[new, 1250], [legacy, 8750]]" in fine
    assert "[[new, 13], [legacy, 87]]" in edited(fine, share_bp=1300)


@pytest.mark.parametrize(
    ("share_bp", "written"), [(0, "[[new, 0], [legacy, 100]]"), (10_000, "[[new, 100], [legacy, 0]]")]
)
def test_both_ends_keep_both_weights(share_bp: int, written: str) -> None:
    assert written in edited(SAMPLE, share_bp=share_bp)


def test_an_added_segment_stands_last_before_the_ramp_and_under_no_comment_of_the_ramp() -> None:
    assert changed_lines(LIVELY, edited(LIVELY, add=("wave-1",))) == [
        "+         - {in: [wave-1, {var: segments}]}\n",
        "+         - new\n",
    ]
    assert "# go\n        - {in: [wave-1, {var: segments}]}\n        - new\n        # the ramp\n" in edited(
        LIVELY, add=("wave-1",)
    )


def test_an_added_segment_that_is_there_already_changes_nothing() -> None:
    assert edited(LIVELY, add=("pilots",)) == LIVELY


def test_a_removed_segment_takes_its_lines_and_leaves_the_comments_around_them() -> None:
    assert changed_lines(LIVELY, edited(LIVELY, remove=("pilots",))) == [
        "-         - in:\n",
        "-             - pilots       # the list\n",
        "-             - {var: segments}\n",
        '-         - "new"   # go\n',
    ]


def test_everyone_is_all_of_the_ramp_and_the_default_and_a_later_percentage_takes_both_back() -> None:
    all_of_them = edited(LIVELY, everyone=True)
    assert "defaultVariant: 'new'" in all_of_them
    assert "[[new,   100], [legacy, 0]]" in all_of_them
    assert edited(all_of_them, share_bp=2500) == LIVELY


def test_a_hundred_per_cent_alone_leaves_the_default_to_those_without_an_account() -> None:
    assert "defaultVariant: 'legacy'" in edited(LIVELY, share_bp=10_000)


def test_line_ends_and_a_byte_order_mark_stay() -> None:
    text = "\ufeff" + LIVELY.replace("\n", "\r\n")
    after = edited(text, share_bp=100, add=("wave-1",), remove=("pilots",))
    assert after.startswith("\ufeff# who")
    assert after.count("\n") == after.count("\r\n")


@pytest.mark.parametrize("indent", [None, 1, 2])
def test_json_keeps_its_layout(indent: int | None) -> None:
    text = json.dumps(_as_data(LIVELY), indent=indent)
    after = edited(text, name="orders.flagd.json", share_bp=1, add=("wave-1",), remove=("pilots",))
    assert read_managed(json.loads(after)["flags"]["orders"]) == Managed(
        clauses=(("key-accounts", "legacy"), ("wave-1", "new")), weights=(1, 9999), default="legacy"
    )
    assert ("\n" in after) == (indent is not None)
    assert edited(after, name="orders.flagd.json", share_bp=2500, add=("pilots",), remove=("wave-1",)).count(
        "\n"
    ) <= text.count("\n")


def test_flow_lists_over_several_lines_keep_them_and_their_comments() -> None:
    text = LIVELY[: LIVELY.index("      if:")] + (
        "      if: [ # asked in order\n"
        "        {in: [pilots, {var: segments}]}, new, # go\n"
        "        # the ramp\n"
        "        {fractional: [[new, 5], [legacy, 95]]} ]\n"
    )
    after = edited(text, remove=("pilots",))
    assert changed_lines(text, after) == ["-         {in: [pilots, {var: segments}]}, new, # go\n"]
    assert changed_lines(text, edited(text, add=("dach",))) == ["+         {in: [dach, {var: segments}]}, new,\n"]


@pytest.mark.parametrize("name", ["no", "12", "1e5", "true"])
def test_a_segment_whose_name_looks_like_something_else_is_quoted(name: str) -> None:
    assert f'- {{in: ["{name}", {{var: segments}}]}}' in edited(SAMPLE, add=(name,))


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("state: ENABLED", "state: DISABLED", "DISABLED"),
        ("{new: new, legacy: legacy}", "{a: new, new: new, legacy: legacy}", "variants"),
        ("    defaultVariant: legacy\n", "", "defaultVariant"),
        (
            "{in: [pilots, {var: segments}]}",
            '{"==": [{var: region}, DE]}',
            "orders.flagd.yaml:11:11.*something else than a segment",
        ),
        ("[[new, 25], [legacy, 75]]", "[[legacy, 75], [new, 25]]", "orders.flagd.yaml:13:11.*no fractional"),
        ("[[new, 25], [legacy, 75]]", "[[new, 1], [legacy, 3]]", "no fractional"),
    ],
)
def test_a_flag_written_by_hand_is_refused_with_the_reason(old: str, new: str, why: str) -> None:
    with pytest.raises(CannotEdit, match=f"(?s)written by hand.*{why}"):
        edited(SAMPLE.replace(old, new), share_bp=100)


def test_a_broken_file_is_refused() -> None:
    with pytest.raises(CannotEdit, match=r"orders\.flagd\.yaml is broken"):
        edited(SAMPLE.replace("state:", "sate:"), share_bp=100)


def test_a_flag_whose_parts_another_flag_shares_by_an_alias_is_refused() -> None:
    shared = SAMPLE.replace("if:", "if: &steps").replace("targeting:", "targeting: &all") + (
        "  second:\n    state: ENABLED\n    variants: {new: new, legacy: legacy}\n    defaultVariant: legacy\n    targeting: *all\n"
    )
    with pytest.raises(CannotEdit, match="without changing something else"):
        edited(shared, share_bp=100)
    with pytest.raises(CannotEdit, match="aliases"):
        edit_flag("orders.flagd.yaml", shared.encode(), "second", Change(share_bp=100))


def test_only_a_clause_that_gives_new_can_be_removed() -> None:
    with pytest.raises(CannotEdit, match='no clause gives new to segment pilot; did you mean "pilots"'):
        edited(SAMPLE, remove=("pilot",))
    with pytest.raises(CannotEdit, match="key-accounts gives legacy"):
        edited(SAMPLE, remove=("key-accounts",))


@pytest.mark.parametrize("change", [Change(share_bp=500), Change(add=("pilots", "no")), Change(everyone=True)])
def test_a_new_file_says_what_was_wanted_in_the_managed_shape(change: Change) -> None:
    content = new_flag_file("orders", change)
    found = read_flag_file("orders.flagd.yaml", File.of(content), Cache())
    assert not found.complaints
    assert found.flags[0].record.managed
    assert read_managed(_as_data(content.decode())["flags"]["orders"]) == Managed().after(change)


def _as_data(text: str) -> Any:
    root = read_yaml(text, Report("x"))
    assert root is not None
    return data(root)


# -- the law -------------------------------------------------------------------------------------------------------------

NAMES = ("pilots", "dach", "wave-1", "key-accounts", "no", "7")
COMMENTS = st.sampled_from(["", "", "  # a: [b, - c", "   # ü 😀 {"])
OWN_LINES = st.sampled_from(["", "", "\n", "          # why: because\n", "# - at the margin\n"])
QUOTES = st.sampled_from(["", '"', "'"])


@dataclasses.dataclass
class Layout:
    """A managed flag among others, in one of the many ways to write it.

    `text` writes it as it is; with other values, without some clauses, or with more of them, it is what an edit must
    give to the byte. None: where the new clauses stand on the lines is left to the editor.
    """

    name: str
    said: Managed
    text: Callable[[Managed, Collection[int], list[str]], str | None]


def _quoted(text: str, quote: str) -> str:
    return f"{quote}{text}{quote}" if quote or text not in {"no", "7"} else f'"{text}"'


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    pairs = st.tuples(st.sampled_from(NAMES), st.sampled_from(["new", "legacy"]))
    total = draw(st.sampled_from([100, 10_000]))
    new = draw(st.integers(0, total))
    said = Managed(
        clauses=tuple(draw(st.lists(pairs, max_size=4, unique=True))),
        weights=(new, total - new),
        default=draw(st.sampled_from(["new", "legacy"])),
    )
    return draw(st.sampled_from([_block, _flow, _json]))(draw, said)


def _json(draw: st.DrawFn, said: Managed) -> Layout:
    indent = draw(st.sampled_from([None, 1, 2, "\t"]))
    plain = draw(st.booleans())

    def text(now: Managed, gone: Collection[int], more: list[str]) -> str | None:
        if gone or more:
            return None
        steps: list[Any] = []
        for name, to in said.clauses:
            steps += [{"in": [name, {"var": "segments"}]}, to]
        steps.append({"fractional": [["new", now.weights[0]], ["legacy", now.weights[1]]]})
        flag = {
            "state": "ENABLED",
            "variants": {"new": "new", "legacy": "legacy"},
            "defaultVariant": now.default,
            "targeting": {"if": steps},
            "metadata": {"note": '\u2028"[{,😀'},
        }
        flags = {"before": {"state": "DISABLED", "variants": {"a": 1}}, "orders": flag}
        return json.dumps({"flags": flags}, indent=indent, ensure_ascii=plain)

    return Layout("orders.flagd.json", said, text)


def _in_yaml(
    draw: st.DrawFn, steps: Callable[[Managed, Collection[int], list[str]], str | None], said: Managed
) -> Layout:
    first, last, by_name, by_default, by_end = (
        draw(one) for one in (OWN_LINES, OWN_LINES, COMMENTS, COMMENTS, COMMENTS)
    )
    quote, mark, ends = draw(QUOTES), draw(st.sampled_from(["", "\ufeff"])), draw(st.sampled_from(["\n", "\r\n"]))

    def text(now: Managed, gone: Collection[int], more: list[str]) -> str | None:
        written = steps(now, gone, more)
        if written is None:
            return None
        lines = (
            f"{first}flags:\n  before: {{state: DISABLED, variants: {{a: 1}}}}\n"
            f"  orders:{by_name}\n    state: ENABLED\n    variants: {{new: new, legacy: legacy}}\n"
            f"    defaultVariant: {_quoted(now.default, quote)}{by_default}\n    targeting:\n{written}"
            f"    metadata: {{note: 'new, 5 # legacy'}}{by_end}\n{last}"
            "  after:\n    state: DISABLED\n    variants: {b: 2}"
        )
        return mark + lines.replace("\n", ends)

    return Layout("orders.flagd.yaml", said, text)


def _block(draw: st.DrawFn, said: Managed) -> Layout:
    indent = " " * draw(st.integers(6, 9))
    head, gap, quote = draw(COMMENTS), draw(st.sampled_from([" ", "   "])), draw(QUOTES)
    before_ramp, by_ramp, after_ramp = draw(OWN_LINES), draw(COMMENTS), draw(OWN_LINES)
    clauses = []
    for name, to in said.clauses:
        condition = f"{indent}- {{in: [{_quoted(name, draw(QUOTES))}, {{var: segments}}]}}{draw(COMMENTS)}\n"
        if draw(st.booleans()):
            condition = f"{indent}- in:\n{indent}  - {_quoted(name, draw(QUOTES))}\n{indent}  - {{var: segments}}{draw(COMMENTS)}\n"
        outcome = f"{indent}-   {_quoted(to, draw(QUOTES))}{draw(COMMENTS)}\n"
        clauses.append((draw(OWN_LINES), condition, draw(OWN_LINES), outcome))

    def steps(now: Managed, gone: Collection[int], more: list[str]) -> str:
        lines = f"      if:{head}\n"
        for at, (above, condition, between, outcome) in enumerate(clauses):
            lines += above + between if at in gone else above + condition + between + outcome
        for name in more:
            lines += f"{indent}- {{in: [{_quoted(name, '')}, {{var: segments}}]}}\n{indent}- new\n"
        new, legacy = now.weights
        lines += (
            f"{before_ramp}{indent}- fractional: [[{_quoted('new', quote)}, {new}], [legacy,{gap}{legacy}]]{by_ramp}\n"
        )
        return lines + after_ramp

    return _in_yaml(draw, steps, said)


def _flow(draw: st.DrawFn, said: Managed) -> Layout:
    apart = draw(st.sampled_from([" ", "\n          ", " # next\n          ", "\n          # next: [\n          "]))
    head = draw(st.sampled_from(["", apart]))
    clauses = []
    for name, to in said.clauses:
        clauses += [f"{{in: [{_quoted(name, draw(QUOTES))}, {{var: segments}}]}}", _quoted(to, draw(QUOTES))]

    def steps(now: Managed, gone: Collection[int], more: list[str]) -> str | None:
        new, legacy = now.weights
        ramp = f"{{fractional: [[new, {new}], [legacy, {legacy}]]}}"
        return None if gone or more else f"      if: [{head}" + f",{apart}".join([*clauses, ramp]) + " ]\n"

    return _in_yaml(draw, steps, said)


SHARES = st.none() | st.sampled_from([0, 1, 99, 100, 2500, 9999, 10_000]) | st.integers(0, 10_000)
SEGMENTS = st.lists(st.sampled_from(NAMES), max_size=3, unique=True).map(tuple)


@settings(max_examples=300, deadline=None)
@given(layouts(), SHARES, st.booleans(), SEGMENTS, st.data())
def test_whatever_the_layout_the_file_then_says_what_was_wanted_and_all_the_rest_stays_to_the_byte(
    layout: Layout, share_bp: int | None, everyone: bool, add: tuple[str, ...], more: st.DataObject
) -> None:
    said = layout.said
    removable = [name for name in said.segments(Backend.NEW) if name not in add]
    remove = tuple(more.draw(st.lists(st.sampled_from(removable), unique=True)) if removable else ())
    change = Change(share_bp=share_bp, everyone=everyone, add=add, remove=remove)
    text = layout.text(said, (), [])
    assert text is not None

    after = edit_flag(layout.name, text.encode(), "orders", change).decode()

    wanted = said.after(change)
    now, before = _read(layout.name, after), _read(layout.name, text)
    assert read_managed(now["flags"]["orders"]) == wanted
    assert now["flags"].pop("orders")["metadata"] == before["flags"].pop("orders")["metadata"]
    assert now == before
    exactly = layout.text(wanted, said.removed(change), said.added(change))
    assert exactly is None or after == exactly


def _read(name: str, text: str) -> Any:
    return json.loads(text) if name.endswith(".json") else _as_data(text.removeprefix("\ufeff"))
