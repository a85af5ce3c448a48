from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.deciding.path import MOST_PIECES, has_dot_segments_or_empty, normal_path, split_path
from proxy.core.http.badmessage import BadMessage

PATHS = st.lists(
    st.sampled_from(
        [b"/", b"//", b".", b"..", b"a", b"%61", b"%2e", b"%2F", b"%2f", b"%5c", b"\\", b"%00", b";x", b"%zz", b"%",
         b"%C3%A9", b"\xc3\xa9", b"%c3%a9", b"~", b"%7e", b"%3B"]
    ),
    max_size=8,
).map(lambda parts: b"/" + b"".join(parts))  # fmt: skip


@pytest.mark.parametrize(
    ("path", "normal"),
    [
        (b"/orders/7", "/orders/7"),
        (b"/%6frders/%37", "/orders/7"),  # unreserved octets decoded
        (b"/a%2fb", "/a%2Fb"),  # others kept, in capitals
        (b"/a;v=1/b;x", "/a/b"),  # parameters ignored
        (b"/a//b///c", "/a/b/c"),  # runs of slashes
        (b"/a/./b/../c", "/a/c"),
        (b"/a/..;x/b", "/b"),  # parameters before dot segments
        (b"/a/%2E%2e/b", "/b"),
        (b"/a/..//b", "/b"),  # slashes before dot segments
        (b"/a//../b", "/b"),
        (b"/../../a", "/a"),
        (b"/a/..", "/"),
        (b"/a/b/.", "/a/b/"),
        (b"/100%/%zz", "/100%/%zz"),  # a broken escape is literal
        (b"/caf\xc3\xa9", "/caf%C3%A9"),
        (b"/caf%c3%a9", "/caf%C3%A9"),
    ],
)
def test_a_path_has_one_normal_form(path: bytes, normal: str) -> None:
    assert split_path(path)[0] == normal


@given(PATHS)
def test_the_normal_form_is_its_own_normal_form(path: bytes) -> None:
    normal = split_path(path)[0]
    if ";" not in normal and "%" not in normal:  # `%25` may spell an escape only once it is decoded, which nobody does
        assert split_path(normal.encode())[0] == normal
    assert normal.isascii()
    assert normal.startswith("/")
    assert "//" not in normal
    assert not re.search(r"/\.\.?(/|$)", normal)


@given(PATHS)
def test_only_a_confusing_path_has_other_readings(path: bytes) -> None:
    normal, readings = split_path(path)
    confusing = re.search(rb"%2f|%5c|%00|\\", path, re.IGNORECASE)
    dots = any(re.fullmatch(rb"(\.|%2e){1,2}(;.*)?", part, re.IGNORECASE) for part in path.split(b"/"))
    assert normal not in readings
    if not confusing and not dots:
        assert not readings
    assert len(readings) <= 33


@pytest.mark.parametrize(
    ("path", "seen"),
    [
        (rb"/a/..%2f\b%00c", {r"/a/..%2f\b%00c", "/b"}),  # nothing decoded; everything
        (b"/n/../l/..;/n/x", {"/l/..;/n/x", "/n/x"}),  # parameters kept; dropped
        (b"/n/../l//../n/x", {"/l/n/x", "/n/x"}),  # slashes kept apart; merged
        (rb"/n/a%2f..%2f..%2fl/..\..\n", {r"/l/..\..\n"}),  # one kind of slash understood, the other not
    ],
)
def test_every_mixture_of_leniencies_is_a_reading(path: bytes, seen: set[str]) -> None:
    normal, readings = split_path(path)
    assert seen - {normal} <= readings


@pytest.mark.parametrize("piece", [b"/", b"/%2f", b"/..;%00", rb"/\a", b"/%61"])
def test_a_path_of_many_readings_is_refused_where_all_of_them_would_take_too_long(piece: bytes) -> None:
    marks = len(re.findall(rb"[/\\%;]", piece))
    within = b"/.." + piece * ((MOST_PIECES - 1) // marks)
    split_path(within)
    with pytest.raises(BadMessage, match="pieces"):
        split_path(within + piece)


@pytest.mark.parametrize("piece", [b"/a", b"%C3%A9", b"//", b";x"])
def test_a_path_of_one_reading_may_have_any_number_of_pieces(piece: bytes) -> None:
    assert not split_path(b"/" + piece * 2 * MOST_PIECES)[1]


def test_a_person_may_write_letters_beyond_ascii() -> None:
    assert normal_path("/café") == "/caf%C3%A9"


@pytest.mark.parametrize(
    "path",
    [b"/a//b", rb"/a/..\x", b"/a/..%2f../b", b"/a%5c..%5cb", b"/a/../b", b"/a/%2e%2E/b", b"/./a", b"/a/.", b"/a/..;x"],
)
def test_a_rewrite_sees_dot_segments_and_empty_ones(path: bytes) -> None:
    assert has_dot_segments_or_empty(path)


@pytest.mark.parametrize("path", [b"/a/b", b"/a.b/..c", b"/a%20b/"])
def test_a_rewrite_lets_other_dots_be(path: bytes) -> None:
    assert not has_dot_segments_or_empty(path)
