"""PROXY headers: read exactly, or refused."""

from __future__ import annotations

import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.http.proxyprotocol import LONGEST_BYTES, BadHeader, Told, read_told

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"


def binary(command: int, family: int, body: bytes, length: int | None = None) -> bytes:
    return SIGNATURE + struct.pack("!BBH", command, family, len(body) if length is None else length) + body


def tcp(source: str, destination: str, tlvs: bytes = b"") -> bytes:
    one, other = ipaddress.ip_address(source), ipaddress.ip_address(destination)
    return binary(
        0x21, 0x11 if one.version == 4 else 0x21, one.packed + other.packed + struct.pack("!HH", 51000, 443) + tlvs
    )


@pytest.mark.parametrize(
    ("header", "source"),
    [
        (b"PROXY TCP4 192.0.2.7 198.51.100.1 51000 443\r\n", "192.0.2.7"),
        (b"PROXY TCP6 2001:DB8::7 2001:db8::1 51000 443\r\n", "2001:db8::7"),
        (b"PROXY UNKNOWN\r\n", None),
        (b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n", None),
        (tcp("192.0.2.7", "198.51.100.1"), "192.0.2.7"),
        (tcp("2001:db8::7", "2001:db8::1"), "2001:db8::7"),
        (tcp("192.0.2.7", "198.51.100.1", b"\x01\x00\x08http/1.1"), "192.0.2.7"),
        (binary(0x20, 0x00, b""), None),
        (binary(0x20, 0x99, b"whatever"), None),
        (binary(0x21, 0x00, b"tlvs"), None),
        (binary(0x21, 0x31, b"\0" * 216), None),
    ],
)
def test_a_header_tells_who_connected_and_where_it_ends(header: bytes, source: str | None) -> None:
    assert read_told(header + b"GET / HTTP/1.1\r\n") == Told(len(header), source)


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01",
        b"proxy TCP4 192.0.2.7 198.51.100.1 51000 443\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 51000\r\n",
        b"PROXY TCP4  192.0.2.7 198.51.100.1 51000 443\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 051000 443\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 65536 443\r\n",
        b"PROXY TCP4 192.0.2.256 198.51.100.1 51000 443\r\n",
        b"PROXY TCP4 192.0.2.07 198.51.100.1 51000 443\r\n",
        b"PROXY TCP4 2001:db8::7 2001:db8::1 51000 443\r\n",
        b"PROXY TCP6 192.0.2.7 198.51.100.1 51000 443\r\n",
        b"PROXY TCP5 192.0.2.7 198.51.100.1 51000 443\r\n",
        b"PROXY UNKNOWNx\r\n",
        b"PROXY " + b"1" * 101,
        SIGNATURE[:-1] + b"X",
        binary(0x11, 0x11, b"\0" * 12),
        binary(0x22, 0x11, b"\0" * 12),
        binary(0x21, 0x12, b"\0" * 12),
        binary(0x21, 0x11, b"\0" * 11),
        binary(0x21, 0x21, b"\0" * 35),
        binary(0x21, 0x11, b"", length=LONGEST_BYTES - 15),
    ],
)
def test_what_is_no_header_is_refused_at_once(data: bytes) -> None:
    with pytest.raises(BadHeader):
        read_told(data)


def test_a_header_may_be_as_long_as_is_allowed_and_a_line_as_the_specification_says() -> None:
    body = b"\0" * 12
    header = tcp("192.0.2.7", "198.51.100.1", b"\0" * (LONGEST_BYTES - 16 - len(body)))
    assert read_told(header) == Told(LONGEST_BYTES, "192.0.2.7")
    worst = b"PROXY UNKNOWN " + b"f" * (107 - 16) + b"\r\n"
    assert len(worst) == 107
    assert read_told(worst) == Told(107, None)


@given(st.ip_addresses(), st.binary(max_size=40), st.booleans(), st.binary(max_size=20))
def test_every_cut_of_a_header_waits_for_more_and_the_whole_ends_where_it_ends(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, tlvs: bytes, text: bool, rest: bytes
) -> None:
    if text:
        header = f"PROXY TCP{address.version} {address} {address} 1 65535\r\n".encode()
    else:
        header = tcp(str(address), str(address), tlvs)
    for cut in range(len(header)):
        assert read_told(header[:cut]) is None
    assert read_told(header + rest) == Told(len(header), str(address))


@given(st.binary(max_size=300))
def test_whatever_comes_is_a_header_or_part_of_one_or_refused(data: bytes) -> None:
    try:
        told = read_told(data)
    except BadHeader:
        return
    assert told is None or told.length <= len(data)
