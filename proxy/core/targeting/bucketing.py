"""Bucketing: an account's fixed place on a flag's ramp. Frozen; `tests/vectors/buckets.yaml` holds it still.

Source: flagd ``fractional``, hash input v3: murmur3 x86 32 (seed 0) over the canonical CBOR (RFC 8949 §4.2.1)
of the bucketing value. Changing anything here moves live accounts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import cbor2
import mmh3

_SHORT: Final = tuple(bytes((0x60 + size,)) for size in range(24))  # what canonical CBOR puts before a short text

MOST_WEIGHT: Final = 2_147_483_647
"""The largest total weight a ramp may have (flagd: the largest 32-bit signed number)."""

_hash: Final = mmh3.hash  # bound once: the look-up is a tenth of the cost


def bucket(flag: str, account: str, total_weight: int) -> int:
    """Place an account on a flag's ramp, the same place for ever.

    Args:
        flag: the flag's key; each flag ramps through the accounts in its own order.
        account: the sticky key, compared as UTF-8; never empty (no account has no bucket).
        total_weight: the ramp's length, 1 to 2 147 483 647; 10 000 for basis points.

    Returns:
        A place in ``[0, total_weight)``, uniform over accounts. With new listed first, places below
        new's weight are served by new: 0 is nobody, the total is everybody, and raising only adds.
    """
    return ramp(flag)(account, total_weight)


def ramp(flag: str) -> Callable[[str, int], int]:
    """`bucket` for one flag, with the flag's part of the hashed bytes made once (0.5 µs a call)."""
    front = b"\x82" + text_bytes(flag.encode())

    def place(account: str, total_weight: int) -> int:
        return (_hash(front + text_bytes(account.encode()), 0, False) * total_weight) >> 32

    return place


def bucket_of_value(value: Any, total_weight: int) -> int:
    """Place any JSON value, for a `fractional` that names its own bucketing value.

    Raises:
        ValueError: the value has no canonical CBOR.
    """
    try:
        return (_hash(cbor2.dumps(_whole_numbers(value), canonical=True), 0, False) * total_weight) >> 32
    except (cbor2.CBOREncodeError, RecursionError) as error:
        raise ValueError(f"the bucketing value has no canonical CBOR: {error}") from error


def text_bytes(text: bytes) -> bytes:
    """Canonical CBOR of a text string, given its UTF-8 (major type 3, shortest length)."""
    size = len(text)
    if size < 24:
        return _SHORT[size] + text
    if size < 0x100:
        return bytes((0x78, size)) + text
    if size < 0x1_0000:
        return b"\x79" + size.to_bytes(2, "big") + text
    return b"\x7a" + size.to_bytes(4, "big") + text


def _whole_numbers(value: Any) -> Any:
    """Floats without a fraction as integers, as far as 64 bits go: flagd hashes 5.0 as 5."""
    if isinstance(value, dict):
        return {key: _whole_numbers(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_whole_numbers(inner) for inner in value]
    if isinstance(value, float) and value.is_integer() and -(2**63) <= value <= 2**64 - 1:
        return int(value)
    return value
