"""WebSocket libraries that nobody here wrote, at both ends of a tunnel: they notice nothing."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK, InvalidStatus
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from proxy.core.switches.covering import LiveEntry, LiveLatch, Under
from proxy.core.switches.latch import Entry, Scope
from tests.traffic.wire import Node

BIG = "ä" * 2_000_000
EVERYTHING = LiveLatch(1, [LiveEntry(Entry(id="r1", scope=Scope(), by="me", reason="smells", at="now"), Under.RUNNING)])


async def echo(connection: ServerConnection) -> None:
    """Send back what comes; a few words do something else."""
    async for message in connection:
        match message:
            case "who":
                await connection.send(str(connection.subprotocol))
            case "pieces":
                await connection.send(["in ", "three ", "pieces"])
            case "close":
                await connection.close(4001, "as agreed")
            case _:
                await connection.send(message)


def guard(connection: ServerConnection, request: Request) -> Response | None:
    """Nobody but those who say so may enter `/guarded`."""
    if request.path == "/guarded" and request.headers.get("Authorization") != "Bearer key":
        return connection.respond(401, "who are you?\n")
    return None


@asynccontextmanager
async def serving() -> AsyncIterator[str]:
    protocols = [Subprotocol("shop.v2"), Subprotocol("shop.v1")]
    async with serve(echo, "127.0.0.1", 0, subprotocols=protocols, process_request=guard, max_size=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield f"http://127.0.0.1:{port}"


def there(node: Node, path: str = "/chat", protocol: str = "shop.v1") -> connect:
    url = f"ws://127.0.0.1:{node.port}{path}"
    return connect(url, subprotocols=[Subprotocol(protocol)], max_size=None, proxy=None)


async def closing(client: ClientConnection) -> tuple[int | None, str | None]:
    await client.wait_closed()
    return client.close_code, client.close_reason


def test_compressed_huge_and_fragmented_messages_pings_and_closing_codes_pass(start: Callable[..., Node]) -> None:
    async def go() -> None:
        async with serving() as url, there(start(legacy=url)) as client:
            assert client.protocol.extensions, "compression was agreed on"
            for message in ("short", b"\x00\xff", BIG, BIG.encode()):
                await client.send(message)
                assert await client.recv() == message
            await client.send(["cut ", "into ", "frames"])
            assert await client.recv() == "cut into frames"
            await client.send("pieces")
            assert [piece async for piece in client.recv_streaming() if piece] == ["in ", "three ", "pieces"]
            await client.send("who")
            assert await client.recv() == "shop.v1"
            assert await (await client.ping()) >= 0
            await client.send("close")
            with pytest.raises(ConnectionClosedError):
                await client.recv()
            assert await closing(client) == (4001, "as agreed")

    asyncio.run(go())


def test_a_refused_handshake_reaches_the_client_as_it_is_and_the_next_one_works(start: Callable[..., Node]) -> None:
    async def go() -> None:
        async with serving() as url:
            node = start(legacy=url)
            with pytest.raises(InvalidStatus) as refused:
                await there(node, "/guarded")
            assert (refused.value.response.status_code, refused.value.response.body) == (401, b"who are you?\n")
            async with there(node) as client:
                await client.send("in")
                assert await client.recv() == "in"
            assert await closing(client) == (1000, "")

    asyncio.run(go())


def test_after_a_rollback_a_client_that_comes_back_by_itself_is_at_the_other_system(
    start: Callable[..., Node],
) -> None:
    async def go() -> None:
        async with serving() as legacy, serving() as new:
            node = start(legacy=legacy, new=new, rollback_drain_s=0.2)
            codes: list[int | None] = []
            async for client in there(node, "/new/chat"):
                await client.send("hello")
                assert await client.recv() == "hello"
                if codes:
                    break
                node.latch = EVERYTHING
                node.do(node.traffic.latch_changed)
                assert not isinstance(await stopped(client), ConnectionClosedOK)
                codes.append(client.close_code)
            assert codes == [1006]
            assert node.count('strangler_tunnels_open{area="moved",backend="new"}') == 0
            assert node.count('strangler_tunnels_open{area="moved",backend="legacy"}') == 1
            await client.close()

    async def stopped(client: ClientConnection) -> Exception:
        with pytest.raises(ConnectionClosedError) as told:
            await client.recv()
        return told.value

    asyncio.run(go())


NODE = shutil.which("node")
SCRIPT = """
const socket = new WebSocket(process.argv[1], ["shop.v2"]);
const heard = [];
socket.onopen = () => { socket.send("who"); socket.send("x".repeat(200000)); socket.send("close"); };
socket.onmessage = (event) => heard.push(event.data.length > 99 ? event.data.length : event.data);
socket.onclose = (event) => {
  console.log(JSON.stringify({heard, code: event.code, reason: event.reason, clean: event.wasClean}));
};
"""


def _node_has_websockets() -> bool:
    if NODE is None:
        return False
    asked = [NODE, "--experimental-websocket", "-p", "typeof WebSocket"]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip() == "function"


@pytest.mark.skipif(not _node_has_websockets(), reason="no Node.js with a WebSocket of its own; install 20.10 or newer")
def test_the_client_of_node_js_is_understood(start: Callable[..., Node]) -> None:
    async def go() -> None:
        assert NODE is not None
        async with serving() as url:
            node = start(legacy=url)
            process = await asyncio.create_subprocess_exec(
                *(NODE, "--experimental-websocket", "--no-warnings", "-e", SCRIPT, f"ws://127.0.0.1:{node.port}/chat"),
                stdout=asyncio.subprocess.PIPE,
            )
            async with asyncio.timeout(30):
                said, _ = await process.communicate()
        assert json.loads(said) == {"heard": ["shop.v2", 200000], "code": 4001, "reason": "as agreed", "clean": True}

    asyncio.run(go())
