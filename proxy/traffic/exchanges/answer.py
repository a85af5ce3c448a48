"""The answer's part of an exchange: from the backend's first byte to the last one written to the client.

1xx answers pass, but for a 101, which makes the exchange a tunnel (`proxy.traffic.exchanges.tunnel`); the final head is edited and written in one piece with what is there of its body; the rest of the body is
passed on as it comes.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

from proxy.core.http.badmessage import BadMessage, TooLarge
from proxy.core.http.body import Relay
from proxy.core.http.forwarding import nominated
from proxy.core.http.message import AnswerHead, read_answer_head
from proxy.core.http.websocket import SWITCH_HEAD, SWITCHING, check_switch, offered, websocket_key
from proxy.core.limits import Limit
from proxy.core.telling.faults import Stage
from proxy.traffic.exchanges.partial import flaw_of_answer
from proxy.traffic.exchanges.timed import Timed
from proxy.traffic.exchanges.tunnel import Tunnel

_REQUEST_TIMEOUT: Final = 408
_UPGRADE_REQUIRED: Final = 426
_ERRORS: Final = 400
_END_OF_HEAD: Final = b"\r\n\r\n"
_EVENT_STREAM: Final = b"text/event-stream"


class Answering(Timed):
    """One request and its answer, as far as the answer is concerned."""

    __slots__ = ("_awaits_turn", "_reusable")

    _awaits_turn: bool  # of the body; set once it is relayed
    _reusable: bool  # the backend keeps its connection open after this answer

    def answer_received(self, data: bytes) -> None:
        """Pass on what the backend sent."""
        self._moved_tick = self.traffic.tick
        if self._download is not None:
            self._pass_body(self._download, data)
            return
        searched = len(self._partial)
        if searched:
            data = self._partial + data
        while True:
            at = data.find(_END_OF_HEAD)
            limits = self.wiring.limits
            if at < 0 or at > limits.answer_head_bytes:
                self._partial = data
                flaw = flaw_of_answer(data, searched, limits)
                if flaw is not None:  # another protocol, perhaps: say so now, not when the time is up
                    self._backend_broke(flaw, Stage.HEAD)
                return
            searched = 0
            try:
                head = read_answer_head(data[:at], to_method=self.head.method, header_count=limits.answer_header_count)
            except BadMessage as bad:
                self._backend_broke(bad, Stage.HEAD)
                return
            if head.status == SWITCHING:
                self._switch(head, data[at + 4 :])
                return
            data = data[at + 4 :]
            if head.status >= 200:
                break
            if not self._pass_interim(head):
                return
        self._partial = b""
        if head.status == _REQUEST_TIMEOUT and not head.keep_alive and self._was_stale():
            return
        self._answer(head, data)

    def _was_stale(self) -> bool:
        """The backend gave a kept connection up as the request went out: send it once more, if it may be."""
        raise NotImplementedError

    def _pass_interim(self, head: AnswerHead) -> bool:
        self._interim += 1
        if self._interim > self.wiring.limits.interim_answers:
            self._backend_broke(TooLarge("too many interim answers", Limit.INTERIM_ANSWERS), Stage.HEAD)
            return False
        if not head.keep_alive and self._connection is not None:
            self._connection.sound = False
        if self.head.minor:
            route = None if self.decision is None else self.decision.route
            self._write(self._outlet.answers.write(head, b"", route=route, host=self.head.host))
        self._partial = b""
        return True

    def _switch(self, head: AnswerHead, data: bytes) -> None:
        """Become a tunnel, if the backend has understood that this was asked for."""
        try:
            check_switch(websocket_key(self.head), head)
        except BadMessage as bad:
            self._backend_broke(bad, Stage.HEAD)
            return
        decision, client, connection = self.decision, self.client, self._connection
        assert decision is not None  # it was sent
        assert client is not None  # it is safe to cancel: the client's leaving would have ended it
        assert connection is not None
        added = SWITCH_HEAD + self._told(decision) if self._peer_trusted else SWITCH_HEAD
        self._write(self._outlet.answers.write(head, added, route=decision.route, host=self.head.host))
        self.status = SWITCHING
        self.head_us = int((time.monotonic() - self.started_s) * 1_000_000)
        self._partial = b""
        self._keep_alive = False
        self._connection = None  # it is the tunnel's
        self._lasts()
        Tunnel(self, client, connection).open(data)

    def _lasts(self) -> None:
        """The head was an answer, and the endpoint hears of it now: other exchanges tell at their end, which may be days away here."""
        if self._endpoint.minded:
            self._endpoint.answered(self.traffic.tick)

    def _answer(self, head: AnswerHead, data: bytes) -> None:
        request = self.head
        decision = self.decision
        client = self.client
        assert decision is not None
        length = head.body
        chunked = length < 0 and request.minor == 1
        # An answer that comes while the request is still being sent may be the last word: nobody can tell whether the
        # client goes on sending, so the connection is not used again.
        if not self.request_done or (length < 0 and not chunked) or self.traffic.draining:
            self._keep_alive = False
        added = b"Transfer-Encoding: chunked\r\n" if chunked else b""
        if b"date" not in head.values:
            added = self.traffic.date_line + added  # RFC 9110 §6.6.1: who passes an answer on says when it came
        if not self._keep_alive:
            added += b"Connection: close\r\n"
        elif request.minor == 0:
            added += b"Connection: keep-alive\r\n"
        if head.status == _UPGRADE_REQUIRED:
            added += offered(head)
        if self._peer_trusted:
            added += self._told(decision)
        cookies = self.wiring.cookies
        if cookies is not None:
            added += cookies.lines(decision, head, secure=self._peer_kind & 4 != 0)  # `Wiring.judge`
        message = self._outlet.answers.write(head, added, route=decision.route, host=request.host)
        self.status = head.status
        self.head_us = int((time.monotonic() - self.started_s) * 1_000_000)
        self._reusable = head.keep_alive
        if length == len(data):
            if client is not None:
                message += data
                self.sent += len(message)
                client.transport.write(message)
            self._finish(whole=True)
            return
        if head.values.get(b"content-type", b"").lower().startswith(_EVENT_STREAM):
            self.traffic.stream_opened(self)
            self._lasts()
        if length < 0 and not chunked and client is not None:
            client.reset_unless_whole()
        self._awaits_turn = False
        withholds = nominated(head, self._outlet.answers.withholds)
        limits = self.wiring.limits
        self._download = download = Relay(length, chunked=chunked, withholds=withholds, limits=limits)
        self._pass_body(download, data, message)

    def _pass_body(self, download: Relay, data: bytes, head: bytes = b"") -> None:
        try:
            out = download.feed(data)
        except BadMessage as bad:
            self._write(head)
            self._backend_broke(bad, Stage.BODY)
            return
        self._write(head + out)
        if download.done:
            self._finish(whole=not download.surplus)
        elif download.full:
            self._await_turn()

    def _await_turn(self) -> None:
        """Enough of the body was read for one loop turn: read on in the next one, when others had theirs."""
        if self._connection is not None and not self._awaits_turn:
            self._awaits_turn = True
            self._connection.transport.pause_reading()
            asyncio.get_running_loop().call_soon(self._take_turn)

    def _take_turn(self) -> None:
        self._awaits_turn = False
        download, connection, client = self._download, self._connection, self.client
        if download is None or connection is None or (client is not None and not client.writable):
            return  # over; or held up by the client, and then `client_ready` asks for a turn again
        self._moved_tick = self.traffic.tick
        try:
            connection.transport.resume_reading()  # before it may be paused again, for whatever reason
            self._pass_body(download, b"")
        except Exception:  # noqa: BLE001  the top of a callback: told with its trace, ends this exchange alone
            self.failed()

    def _read_on(self) -> None:
        """Nobody holds the answer up any more."""
        if self._download is not None and self._download.full:
            self._await_turn()
        elif self._connection is not None:
            self._connection.transport.resume_reading()

    def client_slow(self) -> None:
        """The client takes the answer more slowly than it comes."""
        if self._connection is not None:
            self._connection.transport.pause_reading()

    def client_ready(self) -> None:
        """The client takes more."""
        self._moved_tick = self.traffic.tick
        self._read_on()

    def _finish(self, *, whole: bool) -> None:
        """The answer is complete. `whole`: the backend's connection stands exactly at its end."""
        if not self.request_done and whole and self._upload_goes_on():
            self._download = Relay(0, chunked=False, withholds=self.wiring.withholds)  # what else comes is nobody's
            return
        connection, self._connection = self._connection, None
        if connection is not None:
            if whole and self.request_done and self._reusable and connection.sound and connection.writable:
                if self.client is None or not self.client.writable:
                    connection.transport.resume_reading()
                connection.rest(self.traffic.tick)
            else:
                connection.cut()
                if whole and self._endpoint.minded:
                    self._endpoint.answered(self.traffic.tick)
        self._end()

    def _upload_goes_on(self) -> bool:
        """Whether the rest of the body still goes to a backend that has said its last word already.

        It may want it: some say 202, or echo, before they have read everything; to cut them would lose data that was
        told to have arrived. Not after an error, at which a client is to stop (RFC 9112 §9.5), nor when no 100 let it
        begin, nor where only a close tells it that the answer is over.
        """
        request = self.head
        asked = request.expects_continue and not self._interim
        return (
            self.status < _ERRORS and request.minor == 1 and not asked and None not in (self.client, self._connection)
        )
