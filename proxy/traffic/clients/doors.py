"""The listening sockets of one worker: how they are accepted from, and when not.

Plain sockets are accepted from by uvloop's own servers; those whose connections begin with something else than HTTP by hand
(`proxy.traffic.clients.entrance`). While there is no room for anybody else nobody is accepted: the sockets stay open, and newcomers wait in the
kernel's queue. To close a server is the only way to hold it; what it listens on is a duplicate, so that this costs nobody a connection.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Final

from proxy.traffic.clients.client import ClientConnection
from proxy.traffic.clients.entrance import Entrance, Terms

if TYPE_CHECKING:
    from proxy.traffic.server import Traffic

_BACKLOG: Final = 4096  # the kernel lowers it to net.core.somaxconn; listen() on an inherited socket sets it anew
_ACCEPTED_AT_ONCE: Final = 4096


class Doors:
    """Every socket that clients come in by.

    Attributes:
        held: nobody is accepted for now.
    """

    def __init__(self, traffic: Traffic) -> None:
        self.held = False
        self._traffic = traffic
        self._terms: Terms
        self._servers: list[tuple[asyncio.Server, socket.socket]] = []
        self._entrances: list[tuple[Entrance, socket.socket]] = []
        self._reopening: asyncio.Task[None] | None = None

    def obey(self, terms: Terms) -> None:
        """Let the next connections begin as the generation says. Who accepts by hand goes on so: a plain server can wait."""
        self._terms = terms
        if terms.guarded and self._servers:
            servers, self._servers = self._servers, []
            for server, sock in servers:
                server.close()
                self._enter_by(sock)
        for entrance, _ in self._entrances:
            entrance.terms = terms

    async def listen(self, sock: socket.socket) -> None:
        """Accept from a socket."""
        if self._terms.guarded:
            sock.listen(_BACKLOG)
            self._enter_by(sock)
        else:
            self._servers.append((await self._serve(sock), sock))

    def _enter_by(self, sock: socket.socket) -> None:
        entrance = Entrance(self._traffic, sock, self._terms)
        self._entrances.append((entrance, sock))
        if self.held:
            entrance.hold()

    async def _serve(self, sock: socket.socket) -> asyncio.Server:
        own = sock.dup()
        own.setblocking(False)
        loop = asyncio.get_running_loop()
        return await loop.create_server(lambda: ClientConnection(self._traffic), sock=own, backlog=_BACKLOG)

    @property
    def greeting(self) -> int:
        """How many connections were accepted and aren't clients yet."""
        return sum(len(entrance.greeting) for entrance, _ in self._entrances)

    def hold(self) -> None:
        """Accept nobody until `reopen`."""
        self.held = True
        for server, _ in self._servers:
            server.close()
        for entrance, _ in self._entrances:
            entrance.hold()

    def reopen(self) -> None:
        """Accept again."""
        self.held = False
        for entrance, _ in self._entrances:
            entrance.resume()
        if self._servers and (self._reopening is None or self._reopening.done()):
            self._reopening = asyncio.get_running_loop().create_task(self._serve_again())

    async def _serve_again(self) -> None:
        servers = self._servers
        for i, (_, sock) in enumerate(servers):
            if self.held or servers is not self._servers:
                return  # full again already, or closed, or guarded now
            servers[i] = await self._serve(sock), sock

    async def close(self) -> None:
        """Take what the kernel has accepted for us already, and accept no more."""
        servers, self._servers = self._servers, []
        for server, _ in servers:
            server.close()
        if self._reopening is not None:
            await self._reopening
        for _, sock in servers:
            await self._accept_queued(sock)
            sock.close()
        for entrance, sock in self._entrances:
            entrance.close()
            sock.close()

    async def _accept_queued(self, sock: socket.socket) -> None:
        """Closing the socket would reset it."""
        loop = asyncio.get_running_loop()
        sock.setblocking(False)
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                accepted, _ = sock.accept()
            except OSError:
                return
            accepted.setblocking(False)
            await loop.connect_accepted_socket(lambda: ClientConnection(self._traffic), accepted)

    def give_up(self) -> tuple[asyncio.Task[None], ...]:
        """Cancel what isn't a client yet; gives the tasks to wait for."""
        tasks = tuple(task for entrance, _ in self._entrances for task in entrance.greeting)
        for task in tasks:
            task.cancel()
        return tasks
