"""WebSocket libraries of two languages, each as client and as server: what passes the proxy is what was sent."""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, ConnectionClosedError
from websockets.sync.client import ClientConnection, connect
from websockets.sync.server import ServerConnection, serve
from websockets.typing import Subprotocol

from bench.node import LOOPBACK
from tests.compat.javascript import needs_node, serving, told_by
from tests.compat.setting import Setting, setting

pytestmark = needs_node

REST = """\
areas:
  chat:
    routes: [{path: "/**"}]
"""
PROTOCOLS = [Subprotocol("shop.v1"), Subprotocol("shop.v2")]
ACCOUNTS = {"python": "other", "javascript": "acme"}
"""Whom the flag sends to the server of which language: legacy is Python, new is JavaScript."""

CONVERSATION = {
    "protocol": "shop.v2",
    "extension": "permessage-deflate",
    "short": "short ä",
    "octets": "00ff",
    "longText": True,
    "longBinary": True,
    "cut": "cut into frames",
    "pieces": "in three pieces",
    "pong": "hello",
    "pinged": "pong: are you there",
    "burst": hashlib.sha256(b"".join(b"message %d" % i for i in range(500))).hexdigest(),
    "closed": "4001 as agreed",
    "lastClose": "4002 I am done",
}


class Echo:
    """The `websockets` library as a server, with the words of `ws_server.js`."""

    def __init__(self) -> None:
        self._last_close = "none"

    def __call__(self, socket: ServerConnection) -> None:
        try:
            for message in socket:
                self._answer(socket, message)
        except ConnectionClosed:
            pass
        finally:
            self._last_close = f"{socket.close_code} {socket.close_reason}"

    def _answer(self, socket: ServerConnection, message: str | bytes) -> None:
        match message:
            case "who":
                socket.send("python")
            case "pieces":
                socket.send(["in ", "three ", "pieces"])
            case "ping me":
                pong = socket.ping("are you there")
                # The pong is read by the library's own thread, and only one with this very payload counts.
                socket.send("pong: are you there" if pong.wait(20) else "no pong")
            case "last close":
                socket.send(self._last_close)
            case "close":
                socket.close(4001, "as agreed")
            case _:
                socket.send(message)


@contextmanager
def serving_python() -> Iterator[str]:
    with serve(
        Echo(),
        LOOPBACK,
        0,
        subprotocols=PROTOCOLS,
        select_subprotocol=lambda _, offered: PROTOCOLS[1] if PROTOCOLS[1] in offered else None,
        max_size=None,
    ) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://{LOOPBACK}:{server.socket.getsockname()[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setting]:
    with (
        serving_python() as legacy,
        serving("ws_server.js") as new,
        setting(tmp_path_factory.mktemp("chat") / "proxy", legacy=legacy, new=new, area="chat", rest=REST) as found,
    ):
        yield found


def told_by_python(url: str, cookie: str) -> dict[str, Any]:
    """The conversation of `ws_client.js`, held by the `websockets` library."""

    @contextmanager
    def there() -> Iterator[ClientConnection]:
        asked = {"Cookie": cookie}
        with connect(url, subprotocols=PROTOCOLS, additional_headers=asked, max_size=None, proxy=None) as socket:
            yield socket

    def ask(socket: ClientConnection, message: Any) -> Any:
        socket.send(message)
        return socket.recv(timeout=20)

    with there() as socket:
        text, noise = "ä" * 2_000_000, secrets.token_bytes(3_000_000)
        heard = {
            "protocol": socket.subprotocol,
            "extension": ",".join(extension.name for extension in socket.protocol.extensions),
            "server": ask(socket, "who"),
            "short": ask(socket, "short ä"),
            "octets": ask(socket, b"\x00\xff").hex(),
            "longText": ask(socket, text) == text,
            "longBinary": ask(socket, noise) == noise,
            "cut": ask(socket, ["cut ", "into ", "frames"]),
            "pieces": ask(socket, "pieces"),
            "pong": "hello" if socket.ping("hello").wait(20) else "no pong",
            "pinged": ask(socket, "ping me"),
        }
        for number in range(500):
            socket.send(f"message {number}")
        burst = hashlib.sha256()
        for _ in range(500):
            burst.update(socket.recv(timeout=20, decode=False))
        heard["burst"] = burst.hexdigest()
        socket.send("close")
        with pytest.raises(ConnectionClosedError):
            socket.recv(timeout=20)
        heard["closed"] = f"{socket.close_code} {socket.close_reason}"
    with there() as other:
        other.close(4002, "I am done")
    with there() as last:
        heard["lastClose"] = ask(last, "last close")
    return heard


@pytest.mark.parametrize("server", ["python", "javascript"])
@pytest.mark.parametrize("client", ["python", "javascript"])
def test_a_conversation_passes_whole(front: Setting, client: str, server: str) -> None:
    url, cookie = front.url.replace("http", "ws", 1) + "/chat?room=ä%2F", f"acct={ACCOUNTS[server]}"
    heard = told_by_python(url, cookie) if client == "python" else told_by("ws_client.js", url, cookie)
    assert heard == {**CONVERSATION, "server": server}
