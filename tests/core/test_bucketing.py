from __future__ import annotations

from pathlib import Path
from typing import Any

import cbor2
import mmh3
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.targeting.bucketing import bucket, bucket_of_value, text_bytes

VECTORS: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parents[1] / "vectors/buckets.yaml").read_text())


@pytest.mark.parametrize("row", VECTORS, ids=lambda row: f"{row['flag']}/{row['account'][:20]}")
def test_an_account_never_moves(row: dict[str, Any]) -> None:
    hashed = b"\x82" + text_bytes(row["flag"].encode()) + text_bytes(row["account"].encode())
    assert hashed.hex() == str(row["cbor"])
    assert mmh3.hash(hashed, 0, signed=False) == row["h"]
    assert bucket(row["flag"], row["account"], 10_000) == row["bucket"]
    assert bucket_of_value([row["flag"], row["account"]], 10_000) == row["bucket"]


@given(st.text())
def test_text_is_encoded_as_canonical_cbor_says(text: str) -> None:
    assert text_bytes(text.encode()) == cbor2.dumps(text, canonical=True)


@pytest.mark.parametrize("size", [23, 24, 255, 256, 65_535, 65_536])
def test_text_lengths_take_their_shortest_form_at_every_boundary(size: int) -> None:
    assert text_bytes(b"x" * size) == cbor2.dumps("x" * size, canonical=True)


@given(st.text(min_size=1), st.text(min_size=1), st.integers(1, 2_147_483_647))
def test_a_bucket_lies_on_the_ramp(flag: str, account: str, total: int) -> None:
    assert 0 <= bucket(flag, account, total) < total


def test_whole_floats_hash_as_integers() -> None:
    assert bucket_of_value(5.0, 10_000) == bucket_of_value(5, 10_000)
    assert bucket_of_value({"a": [5.0]}, 10_000) == bucket_of_value({"a": [5]}, 10_000)


def test_what_has_no_cbor_is_refused() -> None:
    with pytest.raises(ValueError, match="canonical CBOR"):
        bucket_of_value(object(), 10_000)


def test_shares_are_even_over_ten_thousand_accounts() -> None:
    buckets = [bucket("orders", f"account-{i}", 10_000) for i in range(10_000)]
    for share_bp in (100, 1_000, 2_500, 5_000):
        assert abs(sum(place < share_bp for place in buckets) - share_bp) < 150
