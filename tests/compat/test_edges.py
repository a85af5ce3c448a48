"""The edges of docs/edges.md, with the very configuration that stands there, before the real proxy: HTTP/2 in, HTTP/1.1 on."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from socket import create_connection
from typing import Final

import pytest
import trustme
from websockets.sync.client import connect

from bench.node import LOOPBACK, free_port
from tests.compat.origin import Origin, Seen, origin
from tests.compat.setting import Setting, setting
from tests.docs.reading import ROOT, blocks
from tests.waiting import until

CURL: Final = shutil.which("curl")
CADDY: Final = shutil.which("caddy")
NGINX: Final = shutil.which("nginx", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin")
TEXT: Final = (ROOT / "docs" / "edges.md").read_text()
CLIENT: Final = "127.0.0.2"
"""Another address of the loopback than the edge's, so that the two can be told apart."""

pytestmark = [
    pytest.mark.skipif(
        CURL is None or "HTTP2" not in subprocess.run([CURL, "-V"], capture_output=True, text=True, check=True).stdout,
        reason="no curl with HTTP/2 on PATH; install one to run this",
    ),
    pytest.mark.skipif(not Path("/proc/self").exists(), reason="127.0.0.2 is there on Linux alone"),
]

REST = """\
areas:
  moved:
    routes: [{path: "/**"}]
"""
IDENTITY = """\
identity: {trusted_from: [127.0.0.1/32], account: ["header:X-Account-Id", "cookie:acct"]}
"""


def nginx_command(here: Path, ports: dict[str, str]) -> list[str]:
    """Around the documented file stands what a distribution's nginx.conf has, in a directory of its own."""
    (server,) = blocks(TEXT, "nginx")
    temporary = "".join(
        f"{kind}_temp_path {here}/{kind}; " for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    whole = (
        f"daemon off; pid {here}/pid; error_log {here}/error.log; events {{}}\n"
        f"http {{ access_log off; {temporary}\n{adapted(server, ports)} }}\n"
    )
    (here / "nginx.conf").write_text(whole)
    return [str(NGINX), "-p", str(here), "-c", str(here / "nginx.conf"), "-e", str(here / "error.log")]


def caddy_command(here: Path, ports: dict[str, str]) -> list[str]:
    """Before the documented file stands what keeps Caddy off ports that aren't the test's."""
    (site,) = blocks(TEXT, "caddy")
    site = adapted(site, ports).replace("shop.example {", f"shop.example:{ports['443 ssl'].split()[0]} {{", 1)
    (here / "Caddyfile").write_text("{\n\tadmin off\n\tauto_https disable_redirects\n}\n" + site)
    return [str(CADDY), "run", "--config", str(here / "Caddyfile"), "--adapter", "caddyfile"]


def adapted(text: str, replaced: dict[str, str]) -> str:
    """The documented configuration with the addresses and files of this test, each of which must stand there."""
    for documented, real in replaced.items():
        assert documented in TEXT, documented
        text = text.replace(documented, real)
    return text


@dataclass(frozen=True, slots=True)
class Edge:
    """An edge, the proxy and the two systems behind it."""

    name: str
    port: int
    authority: Path
    here: Path
    legacy: Origin
    new: Origin
    front: Setting

    def command(self, *words: str) -> list[str]:
        assert CURL is not None
        there = f"shop.example:{self.port}:{LOOPBACK}"
        options = ["-q", "-sS", "--noproxy", "*", "-m", "20", "--http2", "--cacert", str(self.authority)]
        url = [word.replace("URL", f"https://shop.example:{self.port}") for word in words]
        return [CURL, *options, "--resolve", there, "--interface", CLIENT, *url]

    def curl(self, *words: str, given: bytes = b"") -> str:
        done = subprocess.run(self.command(*words), input=given, capture_output=True, check=False, timeout=40)
        assert done.returncode == 0, done.stderr
        return done.stdout.decode("latin-1")

    def seen(self, *words: str, given: bytes = b"", by: Origin | None = None) -> Seen:
        """What the system saw of one request."""
        self.curl(*words, given=given)
        return (by or self.legacy).seen[-1]


COMMANDS: Final[dict[str, Callable[[Path, dict[str, str]], list[str]]]] = {
    "nginx": nginx_command,
    "caddy": caddy_command,
}


@pytest.fixture(scope="module", params=COMMANDS)
def edge(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    name: str = request.param
    if (NGINX if name == "nginx" else CADDY) is None:
        pytest.skip(f"no {name} on PATH; install it to run this")
    here = tmp_path_factory.mktemp(name)
    authority, certificate = trustme.CA(), here / "certificate.pem"
    issued = authority.issue_cert("shop.example")
    issued.private_key_pem.write_to_path(here / "key.pem")
    certificate.write_bytes(b"".join(part.bytes() for part in issued.cert_chain_pems))
    authority.cert_pem.write_to_path(here / "authority.pem")
    port = free_port()
    with ExitStack() as stack:
        legacy, new = stack.enter_context(origin("legacy")), stack.enter_context(origin("new"))
        (documented,) = blocks(TEXT, "yaml")
        rest = re.sub(r"(?m)^public_origin.*\n", "", documented) + REST
        front = stack.enter_context(
            setting(here / "proxy", legacy=legacy.url, new=new.url, area="moved", rest=rest, identity=IDENTITY)
        )
        replaced = {
            "443 ssl": f"{port} ssl",
            "127.0.0.1:8080": front.url.removeprefix("http://"),
            "/etc/ssl/shop.example.pem": str(certificate),
            "/etc/ssl/shop.example.key": str(here / "key.pem"),
        }
        started = stack.enter_context(_started(COMMANDS[name](here, replaced), here))
        found = Edge(name, port, here / "authority.pem", here, legacy, new, front)

        def ready() -> bool:
            assert started.poll() is None, (here / "output.log").read_text()
            return subprocess.run(found.command("URL/ready"), capture_output=True, check=False).returncode == 0

        until(ready, f"{name} answers")
        yield found
        started.terminate()


def _started(command: list[str], here: Path) -> subprocess.Popen[bytes]:
    at_home = {**os.environ, "HOME": str(here), "XDG_DATA_HOME": str(here), "XDG_CONFIG_HOME": str(here)}
    with (here / "output.log").open("wb") as output:
        return subprocess.Popen(command, env=at_home, stdin=subprocess.DEVNULL, stdout=output, stderr=output)


def test_clients_speak_http_2_and_systems_see_who_they_are(edge: Edge) -> None:
    assert edge.curl("-o", os.devnull, "-w", "%{http_version} %{response_code}", "URL/page") == "2 200"
    seen = edge.seen("URL/page")
    assert seen.line == "GET /page HTTP/1.1"
    authority = f"shop.example:{edge.port}"
    assert seen.all("host") == [authority]
    assert seen.all("x-forwarded-for") == [f"{CLIENT}, {LOOPBACK}"]
    assert seen.all("x-forwarded-proto") == ["https"]
    assert seen.all("x-forwarded-host") == [authority]
    assert len(seen.all("x-request-id")) == 1


def test_what_clients_make_up_about_themselves_is_not_told(edge: Edge) -> None:
    lies = {
        "X-Forwarded-For": "6.6.6.6",
        "X-Forwarded-Proto": "gopher",
        "X-Forwarded-Host": "evil.example",
        "Forwarded": "for=6.6.6.6",
        "X-Account-Id": "acme",
        "X_Account_Id": "acme",
    }
    seen = edge.seen(*(word for name, value in lies.items() for word in ("-H", f"{name}: {value}")), "URL/page")
    told = " ".join(f"{name}: {value}" for name, value in seen.fields)
    assert [value for value in ("6.6.6.6", "gopher", "evil.example", "acme") if value in told] == []


def test_the_account_decides_through_an_edge_too(edge: Edge) -> None:
    assert edge.curl("-b", "acct=acme", "URL/page") == "new 0\n"
    assert edge.curl("-b", "acct=other", "URL/page") == "legacy 0\n"


def test_targets_and_bodies_arrive_as_they_were_sent(edge: Edge) -> None:
    seen = edge.seen("-g", "--path-as-is", "URL/a%2Bb/%C3%A4//c;v=1?q=%2F&&q=[a]&=")
    assert seen.line == "GET /a%2Bb/%C3%A4//c;v=1?q=%2F&&q=[a]&= HTTP/1.1"
    content = secrets.token_bytes(3_000_000)
    for words in (["--data-binary", "@-"], ["-T", "-"], ["-T", "-", "-H", "Expect: 100-continue"]):
        seen = edge.seen(*words, "URL/page", given=content)
        assert hashlib.sha256(seen.body).digest() == hashlib.sha256(content).digest()


def test_answers_arrive_as_they_were_given(edge: Edge) -> None:
    assert edge.curl("-r", "2-7", "URL/ranges") == "234567"
    assert edge.curl("URL/chunked") == "first second"
    assert len(edge.curl("URL/until-close")) == 1000
    assert "content-encoding" not in edge.curl("-I", "URL/compressed").lower()
    heads = edge.curl("-D", "-", "-o", os.devnull, "URL/odd")
    assert re.findall(r"(?im)^set-cookie: (.*)\r$", heads) == ["a=1", "b=2; Path=/"]
    assert heads.startswith("HTTP/2 299")


def test_trailers_pass_where_the_document_says_so(edge: Edge) -> None:
    assert ("x-sum: 12" in edge.curl("-D", "-", "URL/chunked").lower()) == (edge.name == "caddy")


def test_events_come_at_once_and_the_system_learns_that_their_listener_has_left(edge: Edge) -> None:
    listening = subprocess.Popen(edge.command("-N", "URL/events"), stdout=subprocess.PIPE)
    assert listening.stdout is not None
    with listening:
        assert listening.stdout.readline() == b"data: first\n"
        edge.legacy.gate.set()
        assert [listening.stdout.readline() for _ in range(2)] == [b"\n", b"data: second\n"]
        listening.terminate()
    assert edge.legacy.left.wait(20)


def test_a_rollback_is_seen_by_the_next_request(edge: Edge) -> None:
    assert edge.curl("-b", "acct=acme", "URL/page") == "new 0\n"
    with edge.front.rolled_back():
        assert edge.curl("-b", "acct=acme", "URL/page") == "legacy 0\n"
    assert edge.curl("-b", "acct=acme", "URL/page") == "new 0\n"


def test_a_websocket_passes(edge: Edge) -> None:
    trusting, there = ssl.create_default_context(cafile=edge.authority), create_connection((LOOPBACK, edge.port))
    with connect(f"wss://shop.example:{edge.port}/socket", ssl=trusting, sock=there, proxy=None) as socket:
        socket.send("hello")
        assert socket.recv(timeout=20) == "hello"
