"""Where a request came from: what is written by which setting, and what nobody can make up."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.http.message import read_request_head
from proxy.core.http.provenance import Provenance
from proxy.core.plan import Forwarding, Told

ALL_ON = Forwarding(x_port="append", forwarded="append")
NAMES = ("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "Forwarded")


def told(settings: Forwarding, *lines: str, host: str = "shop.example:8080", address: str = "192.0.2.7") -> list[str]:
    head = read_request_head("\r\n".join(("GET / HTTP/1.1", f"Host: {host}", *lines)).encode())
    return Provenance(settings, believed=True).lines_after(head, address.encode()).decode().splitlines()


def test_whoever_says_nothing_is_told_of_by_what_is_seen() -> None:
    seen = Provenance(ALL_ON, believed=False).lines(b"192.0.2.7", b"shop.example:8080").decode().splitlines()
    assert seen == [
        "X-Forwarded-For: 192.0.2.7",
        "X-Forwarded-Proto: http",
        "X-Forwarded-Host: shop.example:8080",
        "X-Forwarded-Port: 8080",
        'Forwarded: for=192.0.2.7;host="shop.example:8080";proto=http',
    ]


@pytest.mark.parametrize(
    ("address", "host", "scheme", "element", "port"),
    [
        ("2001:db8::1", "shop.example", "https", 'for="[2001:db8::1]";host=shop.example;proto=https', "443"),
        ("fe80::1%eth0", "[2001:db8::2]:81", "http", 'for="[fe80::1]";host="[2001:db8::2]:81";proto=http', "81"),
        ("192.0.2.7", "", "http", "for=192.0.2.7;proto=http", "80"),
        ("", "[2001:db8::2]", "http", 'for=unknown;host="[2001:db8::2]";proto=http', "80"),
    ],
)
def test_an_element_is_quoted_as_rfc_7239_has_it(address: str, host: str, scheme: str, element: str, port: str) -> None:
    settings = Forwarding(x_for="off", x_proto="off", x_host="off", x_port="replace", forwarded="replace")
    lines = Provenance(settings, believed=False, scheme=scheme.encode()).lines(address.encode(), host.encode())
    assert lines.decode() == f"X-Forwarded-Port: {port}\r\nForwarded: {element}\r\n"


SAID = (
    "X-Forwarded-For: 198.51.100.1, 203.0.113.9",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Host: public.example",
    "X-Forwarded-Port: 443",
    'Forwarded: for="a,b";by="\\"", for=203.0.113.9',
)


def test_what_a_believed_peer_says_is_continued() -> None:
    assert told(ALL_ON, *SAID) == [
        "X-Forwarded-For: 198.51.100.1, 203.0.113.9, 192.0.2.7",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: public.example",
        "X-Forwarded-Port: 443",
        'Forwarded: for="a,b";by="\\"", for=203.0.113.9, for=192.0.2.7;host="shop.example:8080";proto=http',
    ]


def test_only_as_many_of_the_last_addresses_are_kept_as_there_are_hops() -> None:
    settings = Forwarding(hops=1, forwarded="append")
    assert [told(settings, *SAID)[i] for i in (0, 3)] == [
        "X-Forwarded-For: 203.0.113.9, 192.0.2.7",
        'Forwarded: for=203.0.113.9, for=192.0.2.7;host="shop.example:8080";proto=http',
    ]
    two = told(Forwarding(hops=2, forwarded="append"), "X-Forwarded-For: ,1 ,, 2", "X-Forwarded-For: 3,", *SAID[4:])
    assert two[0] == "X-Forwarded-For: 2, 3, 192.0.2.7"
    assert two[3].startswith('Forwarded: for="a,b";by="\\"", for=203.0.113.9, for=192.0.2.7;')


@pytest.mark.parametrize("hops", [None, 1])
def test_a_list_whose_quote_is_not_closed_cannot_swallow_what_is_added(hops: int | None) -> None:
    settings = Forwarding(hops=hops, forwarded="append")
    assert told(settings, 'Forwarded: for=198.51.100.1;by="')[-1].startswith("Forwarded: for=192.0.2.7;")


@pytest.mark.parametrize("way", ["append", "replace", "off"])
@pytest.mark.parametrize("name", NAMES)
def test_each_field_passes_is_continued_or_is_replaced_by_its_own_setting(name: str, way: Told) -> None:
    key = {"Forwarded": "forwarded"}.get(name, name.lower().replace("x-forwarded-", "x_"))
    off: dict[str, Any] = dict.fromkeys(("x_for", "x_proto", "x_host", "x_port", "forwarded"), "off")
    settings = Forwarding(**{**off, key: way})
    believed, stranger = (Provenance(settings, believed=one) for one in (True, False))
    lower = name.lower().encode()
    assert stranger.drops(lower)
    assert not stranger.continues(lower)
    assert believed.drops(lower) == (way != "off")
    assert believed.continues(lower) == (way == "append")
    written = told(settings, f"{name}: said")
    assert [line.partition(":")[0] for line in written] == ([] if way == "off" else [name])
    assert ("said" in "".join(written)) == (way == "append")


_address = st.ip_addresses().map(str)
_rest = st.text(alphabet='abc019.:;=", \\', max_size=30)


@given(st.lists(_rest, max_size=3), _address, st.integers(1, 4))
def test_the_last_address_is_always_the_one_that_was_seen(said: list[str], address: str, hops: int) -> None:
    lines = [f"{name}: {value}" for value in said for name in ("X-Forwarded-For", "Forwarded")]
    for settings in (Forwarding(forwarded="append"), Forwarding(forwarded="append", hops=hops)):
        first, *_, last = told(settings, *lines, address=address)
        assert first.rpartition(",")[2].rpartition(" ")[2] == address
        if settings.hops is not None:
            assert first.count(",") <= hops
        node = re.escape(f'"[{address}]"' if ":" in address else address)
        element = r'(?:[^,"]|"(?:[^"\\]|\\.)*")*'
        own = rf'for={node};host="shop\.example:8080";proto=http'
        assert re.fullmatch(rf"Forwarded:(?:{element},)* {own}", last)
