"""Everything that reads bytes, by itself: garbage may be refused in the reader's own words, and in no others.

Where a law can be said it is checked too: what was read is read again as the same; a normal form is its own normal form;
however a body is cut into reads, it comes to the same.
"""

from __future__ import annotations

import re
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from fuzz.mutation import cut, mutated
from fuzz.scripts import odd_answer
from fuzz.streams import odd_stream
from proxy.config.compile import compile_files
from proxy.config.text.fileset import FileSet
from proxy.core.deciding.path import split_path
from proxy.core.http.badmessage import BadMessage
from proxy.core.http.body import Relay
from proxy.core.http.framing import CHUNKED
from proxy.core.http.message import read_answer_head, read_request_head
from proxy.core.http.proxyprotocol import BadHeader, read_told
from proxy.core.http.websocket import SWITCHING, check_switch, websocket_key
from proxy.core.switches.bounded import Several, SeveralUnreadable, decode_several, encode_several
from proxy.core.switches.drill import Drills
from proxy.core.switches.freeze import Freezes
from proxy.core.switches.latch import LatchUnreadable, decode_latch, encode_latch
from proxy.core.telling.pages import PAGE_BYTES, Confirmed, Page
from tests.config.base import contents


class Broken(Exception):
    """A law that doesn't hold."""


class Refused(Exception):
    """The reader's own words."""


@dataclass(frozen=True, slots=True)
class Parser:
    """One reader.

    Attributes:
        begin: where inputs come from, before they are mutated.
        read: reads; raises Refused, Broken, or what is a find.
    """

    name: str
    begin: Callable[[Random], bytes]
    read: Callable[[Random, bytes], None]


def run_parsers(*, seed: str, inputs: int, seconds: float) -> int:
    """Try all of them in turn, print the table, and give the number of finds."""
    tried: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    finds: list[str] = []
    began = time.monotonic()
    number = 0
    while number < inputs and time.monotonic() - began < seconds and len(finds) < 10:
        for parser in PARSERS:
            name = f"{parser.name}:{seed}:{number}"
            why = attempt(parser, name)
            tried[parser.name] += 1
            refused[parser.name] += why == ""
            if why:
                finds.append(f"{name}\n    {why}")
        number += 1
    print(f"\nparsers: {tried.total():,} inputs in {time.monotonic() - began:.0f} s")
    print(f"{'reader':16} {'tried':>8} {'read':>8} {'refused':>8}")
    for name in tried:
        print(f"{name:16} {tried[name]:8,} {tried[name] - refused[name]:8,} {refused[name]:8,}")
    print(f"finds: {len(finds)}")
    for find in finds:
        print(f"  {find}")
    return len(finds)


def attempt(parser: Parser, number: str) -> str | None:
    """What the input of this number finds; empty: it was refused; None: it was read."""
    random = Random(number)
    data = parser.begin(random)
    if random.random() < 0.85:
        data = mutated(random, data, (data, parser.begin(random)))
    try:
        parser.read(random, data)
    except Refused:
        return ""
    except Exception:  # noqa: BLE001  whatever it is, it is the find
        return f"{data[:300]!r}\n{traceback.format_exc(limit=-4)}"
    return None


def _request(_: Random, data: bytes) -> None:
    raw = data.partition(b"\r\n\r\n")[0]
    try:
        head = read_request_head(raw)
        again = read_request_head(raw)
    except BadMessage as bad:
        _same_refusal(lambda: read_request_head(raw), bad)
        raise Refused from bad
    key = websocket_key(head)
    if (head.target, head.values, head.names, head.body, key) != (
        again.target,
        again.values,
        again.names,
        again.body,
        websocket_key(again),
    ):
        raise Broken("from memory it reads differently")


def _same_refusal(read: Callable[[], object], bad: BadMessage) -> None:
    try:
        read()
    except BadMessage as second:
        if (second.why, second.status) == (bad.why, bad.status):
            return
    raise Broken("refused once, and not the second time")


def _answer(random: Random, data: bytes) -> None:
    try:
        head = read_answer_head(data.partition(b"\r\n\r\n")[0], to_method=random.choice((b"GET", b"HEAD")))
        if head.status == SWITCHING:
            check_switch(random.choice((None, b"key")), head)
    except BadMessage as bad:
        raise Refused from bad


def _chunked(random: Random, data: bytes) -> None:
    """However it is cut, a body comes to the same; where it is refused is told as soon as that is seen, so bytes before may differ."""
    results = {
        _relayed(reads) for reads in ((data,), cut(random, data), tuple(data[i : i + 1] for i in range(len(data))))
    }
    if len(results) > 1:
        raise Broken(f"cut differently it comes to {results}")
    if None in results:
        raise Refused


def _relayed(reads: Iterable[bytes]) -> tuple[bytes, bool, bytes] | None:
    relay = Relay(CHUNKED, chunked=False, withholds=lambda _: False)
    out = b""
    surplus = b""
    try:
        for read in reads:
            if relay.done:
                surplus += read
                continue
            out += relay.feed(read)
            while relay.full:
                out += relay.feed(b"")
    except BadMessage:
        return None
    return out, relay.done, relay.surplus + surplus


def _path(_: Random, data: bytes) -> None:
    path = b"/" + data.translate(None, bytes(range(0x21)) + b"\x7f?#")
    normal, readings = split_path(path)
    if not normal.startswith("/") or normal in readings or len(readings) > 33:
        raise Broken(f"{path!r} → {normal!r}, {readings}")
    if _BROKEN_ESCAPE.search(path) is None and split_path(normal.encode())[0] != normal:
        raise Broken(f"the normal form of {path!r}, {normal!r}, isn't its own")


def _told(_: Random, data: bytes) -> None:
    """A header that comes whole is seen at its last byte, and not before."""
    try:
        told = read_told(data)
    except BadHeader as bad:
        raise Refused from bad
    if told is None:
        raise Refused
    for at in range(min(len(data), 600)):
        early = read_told(data[:at])
        if early is not None:
            if early != told:
                raise Broken(f"{early} from {at} bytes, {told} from all")
            break


def _page(random: Random, data: bytes) -> None:
    buffer = memoryview(bytearray(PAGE_BYTES))
    page = Page(buffer, Confirmed)
    page.write(Confirmed(pid=1, start_id="a"))
    at = random.randrange(0, 64)
    buffer[at : at + len(data[:64])] = data[:64]
    note = page.read()
    if note is None:
        raise Refused
    if note != Confirmed(pid=1, start_id="a"):
        raise Broken(f"torn, and read as {note}")


def _latch(_: Random, data: bytes) -> None:
    try:
        latch = decode_latch(data)
    except LatchUnreadable as bad:
        raise Refused from bad
    if decode_latch(encode_latch(latch)) != latch:
        raise Broken("written again it reads differently")


def _bounded(kind: type[Several[Any]]) -> Callable[[Random, bytes], None]:
    def read(_: Random, data: bytes) -> None:
        try:
            several = decode_several(data, kind)
        except SeveralUnreadable as bad:
            raise Refused from bad
        if decode_several(encode_several(several), kind) != several:
            raise Broken("written again it reads differently")

    return read


def _text_of(name: str) -> Callable[[Random], bytes]:
    return lambda _: contents()[name]


def _file(name: str) -> Callable[[Random, bytes], None]:
    def read(_: Random, data: bytes) -> None:
        compiled = compile_files(FileSet.of(contents() | {name: data}))
        if compiled.plan is None:
            if not compiled.complaints:
                raise Broken("no plan, and no complaint")
            raise Refused

    return read


_BROKEN_ESCAPE: Final = re.compile(
    rb"%(?![0-9A-Fa-f]{2})"
)  # literal: decoded beside it, an octet may seem to complete it
_PATHS: Final = (
    b"/a/b;c=d/%2e%2E/./x//y",
    b"/%2f..%5c\\%00/%zz%7e",
    b"/new/..;/%c3%a9/\xff",
    b"//;//.//..;a",
    b"/%25%32%65/%3b/..",
)
_PROXY_TEXT: Final = b"PROXY TCP4 192.0.2.1 198.51.100.1 51234 443\r\nGET / HTTP/1.1\r\n"
_PROXY_BINARY: Final = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\2\1\xc6\x33\x64\1\xc8\x22\1\xbbGET /"
_PROXY_BINARY_6: Final = b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x29" + bytes(range(32)) + b"\0\x50\1\xbb\x03\0\2ab"
_LATCH: Final = b'{"version":1,"epoch":2,"entries":[{"id":"r1","scope":{"area":"orders"},"by":"x","reason":"y","at":"2026-01-01T00:00:00Z","plan":"ab"}]}'
_FREEZES: Final = b'{"version":1,"epoch":2,"entries":[{"id":"f1","scope":{"area":"orders"},"by":"x","reason":"y","at":"2026-01-01T00:00:00Z","until":"2026-01-01T00:02:00Z","until_s":5.5,"boot":"b"}]}'
_DRILLS: Final = _FREEZES.replace(
    b'"boot":"b"',
    b'"boot":"b","uid":0,"fault":{"kind":"delay","value":2.5},"backend":"new","share_bp":500,"ended_by":null',
)

PARSERS: Final = (
    Parser("request head", odd_stream, _request),
    Parser("answer head", lambda random: odd_answer(random, b"t")[0], _answer),
    Parser("chunks", lambda random: odd_stream(random).partition(b"\r\n\r\n")[2], _chunked),
    Parser("path", lambda random: random.choice(_PATHS), _path),
    Parser("PROXY header", lambda random: random.choice((_PROXY_TEXT, _PROXY_BINARY, _PROXY_BINARY_6)), _told),
    Parser("page", lambda random: random.randbytes(random.randrange(1, 40)), _page),
    Parser("latch file", lambda _: _LATCH, _latch),
    Parser("freezes file", lambda _: _FREEZES, _bounded(Freezes)),
    Parser("drills file", lambda _: _DRILLS, _bounded(Drills)),
    *(Parser(name, _text_of(name), _file(name)) for name in contents()),
)
