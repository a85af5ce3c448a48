"""A tiny DNS server on loopback that says what is wanted of it, or nothing."""

from __future__ import annotations

import socket
import struct
import threading

A, AAAA, CNAME, SOA = 1, 28, 5, 6
SERVFAIL, NXDOMAIN = 2, 3


class Nameserver:
    """Answers over UDP, one question at a time.

    Attributes:
        records: of each name, in lower case: the text of its addresses, and `-> OTHER` for an alias.
        ttl_s: of every record; `alias_ttl_s` of aliases.
        rcode: instead of every answer; None: as the records say.
        broken: kinds of question that are answered SERVFAIL.
        silent: nothing is answered.
        asked: every question so far, as (name, kind).
    """

    def __init__(self) -> None:
        self.records: dict[str, list[str]] = {}
        self.ttl_s = 0
        self.alias_ttl_s = 0
        self.rcode: int | None = None
        self.broken: set[int] = set()
        self.silent = False
        self.asked: list[tuple[str, int]] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Be gone."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            question, client = self._socket.recvfrom(4096)
            if not question:
                return
            answer = self._answer(question)
            if not self.silent:
                self._socket.sendto(answer, client)

    def _answer(self, message: bytes) -> bytes:
        """RFC 1035 §4: the question again, and behind it its records."""
        at, labels = 12, []
        while length := message[at]:
            labels.append(message[at + 1 : at + 1 + length].decode().lower())
            at += 1 + length
        kind: int = struct.unpack_from("!H", message, at + 1)[0]
        name = ".".join(labels)
        self.asked.append((name, kind))
        found: list[bytes] = []
        rcode = self.rcode if self.rcode is not None else SERVFAIL if kind in self.broken else 0
        if rcode == 0 and name not in self.records:
            rcode = NXDOMAIN
        if rcode == 0:
            owner = name
            for text in self.records[name]:
                if text.startswith("-> "):
                    target = text.removeprefix("-> ")
                    found.append(_record(owner, CNAME, self.alias_ttl_s, _name(target)))
                    owner = target
                elif (":" in text) is (kind == AAAA):
                    family = socket.AF_INET6 if kind == AAAA else socket.AF_INET
                    found.append(_record(owner, kind, self.ttl_s, socket.inet_pton(family, text)))
        authority = [_record("test", SOA, self.ttl_s, _name("a") + _name("b") + struct.pack("!5I", *(self.ttl_s,) * 5))]
        behind = [] if found else authority  # for how long "nothing" holds (RFC 2308 §3)
        head = message[:2] + struct.pack("!5H", 0x8580 | rcode, 1, len(found), len(behind), 0)
        return head + message[12 : at + 5] + b"".join((*found, *behind))


def _name(text: str) -> bytes:
    return b"".join(bytes((len(label),)) + label.encode() for label in text.split(".")) + b"\0"


def _record(owner: str, kind: int, ttl_s: int, data: bytes) -> bytes:
    return _name(owner) + struct.pack("!HHIH", kind, 1, ttl_s, len(data)) + data
