"""Connections that begin with something else than HTTP: a PROXY header, a TLS handshake, or both in this order.

Without either, uvloop's own server accepts, and nothing here runs (`proxy.traffic.server`). With them connections are
accepted here, because

1. the PROXY header stands before TLS, and uvloop's server would hand its bytes to OpenSSL. They are looked at in the
   socket (MSG_PEEK) and taken out exactly, so that TLS finds its first byte where it expects it
2. plain text on a port for TLS is recognised by its first byte, and gets an answer that can be read
3. a reload replaces certificates, trusted certificate authorities and all else for the next connection, at once

One task a connection, which ends when the connection is a client or isn't; `Listener.handshake_s` bounds it.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
from collections import Counter
from typing import TYPE_CHECKING, Final

from proxy.core.deciding.networks import lies_in, networks
from proxy.core.http.proxyprotocol import LONGEST_BYTES, BadHeader, read_told
from proxy.core.limits import Limit
from proxy.core.telling.faults import Fault, Kind, Party, Stage
from proxy.traffic.backends.reach import tls_words
from proxy.traffic.clients.client import ClientConnection
from proxy.traffic.clients.crowd import site_of
from proxy.traffic.clients.secure import Misdirected, SecureClient
from proxy.traffic.limits import TICK_S, ticks

if TYPE_CHECKING:
    from proxy.core.plan import Listener
    from proxy.traffic.backends.tls import Credentials
    from proxy.traffic.server import Traffic

_ACCEPTED_A_TURN: Final = 64  # then others have their turn
_ACCEPTED_AT_THE_END: Final = 4096
_HANDSHAKE_RECORD: Final = b"\x16"  # RFC 8446 §5.1: what every TLS connection begins with
_MARGIN_S: Final = 60.0  # above our own deadline, which is the one that ends it
_TOLD_EVERY_S: Final = 10.0  # whoever scans the port mustn't fill the disk
_GONE_ALREADY: Final = frozenset({errno.ECONNABORTED, errno.EINTR, errno.EPROTO})

_NO_HANDSHAKE: Final = Fault(Party.CLIENT, Stage.CONNECT, Kind.HANDSHAKE)
_BAD_HEADER: Final = Fault(Party.CLIENT, Stage.CONNECT, Kind.MALFORMED)
_LATE: Final = Fault(Party.CLIENT, Stage.CONNECT, Kind.TIMEOUT)
_LEFT: Final = Fault(Party.CLIENT, Stage.CONNECT, Kind.LEFT)
_TOO_MANY: Final = Fault(Party.CLIENT, Stage.CONNECT, Kind.BUSY)

_log = logging.getLogger("listener")


class Terms:
    """What a connection has to begin with, as one generation says it.

    Attributes:
        context: for TLS; None: plain text.
        handshake_s: the longest that all of it may take.
        guarded: whether there is any of it.
    """

    __slots__ = ("_told_by", "context", "guarded", "handshake_s")

    def __init__(self, listener: Listener, credentials: Credentials) -> None:
        self.context = None if credentials.listener is None else credentials.listener.context
        self.handshake_s = listener.handshake_s
        self._told_by = networks(listener.proxy_protocol_from)
        self.guarded = self.context is not None or bool(self._told_by)

    def tells(self, address: str) -> bool:
        """Whether this peer must say by a PROXY header who connected to it."""
        return lies_in(address, self._told_by)


class Entrance:
    """One listening socket that is accepted from by hand.

    Attributes:
        terms: for the next connection.
        greeting: connections that aren't clients yet.
    """

    def __init__(self, traffic: Traffic, sock: socket.socket, terms: Terms) -> None:
        """Accept from now on.

        Args:
            traffic: gets the clients.
            sock: listens already; its owner closes it.
            terms: of the generation in force.
        """
        self.terms = terms
        self.greeting: dict[asyncio.Task[None], str] = {}  # with their site
        self._of_one: Counter[str] = Counter()  # of those, by site
        self._traffic = traffic
        self._loop = asyncio.get_running_loop()
        self._sock = sock.dup()
        self._sock.setblocking(False)
        self._told_tick = -ticks(_TOLD_EVERY_S)
        self._resting: asyncio.TimerHandle | None = None
        self._held = False
        self._loop.add_reader(self._sock.fileno(), self._accept)

    def close(self) -> None:
        """Take what the kernel has accepted for us already, and accept no more; `greeting` goes on."""
        if self._sock.fileno() < 0:
            return
        self._accept(at_once=_ACCEPTED_AT_THE_END)
        self._loop.remove_reader(self._sock.fileno())
        if self._resting is not None:
            self._resting.cancel()
        self._sock.close()

    def hold(self) -> None:
        """Accept nobody until `resume`."""
        self._held = True
        self._loop.remove_reader(self._sock.fileno())

    def resume(self) -> None:
        """Accept again, unless it was held for another reason too."""
        self._held = False
        self._listen()

    def _listen(self) -> None:
        if not self._held and self._sock.fileno() >= 0:
            self._loop.add_reader(self._sock.fileno(), self._accept)

    def _accept(self, at_once: int = _ACCEPTED_A_TURN) -> None:
        for _ in range(at_once):
            try:
                sock, peer = self._sock.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno not in _GONE_ALREADY:
                    self._rest(error)
                    return
                continue
            site = site_of(peer[0].encode())
            if self._one_too_many(peer[0], site):
                sock.close()
                continue
            sock.setblocking(False)
            task = self._loop.create_task(self._admit(sock, peer[0]))
            self.greeting[task] = site
            self._of_one[site] += 1
            task.add_done_callback(self._greeted)
            self._traffic.mind_the_crowd()
            if self._held and at_once == _ACCEPTED_A_TURN:
                return

    def _rest(self, error: OSError) -> None:
        """Out of descriptors: the socket would be readable in every turn, and nothing could be done about it."""
        self._tell("no connection can be accepted: %s", error.strerror)
        self._loop.remove_reader(self._sock.fileno())
        self._resting = self._loop.call_later(TICK_S, self._listen)

    def _one_too_many(self, peer: str, site: str) -> bool:
        """Whether as many connections of one address are here already as it may have clients.

        They would take everybody's places, for as long as a handshake may take, and count for nobody yet. Whoever speaks
        for others isn't bounded: balancers that tell by a PROXY header, gateways that are trusted.
        """
        traffic = self._traffic
        most = traffic.limits.connections_per_client
        if not most or self._of_one[site] < most or self.terms.tells(peer) or traffic.wiring.generation.trusts(peer):
            return False
        traffic.telemetry.limit_reached(Limit.CONNECTIONS_PER_CLIENT)
        traffic.telemetry.fault(_TOO_MANY, None)
        self._tell("%s begins more connections than limits.connections_per_client (%d); those are closed", site, most)
        return True

    def _greeted(self, task: asyncio.Task[None]) -> None:
        site = self.greeting.pop(task)
        self._of_one[site] -= 1
        if not self._of_one[site]:
            del self._of_one[site]
        self._traffic.greeted()

    async def _admit(self, sock: socket.socket, peer: str) -> None:
        terms = self.terms
        try:
            async with asyncio.timeout(terms.handshake_s):
                plain = await self._greet(sock, peer, terms)
            if plain is not None:
                await self._take_in(plain, sock)
        except asyncio.CancelledError:
            sock.close()
            raise
        except TimeoutError:
            fault, why = _LATE, f"nothing complete came within {terms.handshake_s:g} s"
        except BadHeader as bad:  # a name of its own: compiled, a variable has one type
            fault, why = _BAD_HEADER, f"no PROXY header, though it is in listener.proxy_protocol_from: {bad}"
        except ssl.SSLError as error:
            fault, why = _NO_HANDSHAKE, f"TLS failed: {tls_words(error)}"
        except (OSError, EOFError):
            fault, why = _LEFT, ""  # scanners, and health checks that only connect
        except Exception:  # noqa: BLE001  the top of a task: told with its trace, ends this connection alone
            _log.exception("a connection of %s failed", peer)
            fault, why = Fault(Party.PROXY, Stage.CONNECT, Kind.FAILED), ""
        else:
            return
        sock.close()  # uvloop's transport, if there was one, has closed it already
        self._traffic.telemetry.fault(fault, None)
        if why:
            self._tell("a connection of %s is closed: %s", peer, why)

    async def _greet(self, sock: socket.socket, peer: str, terms: Terms) -> ClientConnection | None:
        """Take a connection to where it is a client over TLS, or may become one in plain text, which is returned."""
        traffic = self._traffic
        address = await _take_told(sock) if terms.tells(peer) else None
        address = address or peer
        context = terms.context
        if context is None:
            return ClientConnection(traffic, address)
        if await _peek(sock, 1) != _HANDSHAKE_RECORD:
            return Misdirected(traffic, address)
        await self._loop.connect_accepted_socket(
            lambda: SecureClient(traffic, address),
            sock,
            ssl=context,
            ssl_handshake_timeout=terms.handshake_s + _MARGIN_S,
            ssl_shutdown_timeout=traffic.limits.linger_s,
        )
        return None

    async def _take_in(self, client: ClientConnection, sock: socket.socket) -> None:
        """Make a client of a connection in plain text; in no time, so nothing is waited for.

        Whoever is cancelled in the very turn in which the connection was made never hears of its end: uvloop closes the
        socket and tells nothing (over TLS it does). Such a client would hold its place for ever.
        """
        try:
            await self._loop.connect_accepted_socket(lambda: client, sock)
        except asyncio.CancelledError:
            if hasattr(client, "transport"):
                client.connection_lost(None)
            raise

    def _tell(self, text: str, *arguments: object) -> None:
        if self._traffic.tick - self._told_tick > ticks(_TOLD_EVERY_S):
            self._told_tick = self._traffic.tick
            _log.warning(text, *arguments)


async def _take_told(sock: socket.socket) -> str | None:
    """Read a PROXY header, and not one byte more; gives the client's address.

    Raises:
        BadHeader: it is none.
        EOFError, OSError: the peer left.
    """
    taken = b""
    while True:
        seen = await _peek(sock, LONGEST_BYTES - len(taken))
        told = read_told(taken + seen)
        # As long as it isn't whole, all that came is part of it: taken out, so that the next look waits for more.
        wanted = len(seen) if told is None else told.length - len(taken)
        taken += sock.recv(wanted)
        if told is not None:
            return told.source


async def _peek(sock: socket.socket, at_most: int) -> bytes:
    """What has come and isn't read yet, one byte at least.

    Raises:
        EOFError, OSError: the peer left.
    """
    while True:
        try:
            seen = sock.recv(at_most, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            await _readable(sock)
            continue
        if not seen:
            raise EOFError
        return seen


async def _readable(sock: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(sock.fileno(), readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(sock.fileno())
