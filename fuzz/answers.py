"""The answer direction: what a backend sends, against what the client got to see.

What the client sees is read by h11, and what the backend sent by h11 and by careless readers of several habits:

1. an answer that is whole to the client is what every reader saw in the backend's bytes: status, body, end-to-end fields
2. a refusal of ours is whole, and the exchange's own
3. anything else is visibly not whole, and its connection has ended
4. an answer belongs to the request that it was given for; nothing follows the last one
5. a connection on which more came than the answer isn't lent again
6. no defect is logged, nothing is left behind
"""

from __future__ import annotations

import asyncio
import socket
import struct
from dataclasses import dataclass
from typing import Final

from fuzz.lenient import HABITS, read_message
from fuzz.readers import Answer, read_answer, read_answer_carelessly
from fuzz.readers import End as Stand
from fuzz.requests import FRAMING_TRAILER, Outcome
from fuzz.rig import BackendEnd, End, Hung, Line, Rig

_CONNECTIONS_OWN: Final = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"te", b"transfer-encoding", b"upgrade", b"http2-settings"}
)
_OURS: Final = frozenset({b"x-strangler", b"x-strangler-error"})


@dataclass(frozen=True, slots=True)
class Script:
    """What the backend does when it has got a request.

    Attributes:
        writes: what it sends, write by write.
        end: what then becomes of its connection: `keep`, `fin` or `rst`.
    """

    writes: tuple[bytes, ...]
    end: str = "keep"

    @property
    def sent(self) -> bytes:
        """All that it sends."""
        return b"".join(self.writes)


@dataclass(frozen=True, slots=True)
class AnswerCase:
    """Requests on one connection, and what they are answered in turn.

    Attributes:
        asks: each a whole request.
        scripts: one for every request that arrives; behind the last comes a plain answer.
        pipelined: the client doesn't wait for answers.
    """

    asks: tuple[bytes, ...]
    scripts: tuple[Script, ...]
    pipelined: bool = False


_PLAIN: Final = Script((b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Token: plain\r\n\r\nplain",))


@dataclass(slots=True)
class Played:
    """A script that was played: to which request, and on which connection."""

    script: Script
    request_id: bytes
    end: BackendEnd


class Scripted:
    """Backends that read from a script."""

    def __init__(self) -> None:
        self.played: list[Played] = []
        self._scripts: list[Script] = []
        self._answered: dict[BackendEnd, int] = {}

    def rehearse(self, scripts: tuple[Script, ...]) -> None:
        """Make ready for a case."""
        self.played.clear()
        self._answered.clear()
        self._scripts = list(scripts)

    def received(self, end: BackendEnd) -> None:
        """Play one script for each request."""
        while (message := read_message(bytes(end.received), self._answered.get(end, 0), HABITS[0])) and message.whole:
            self._answered[end] = message.end
            script = self._scripts.pop(0) if self._scripts else _PLAIN
            self.played.append(Played(script, message.all(b"x-request-id")[0], end))
            self._play(end, script, 0)

    def lost(self, end: BackendEnd) -> None:
        """Forget it."""
        self._answered.pop(end, None)

    def _play(self, end: BackendEnd, script: Script, at: int) -> None:
        end.rig.moved += 1
        if end.transport.is_closing():
            return
        loop = asyncio.get_running_loop()
        if at < len(script.writes):
            end.transport.write(script.writes[at])
            loop.call_soon(loop.call_soon, self._play, end, script, at + 1)
        elif script.end == "fin":
            end.transport.close()
        elif script.end == "rst":
            sock = end.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            end.transport.abort()


async def try_answers(rig: Rig, case: AnswerCase) -> Outcome:
    """Ask, hang up, and judge."""
    rig.forget()
    scripted = rig.behaviour
    assert isinstance(scripted, Scripted)
    scripted.rehearse(case.scripts)
    client = await rig.connect()
    finds = []
    try:
        for ask in case.asks:
            await rig.send(client, (ask,))
            if not case.pipelined:
                await rig.still()
            if client.ended:
                break
        await rig.still()
        await rig.hang_up(client)
    except Hung as hung:
        finds.append(str(hung))
        client.transport.abort()
        await rig.still()
    finds += rig.leaks()
    finds += [f"defect: {trace}" for trace in rig.defects.found]
    lines = list(rig.log.lines)
    if not _unknowable(case, scripted.played, lines):
        finds += _judge(client, lines, scripted.played)
    passed = sum(line.fault is None for line in lines)
    return Outcome(finds, lines, passed)


def _unknowable(case: AnswerCase, played: list[Played], lines: list[Line]) -> bool:
    """Whether a connection was lent on before it could be known that more than an answer, or its end, was on the way.

    HTTP/1 has no answer to that: the next request's answer is then whatever comes.
    """
    methods = {line.request_id: line.method for line in lines}
    for at, one in enumerate(played):
        if case.pipelined and any(later.end is one.end for later in played[at + 1 :]):
            seen = read_answer(one.script.sent, to_method=methods.get(one.request_id, b"GET"), ended=False)
            if one.script.end != "keep" or (seen.rest and len(seen.rest) <= sum(map(len, one.script.writes[1:]))):
                return True
    return False


def _judge(client: End, lines: list[Line], played: list[Played]) -> list[str]:
    finds: list[str] = []
    rest = bytes(client.received)
    for line in lines:
        method = line.method if line.method != b"-" else b"GET"
        closed = client.ended == "closed" and line.status != 499
        seen = read_answer(rest, to_method=method, ended=closed)
        own = [one for one in played if one.request_id == line.request_id]
        if line.status == 499:
            finds += _judge_left(seen, own, method)
            return finds
        if seen.end is not Stand.CLEAN:
            if client.ended is None or line.fault is None or seen.end is Stand.REFUSED:
                finds.append(f"the client sees no end of the answer to {line}: {seen.why}: {rest[:300]!r}")
            return finds
        rest = seen.rest
        if seen.all(b"x-strangler-error"):
            if line.fault is None or seen.all(b"x-request-id") != [line.request_id]:
                finds.append(f"{line} looks like a refusal")
            continue
        if line.fault is not None:
            finds.append(f"a broken answer looks whole to the client: {line}: {bytes(client.received)[:300]!r}")
        elif not own:
            finds.append(f"{line} was answered by nobody")
        else:
            finds += _judge_whole(seen, own[-1], method, tells_interim=b"\r\nVia: 1.0 " not in own[-1].end.received)
    if rest:
        finds.append(f"something follows the last answer: {rest[:200]!r}")
    for at, one in enumerate(played):
        method = next((line.method for line in lines if line.request_id == one.request_id), b"GET")
        if read_answer(one.script.sent, to_method=method, ended=False).rest and any(
            late.end is one.end for late in played[at + 1 :]
        ):
            finds.append("a connection on which more came than the answer was lent again")
    return finds


def _judge_left(seen: Answer, own: list[Played], method: bytes) -> list[str]:
    """The client hung up, since nothing more came: was everything there that could be?"""
    if seen.end is Stand.CLEAN:
        return ["an answer that wasn't over looks whole"]
    if own and (backend := read_answer(own[-1].script.sent, to_method=method, ended=False)).end is Stand.CLEAN:
        return [f"a whole answer was held back: {backend.status} to {method!r}"]
    return []


def _judge_whole(seen: Answer, played: Played, method: bytes, *, tells_interim: bool) -> list[str]:
    data, ended = played.script.sent, played.script.end == "fin"
    finds = []
    strict = read_answer(data, to_method=method, ended=ended)
    if (
        seen.status == 204
        and strict.end is Stand.REFUSED
        and any(word in strict.why for word in ("Length", "Encoding"))
    ):
        return []  # it has no body whatever its framing says, and that is taken out
    if strict.end is Stand.REFUSED and FRAMING_TRAILER.search(data):
        return []  # h11 takes it for a field of the head; it is withheld
    if strict.end is not Stand.CLEAN:
        finds.append(f"whole to the client, but h11 says of the backend's: {strict.end} {strict.why}: {data[:300]!r}")
    elif (strict.status, strict.body) != (seen.status, seen.body):
        finds.append(
            f"the client sees {seen.status}, {seen.body[:80]!r}; the backend sent {strict.status}, {strict.body[:80]!r}"
        )
    elif (sent := _end_to_end(strict)) != (shown := _end_to_end(seen)) and not (
        # One without a Date is given one (RFC 9110 §6.6.1).
        not strict.all(b"date")
        and len(seen.all(b"date")) == 1
        and sent == [field for field in shown if field[0] != b"date"]
    ):
        finds.append(f"the fields {sent} became {shown}")
    elif tells_interim and seen.interim != strict.interim:
        finds.append(f"the interim answers {strict.interim} became {seen.interim}")
    for habits in HABITS:
        careless = read_answer_carelessly(data, to_method=method, ended=ended, habits=habits)
        if careless.end is not Stand.CLEAN or (careless.status, careless.body) != (seen.status, seen.body):
            finds.append(f"passed on, though {habits} reads it differently: {data[:300]!r}")
    return finds


def _end_to_end(answer: Answer) -> list[tuple[bytes, bytes]]:
    nominated = {option.strip().lower() for value in answer.all(b"connection") for option in value.split(b",")}
    dropped = _CONNECTIONS_OWN | _OURS | (nominated - {b"content-length"})
    if answer.status == 204:
        dropped |= {b"content-length"}
    return [
        (name, value)
        for name, value in answer.fields
        if name not in dropped and not value.startswith((b"sid=", b"lid="))
    ]
