from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.table import DamagedTable, Table, build_table

entries = st.dictionaries(st.binary(max_size=40), st.binary(max_size=40), max_size=300)


@given(entries, st.binary(max_size=40))
def test_a_table_says_what_a_mapping_says(held: dict[bytes, bytes], other: bytes) -> None:
    table = Table(memoryview(build_table(held.items())))
    assert dict(table) == held
    assert table.entries == len(held)
    for key, value in held.items():
        assert table.get(key) == value
    assert table.get(other) == held.get(other)
    assert (other in table) == (other in held)


@given(entries)
def test_the_order_of_the_lines_does_not_change_the_bytes(held: dict[bytes, bytes]) -> None:
    assert build_table(held.items()) == build_table(reversed(held.items()))


@pytest.mark.parametrize("damage", [b"", b"short", b"x" * 64, build_table([(b"a", b"")])[:20]])
def test_bytes_that_are_no_table_are_refused(damage: bytes) -> None:
    with pytest.raises(DamagedTable):
        Table(memoryview(damage))


def test_an_entry_too_long_is_named() -> None:
    with pytest.raises(ValueError, match="longer than 65535 bytes"):
        build_table([(b"k" * 65_536, b"")])
