"""An endpoint that reads requests, notes whether each came whole, and then does what it was told: answer, lie, or die."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Callable

from tests.traffic.wire import PATIENCE_S, RawBackend, Wire

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

Behaviour = Callable[[Wire], None]
"""What becomes of a connection once a request has come; whoever wants to be asked again on it returns."""


def well(wire: Wire) -> None:
    """Answer."""
    wire.send(OK)


def hold(wire: Wire) -> None:
    """Do nothing until the other side ends it."""
    wire.ends()


def sends(*pieces: bytes, then: Behaviour = hold) -> Behaviour:
    """Send something, and then…"""

    def do(wire: Wire) -> None:
        wire.send(*pieces)
        then(wire)

    return do


def trickles(piece: bytes, start: bytes = b"") -> Behaviour:
    """Send a start, then a piece every 50 ms, as long as somebody takes it."""

    def do(wire: Wire) -> None:
        pause = threading.Event()
        wire.send(start)
        while not pause.wait(0.05):
            wire.send(piece)

    return do


class Scripted:
    """A listening socket, a thread for each connection, and a list of what arrived.

    Attributes:
        behave: what it does with the next request.
        arrived: (path, `whole` or `cut`) of each request whose head came whole, or began to.
        reading: how many requests have begun to come and are neither.
        interrupts: what it does at a connection's first bytes, in place of reading them.
    """

    def __init__(self, behave: Behaviour = well, raw: RawBackend | None = None) -> None:
        self.behave = behave
        self.arrived: list[tuple[str, str]] = []
        self.reading = 0
        self.interrupts: Behaviour | None = None
        self.connections: list[Wire] = []
        self._lock = threading.Lock()
        self.raw = raw or RawBackend()
        self.url = self.raw.url
        self._listen()

    def refuse(self) -> None:
        """Listen no more; connections that stand stay."""
        with contextlib.suppress(OSError):
            self.raw.listening.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self.raw.stop_listening()

    def listen_again(self) -> None:
        """On the same port."""
        self.raw.close()
        self.raw.listening = socket.create_server(("127.0.0.1", self.raw.port))
        self.raw.listening.settimeout(PATIENCE_S)
        self._listen()

    def close(self) -> None:
        """Be gone."""
        self.refuse()
        self.raw.close()
        self.cut_all()

    def cut_all(self) -> None:
        """End every connection that stands."""
        for wire in self.connections:
            with contextlib.suppress(OSError):
                wire.sock.shutdown(socket.SHUT_RDWR)  # a close wouldn't wake the thread that reads

    def _listen(self) -> None:
        threading.Thread(target=self._accept, args=(self.raw.listening,), daemon=True).start()

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                wire = self.raw.accept()
            except TimeoutError:
                continue
            except OSError:
                if listening.fileno() < 0 or self.raw.listening is not listening:
                    return
                continue  # a handshake that failed, or a caller that is gone
            except ValueError:
                return
            self.connections.append(wire)
            threading.Thread(target=self._serve, args=(wire,), daemon=True).start()

    def _serve(self, wire: Wire) -> None:
        with wire, contextlib.suppress(OSError, EOFError, ValueError):
            while True:
                if not wire.buffer and not self._first(wire):
                    return
                if self.interrupts is not None:
                    self.interrupts(wire)
                    return
                self._note(+1)
                path, how = "?", "cut"
                try:
                    head = wire.head()
                    path = head.split(b" ", 2)[1].decode()
                    self._body(wire, head)
                    how = "whole"
                finally:
                    self.arrived.append((path, how))
                    self._note(-1)
                (well if path == "/recovered" else self.behave)(wire)
                if wire.sock.fileno() < 0:
                    return

    @staticmethod
    def _first(wire: Wire) -> bytes:
        wire.sock.settimeout(None)
        wire.buffer = wire.sock.recv(65536)
        wire.sock.settimeout(PATIENCE_S)
        return wire.buffer

    @staticmethod
    def _body(wire: Wire, head: bytes) -> None:
        if found := re.search(rb"(?i)\r\ncontent-length: (\d+)\r\n", head):
            wire.exactly(int(found[1]))
        elif re.search(rb"(?i)\r\ntransfer-encoding: chunked\r\n", head):
            while wire.until(b"\r\n") != b"0\r\n":
                wire.until(b"\r\n")
            wire.until(b"\r\n")

    def _note(self, more: int) -> None:
        with self._lock:
            self.reading += more
