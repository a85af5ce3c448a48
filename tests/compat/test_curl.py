"""curl's odder options: through the proxy, the server sees what it sees without, and so does curl.

Each command is run twice, at the server itself and at the proxy. What differs then must be what docs/traffic.md says.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from tests.compat.origin import Origin, Seen, origin
from tests.traffic.wire import Node, a_plan

CURL: Final = shutil.which("curl")
pytestmark = pytest.mark.skipif(CURL is None, reason="no curl on PATH; install it to run this")

ADDED = {"x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "via", "x-request-id"}
HOP_BY_HOP = {"connection", "proxy-connection", "te", "upgrade", "http2-settings", "keep-alive"}

MADE_UP = re.compile(r'(?:cnonce|response)="[^"]*"|boundary=[-0-9A-Za-z]+')


@dataclass(frozen=True, slots=True)
class Ways:
    """The same server, alone and behind the proxy."""

    origin: Origin
    node: Node
    here: Path

    def both(self, *words: str, given: bytes = b"") -> tuple[Told, Told]:
        """Run a command at the server itself, then at the proxy; `URL` in it is replaced."""
        return tuple(self.run(base, *words, given=given) for base in (self.origin.url, self.url))  # type: ignore[return-value]  # a pair

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.node.port}"

    def run(self, base: str, *words: str, given: bytes = b"") -> Told:
        assert CURL is not None
        before = len(self.origin.seen)
        (self.here / "heads").unlink(missing_ok=True)
        command = [CURL, "-q", "-sS", "--noproxy", "*", "-m", "20", "-D", str(self.here / "heads")]
        command += [word.replace("URL", base).replace("AUTHORITY", base.removeprefix("http://")) for word in words]
        done = subprocess.run(command, input=given, capture_output=True, check=False, timeout=40)
        heads = (self.here / "heads").read_bytes().decode("latin-1") if (self.here / "heads").exists() else ""
        return Told(done.returncode, done.stdout, heads, self.origin.seen[before:], base)


@dataclass(frozen=True, slots=True)
class Told:
    """What curl told, and what the server saw."""

    code: int
    output: bytes
    heads: str
    seen: list[Seen]
    base: str

    @property
    def plain_heads(self) -> str:
        """The heads without the proxy's own word on its connection, and without how a body was framed."""
        return re.sub(r"(?im)^(connection|transfer-encoding|x-strangler[\w-]*): .*\r\n", "", self.heads).replace(
            "HTTP/1.0", "HTTP/1.1"
        )

    def asked(self) -> list[tuple[Any, ...]]:
        """What the server saw, without what a proxy adds or keeps to itself, and without what curl makes up each time."""
        authority = self.base.removeprefix("http://")
        told = []
        for one in self.seen:
            fields = [
                (name, MADE_UP.sub("", value.replace(authority, "AUTHORITY")))
                for name, value in one.fields
                if name.lower() not in ADDED | HOP_BY_HOP | {"transfer-encoding"}
            ]
            line = one.line.replace(f" {self.base}/", " /").replace("HTTP/1.0", "HTTP/1.1")
            told.append((line, fields, re.sub(rb"--[-0-9A-Za-z]{30,}", b"--", one.body), one.trailers))
        return told


@pytest.fixture(scope="module")
def ways(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ways]:
    with origin() as server:
        node = Node(a_plan(server.url, server.url))
        try:
            yield Ways(server, node, tmp_path_factory.mktemp("curl"))
        finally:
            node.close()


SAME: Final = {
    "HTTP/1.0": ["--http1.0", "URL/page"],
    "HTTP/1.0 and a body": ["--http1.0", "-d", "a=1", "URL/page"],
    "HTTP/0.9 allowed": ["--http0.9", "URL/page"],
    "an upgrade to h2c offered": ["--http2", "URL/page"],
    "a method of its own": ["-X", "ODD", "URL/page"],
    "a method of odd characters": ["-X", "!#$%&'*+-.^_`|~", "URL/page"],
    "a method in lower case": ["-X", "get", "URL/page"],
    "GET with a body": ["-X", "GET", "-d", "a=1", "URL/page"],
    "DELETE with a body": ["-X", "DELETE", "-d", "a=1", "URL/page"],
    "TRACE": ["-X", "TRACE", "URL/page"],
    "PROPFIND": ["-X", "PROPFIND", "-H", "Depth: 1", "-d", "<propfind/>", "URL/dav/"],
    "OPTIONS *": ["-X", "OPTIONS", "--request-target", "*", "URL"],
    "dot segments as they are": ["--path-as-is", "URL/a/./b/../c//d"],
    "escapes as they are": ["URL/%7Ea/%e4/%C3%A4?q=%2F&&q=a+b&=;%", "-g"],
    "bytes above 127": ["URL/ä?ä=ö"],
    "brackets and pipes": ["-g", "URL/a[1]|{b}?x[]=1&y=\"'"],
    "only a question mark": ["URL/page?"],
    "a very long query": ["URL/page?" + "x" * 8000],
    "an empty Host": ["-H", "Host;", "URL/page"],
    "a Host of its own": ["-H", "Host: Shop.Example:8443", "URL/page"],
    "an empty field": ["-H", "X-Empty;", "-H", "X-Other: 1", "URL/page"],
    "a field three times": ["-H", "X-A: 1", "-H", "x-a: 2", "-H", "X-A: 1, 2", "URL/page"],
    "a large field": ["-H", "X-Large: " + "y" * 30_000, "URL/page"],
    "bytes above 127 in a field": ["-H", "X-Name: Müller", "URL/page"],
    "no User-Agent and no Accept": ["-A", "", "-H", "Accept:", "URL/page"],
    "many cookies": ["-b", "; ".join(f"c{i}={i}" for i in range(50)), "-b", 'z="a b"; =x; y', "URL/page"],
    "a name and a password": ["-u", "root:p:ä", "URL/page"],
    "digest": ["--digest", "-u", "a:b", "URL/digest"],
    "digest with a body": ["--digest", "-u", "a:b", "-d", "a=1", "URL/digest"],
    "whichever way of proving it": ["--anyauth", "-u", "a:b", "URL/digest"],
    "HEAD": ["-I", "URL/ranges"],
    "HEAD of chunks": ["-I", "-o", "/dev/null", "URL/chunked"],
    "a range": ["-r", "2-7", "URL/ranges"],
    "ranges": ["-r", "0-3,500-503,990-", "URL/ranges"],
    "going on at a place": ["-C", "990", "URL/ranges"],
    "modified since": ["-z", "2026-01-01", "URL/unmodified"],
    "a tag that is known": ["-H", 'If-None-Match: "1"', "URL/unmodified"],
    "nothing": ["URL/nothing"],
    "compressed": ["--compressed", "URL/compressed"],
    "compressed, left so": ["-H", "Accept-Encoding: gzip", "URL/compressed"],
    "compressed for the way alone": ["--tr-encoding", "URL/compressed"],
    "not compressed": ["URL/compressed"],
    "chunks with trailers": ["URL/chunked"],
    "until it closes": ["URL/until-close"],
    "until it closes, to HTTP/1.0": ["--http1.0", "URL/until-close"],
    "early hints": ["URL/hints"],
    "an odd status, odd fields": ["URL/odd"],
    "a form": ["-F", "a=1", "-F", "file=@-;filename=ä.bin", "URL/page"],
    "an upload": ["-T", "-", "-H", "Transfer-Encoding:", "URL/file"],
    "a chunked upload": ["-T", "-", "URL/file"],
    "a chunked upload that waits": ["-T", "-", "-H", "Expect: 100-continue", "URL/file"],
    "a chunked upload to somebody who refuses": ["-T", "-", "-H", "Expect: 100-continue", "URL/refuses"],
    "a body that waits": ["--data-binary", "@-", "-H", "Expect: 100-continue", "URL/page"],
    "a POST in chunks": ["--data-binary", "@-", "-H", "Transfer-Encoding: chunked", "URL/page"],
    "an empty POST": ["-d", "", "URL/page"],
    "an empty chunked upload": ["-T", "/dev/null", "-H", "Transfer-Encoding: chunked", "URL/page"],
    "a query from data": ["-G", "--data-urlencode", "q=ä &", "URL/page"],
    "the absolute form": ["--request-target", "http://AUTHORITY/page?x=1", "URL"],
    "as its own proxy": ["--proxy", "URL", "--noproxy", "", "URL/page"],
    "close at once": ["-H", "Connection: close", "URL/page"],
    "slowly": ["--limit-rate", "2000", "URL/ranges"],
    "one after another": ["URL/page", "--next", "-d", "b=2", "URL/page", "--next", "-I", "URL/page", "--next", "URL/chunked"],
}  # fmt: skip


@pytest.mark.parametrize("words", SAME.values(), ids=SAME.keys())
def test_the_server_sees_and_answers_the_same(ways: Ways, words: list[str]) -> None:
    alone, behind = ways.both(*words, given=b"\r\n\x00 given\n" * 50)
    assert (behind.code, behind.output) == (alone.code, alone.output)
    assert behind.plain_heads == alone.plain_heads
    assert behind.asked() == alone.asked()


def test_what_belongs_to_the_connection_alone_stays_here(ways: Ways) -> None:
    mine = ["-H", "Connection: X-Mine, TE", "-H", "X-Mine: 1", "-H", "TE: trailers, gzip"]
    for words in (["--http2"], ["-H", "Proxy-Connection: x"], ["-H", "Keep-Alive: 5"], mine):
        (seen,) = ways.run(ways.url, *words, "URL/page").seen
        left = [(name, value) for name, value in seen.fields if name.lower() in HOP_BY_HOP | {"x-mine"}]
        assert left == ([("TE", "trailers"), ("Connection", "TE")] if words is mine else [])


def test_raw_chunks_are_written_anew_without_their_notes_and_with_their_trailers(ways: Ways) -> None:
    told = ways.run(ways.url, "--raw", "URL/chunked").output
    assert re.sub(rb"(?m)^[0-9a-f]+\r\n|\r\n(?=[0-9a-f]+\r\n)", b"", told) == b"first secondX-Sum: 12\r\n\r\n"


def test_one_connection_serves_one_request_after_another(ways: Ways) -> None:
    form = "%{http_code} %{num_connects}\n"
    words = ["-o", "/dev/null", "-w", form]
    told = ways.run(
        ways.url,
        *([*words, "URL/page", "--next"] * 3),
        *(*words, "-T", "-", "URL/file", "--next", *words, "-I", "URL/chunked", "--next", *words, "URL/unmodified"),
        given=b"x" * 100_000,
    )
    assert told.output.decode().splitlines() == ["200 1", "200 0", "200 0", "200 0", "200 0", "304 0"]


def test_many_at_once_get_each_its_own_answer(ways: Ways) -> None:
    told = ways.run(ways.url, "-Z", "--parallel-max", "20", "-r", "0-3", "-w", "%{http_code}\n", *["URL/ranges"] * 60)
    assert told.output.replace(b"\n", b"").count(b"0123") == 60
    assert told.output.count(b"206") == 60
    assert len(told.seen) == 60


REFUSED: Final = {
    "no Host": (["-H", "Host:", "URL/page"], 400),
    "two lengths": (["-H", "Transfer-Encoding: chunked", "-H", "Content-Length: 3", "-d", "a=1", "URL/page"], 400),
    "chunks in HTTP/1.0": (["--http1.0", "-H", "Transfer-Encoding: chunked", "-d", "a=1", "URL/page"], 400),
    "a fragment": (["--request-target", "/page#x", "URL"], 400),
    "another authority": (["--request-target", "http://other.example/page", "URL"], 400),
    "a tunnel": (["-p", "--proxy", "URL", "--noproxy", "", "http://other.example/page"], 405),
    "HTTP/2 at once": (["--http2-prior-knowledge", "URL/page"], None),
}


@pytest.mark.parametrize(("words", "status"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_refused_reaches_no_server(ways: Ways, words: list[str], status: int | None) -> None:
    told = ways.run(ways.url, *words, "-w", "%{http_code}%{http_connect}")
    assert told.seen == []
    if status is None:
        assert told.code not in {0, 28}, "refused, and not only given up after a while"
    else:
        assert str(status).encode() in told.output
