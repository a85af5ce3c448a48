"""The request direction: what a client sends, against what the backends got and what the client was answered.

The oracle takes nothing from the proxy's own readers:

1. every reader sees the same messages in what each backend received, and none refuses any of it
2. each of these messages is one that the proxy counted, by its request id
3. the bytes of the client that the proxy counted for it are one message to h11 and llhttp, with the same method and body
4. nothing in it says what only the proxy or a trusted peer may say; no cookie of the other system; its path isn't the other area's
5. the client got one whole answer for every request that was counted, in order, its own, and nothing else; or its connection ended
6. no defect is logged, nothing is left behind
7. the same bytes in one read come to the same
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from hashlib import sha1
from posixpath import normpath
from typing import Final
from urllib.parse import unquote_to_bytes

from fuzz.lenient import HABITS, Loose, read_message
from fuzz.readers import End as Stand
from fuzz.readers import Message, read_answer, read_requests, read_strictly
from fuzz.rig import BackendEnd, End, Hung, Line, Rig
from proxy.core.model import Backend

_ONLY_OURS: Final = {b"x-forwarded-for": b"127.0.0.1", b"x-forwarded-proto": b"http"}
_NEVER: Final = (b"x-account-id", b"forwarded", b"x-forwarded-prefix", b"keep-alive", b"proxy-connection")
_ISOLATED: Final = {Backend.LEGACY: b"sid", Backend.NEW: b"lid"}
_HIGH_TARGET: Final = re.compile(rb"[^ \r\n] [^ \r\n]*[\x80-\xff][^ \r\n]* HTTP/1")
FRAMING_TRAILER: Final = re.compile(rb"(?i)\r\n0+(;[^\r\n]*)?\r\n([^\r\n]+\r\n)*(Content-Length|Transfer-Encoding):")
_ODD_EXTENSION: Final = re.compile(rb"(?m)[0-9A-Fa-f]+([ \t]+;|;[^\r\n]*[^a-z=\"\r\n])")
_CONFUSING: Final = re.compile(rb"(?i)%2f|%5c|%00|\\|/\.|/%2e")


@dataclass(frozen=True, slots=True)
class RequestCase:
    """What a client sends, read by read."""

    reads: tuple[bytes, ...]

    @property
    def stream(self) -> bytes:
        """All of it."""
        return b"".join(self.reads)


@dataclass(slots=True)
class Outcome:
    """What came of a case.

    Attributes:
        finds: what is wrong, in words; empty when all is well.
        lines: what the proxy counted.
        reached: messages that reached a backend.
    """

    finds: list[str]
    lines: list[Line]
    reached: int


class Answers:
    """Backends that answer every message, each in the form that its target asks for by chance."""

    def __init__(self) -> None:
        self._answered: dict[BackendEnd, int] = {}  # bytes of its messages that are dealt with

    def received(self, end: BackendEnd) -> None:
        """Answer what is whole; before that, go on with what waits for 100, and answer what asks for haste."""
        while (message := read_message(bytes(end.received), self._answered.get(end, 0), HABITS[0])) is not None:
            if message.whole:
                self._answered[end] = message.end
                self._answer(end, message)
                continue
            target = message.start[1] if len(message.start) > 1 else b""
            if b"early" in target:
                self._answer(end, message, b"\r\nConnection: close")
                end.transport.close()
            elif message.all(b"expect") and not message.body:
                end.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            break

    def lost(self, end: BackendEnd) -> None:
        """Forget it."""
        self._answered.pop(end, None)

    def forget(self) -> None:
        """What was received before was taken away."""
        self._answered.clear()

    @staticmethod
    def _answer(end: BackendEnd, message: Loose, more: bytes = b"") -> None:
        if end.transport.is_closing():
            return
        echo = b",".join(message.all(b"x-request-id"))
        body = b"%b %b" % (echo, sha1(message.body).hexdigest().encode())
        head = b"HTTP/1.1 200 OK\r\nX-Echo: " + echo + more
        silent = message.start[0] == b"HEAD"
        match zlib.crc32(message.start[1] + message.body) % 6:
            case 0:
                end.transport.write(head.replace(b"200 OK", b"204 No Content") + b"\r\n\r\n")
            case 1:
                end.transport.write(head + b"\r\nConnection: close\r\n\r\n" + (b"" if silent else body))
                end.transport.close()
            case 2 | 3:
                chunks = (
                    b""
                    if silent
                    else b"7\r\n%b\r\n%x;e\r\n%b\r\n0\r\nX-T: 1\r\n\r\n" % (body[:7], len(body) - 7, body[7:])
                )
                end.transport.write(head + b"\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks)
            case _:
                end.transport.write(head + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + (b"" if silent else body))


async def try_requests(rig: Rig, case: RequestCase) -> Outcome:
    """Send it as it is cut and, if that is something else, in one read; judge both."""
    outcome = await _try(rig, case)
    # What is answered early, or waits to be asked for, depends on the moment.
    if len(case.reads) > 1 and b"early" not in case.stream and b"100-continue" not in case.stream.lower():
        whole = await _try(rig, RequestCase((case.stream,)))
        outcome.finds += whole.finds
        ends = [
            [(line.method, line.path, line.status if line.method != b"-" else 400) for line in one.lines]
            for one in (outcome, whole)
        ]
        if ends[0] != ends[1]:
            outcome.finds.append(f"cut into reads it comes to {ends[0]}, in one read to {ends[1]}")
    return outcome


async def _try(rig: Rig, case: RequestCase) -> Outcome:
    """Send it, hang up, and judge."""
    rig.forget()
    answers = rig.behaviour
    assert isinstance(answers, Answers)
    answers.forget()
    client = await rig.connect()
    finds = []
    try:
        await rig.send(client, case.reads)
        await rig.still()
        if rig.waits_for_backend():
            finds.append("a request came whole, and its backend waits for more of it")
        await rig.hang_up(client)
    except Hung as hung:
        finds.append(str(hung))
        client.transport.abort()
        await rig.still()
    finds += rig.leaks()
    finds += [f"defect: {trace}" for trace in rig.defects.found]
    lines = list(rig.log.lines)
    reached: dict[bytes, tuple[Backend, Message]] = {}
    for end in rig.backend_ends:
        finds += _judge_backend(end, reached)
    finds += _judge_client(client, case, lines, reached)
    return Outcome(finds, lines, len(reached))


def _judge_backend(end: BackendEnd, reached: dict[bytes, tuple[Backend, Message]]) -> list[str]:
    """1 and 4: whether everybody reads the same, and nothing of it is forged."""
    finds = []
    data = bytes(end.received)
    if not data:
        return []
    loosest, *others = reversed(readings := read_requests(data))
    meant = [(message.start, message.body) for message in loosest.messages]
    for reading in others:
        if reading.end is Stand.REFUSED:
            if not _known_refusal(reading.why, data):
                finds.append(f"{reading.reader} refuses what {end.backend} got: {reading.why}")
        elif [(message.start, message.body) for message in reading.messages] != meant or reading.end is not loosest.end:
            finds.append(f"{reading.reader} and {loosest.reader} read differently what {end.backend} got")
    fields = [
        [message.fields for message in reading.messages] for reading in readings[:2] if reading.end is not Stand.REFUSED
    ]
    if len(fields) == 2 and fields[0] != fields[1]:
        finds.append(f"h11 and llhttp read different fields in what {end.backend} got")
    for message in loosest.messages:
        (request_id,) = message.all(b"x-request-id") or (b"",)
        if request_id in reached:
            finds.append(f"{request_id!r} reached a backend twice")
        reached[request_id] = (end.backend, message)
        finds += _forged(end.backend, message)
    return finds


def _known_refusal(why: str, data: bytes) -> bool:
    """What a reader doesn't take though nothing is wrong with it.

    llhttp has a list of methods. Both take a framing field among the trailers for one in the head; we withhold it. Neither reader takes a target beyond ASCII, which browsers of old send; and both read
    a chunk's extension more narrowly than we, who pass none on (white space before it RFC 9112 §7.1.1 wants read).
    """
    if why.startswith("HttpParserInvalidMethodError"):
        return True
    if "illegal request line" in why or why.startswith("HttpParserInvalidURLError"):
        return _HIGH_TARGET.search(data) is not None
    if "Content-Length" in why or "Transfer-Encoding" in why:
        return FRAMING_TRAILER.search(data) is not None
    return "chunk" in why and _ODD_EXTENSION.search(data) is not None


def _forged(backend: Backend, message: Message) -> list[str]:
    finds = [f"{name!r} reached {backend}" for name in _NEVER if message.all(name)]
    finds += [
        f"{name!r} reached {backend} as {message.all(name)}"
        for name, told in _ONLY_OURS.items()
        if message.all(name) != [told]
    ]
    finds += [
        f"{len(message.all(name))} × {name!r} reached {backend}"
        for name in (b"host", b"x-request-id")
        if len(message.all(name)) != 1
    ]
    cookies = [
        crumb.strip().partition(b"=")[0].strip()
        for value in message.all(b"cookie")
        for crumb in re.split(rb"[;,]", value)
    ]
    if _ISOLATED[backend] in cookies:
        finds.append(f"the cookie {_ISOLATED[backend]!r} reached {backend}")
    area_of_new = {_is_new(path) for path in _paths(message.start[1].partition(b"?")[0])}
    if area_of_new != {backend is Backend.NEW}:
        finds.append(f"{message.start[1]!r} reached {backend}, and others read it as the other area's")
    return finds


def _paths(raw: bytes) -> set[bytes]:
    """A path as backends of several schools would see it.

    That unreserved octets are decoded, parameters don't matter and runs of slashes are one, all are taken to agree on, unless
    there is something else in the path that they read differently.
    """
    paths = {raw} if _CONFUSING.search(raw) else set()
    decoded = unquote_to_bytes(re.sub(rb";[^/]*", b"", raw))
    for one in (decoded, decoded.replace(b"\\", b"/"), decoded.partition(b"\0")[0]):
        slash = b"/" if one.endswith((b"/", b"/.", b"/..")) else b""
        paths.add(b"/" + normpath(one).lstrip(b"/") + slash)
    return paths


def _is_new(path: bytes) -> bool:
    first = path[1:].partition(b"/")[0]
    return first == b"new"


def _judge_client(
    client: End, case: RequestCase, lines: list[Line], reached: dict[bytes, tuple[Backend, Message]]
) -> list[str]:
    """2, 3 and 5: whether what was counted is what was sent, what arrived, and what was answered."""
    finds = []
    counted = {line.request_id for line in lines}
    finds += [
        f"{request_id!r} reached a backend and was never counted" for request_id in reached if request_id not in counted
    ]
    at = 0
    rest = bytes(client.received)
    stream = case.stream
    for line in lines:
        arrived = reached.get(line.request_id)
        while stream[at : at + 2] == b"\r\n":
            at += 2  # empty lines before a request belong to none
        if line.fault is None:
            if arrived is None:
                if b"early" not in line.path and not _ours(line):
                    finds.append(f"{line} was answered by a backend that never got it whole")
            else:
                finds += _judge_slice(stream, at, line, arrived[1])
        at += line.received
        if line.status == 499:
            break
        # Who goes on sending to somebody who has closed is told so by a reset, and a close can't be told from it.
        ended = client.ended == "closed" or at < len(stream)
        whole, rest = _judge_answer(rest, line, finds, arrived, ended=ended)
        if not whole:
            break
    if rest and not (lines and lines[-1].status == 499):
        finds.append(f"the client got more than its answers: {rest[:200]!r}")
    return finds


def _ours(line: Line) -> bool:
    """Whether the proxy answered as the last hop of its Max-Forwards (RFC 9110 §7.6.2)."""
    return line.backend is None and line.method in (b"OPTIONS", b"TRACE")


def _judge_slice(stream: bytes, at: int, line: Line, arrived: Message) -> list[str]:
    slice_ = stream[at : at + line.received]
    finds = []
    if arrived.start[0] != line.method:
        finds.append(f"{line.method!r} arrived as {arrived.start[0]!r}")
    for reading in read_strictly(slice_):
        if reading.end is Stand.REFUSED:
            if not _known_refusal(reading.why, slice_):
                finds.append(f"{reading.reader} refuses what the proxy took for a request: {reading.why}")
        elif reading.end is not Stand.CLEAN or len(reading.messages) != 1:
            finds.append(f"{reading.reader} doesn't see one request where the proxy did")
        elif reading.messages[0].body != arrived.body or reading.messages[0].start[0] != line.method:
            finds.append(f"{reading.reader} sees another request than what arrived")
        else:
            target = reading.messages[0].start[1]
            if target != arrived.start[1] and not target.lower().startswith(b"http://"):
                finds.append(f"{target!r} arrived as {arrived.start[1]!r}")
    return finds


def _judge_answer(
    data: bytes, line: Line, finds: list[str], arrived: tuple[Backend, Message] | None, *, ended: bool
) -> tuple[bool, bytes]:
    """Whether it is whole, and what stands behind it."""
    method = line.method if line.method != b"-" else b"GET"
    answer = read_answer(data, to_method=method, ended=ended)
    if answer.end is not Stand.CLEAN and line.fault is not None and line.status < 300 and ended:
        return False, b""  # the request broke after its answer had begun: visibly cut
    if answer.end is not Stand.CLEAN:
        finds.append(f"the answer to {line} isn't whole: {answer.why or answer.end}: {data[:200]!r}")
        return False, b""
    if answer.status != line.status:
        finds.append(f"{answer.status} was answered, {line.status} counted")
    if line.fault is not None or _ours(line):
        # An early answer may have been whole before the rest of its request broke: then it is the backend's.
        if [line.request_id] not in (answer.all(b"x-request-id"), answer.all(b"x-echo")):
            finds.append(f"somebody else's refusal: {answer.fields} to {line}")
    elif answer.all(b"x-echo") != [line.request_id]:
        finds.append(f"somebody else's answer: {answer.fields} to {line}")
    elif answer.body and arrived is not None:
        told = b"%b %b" % (line.request_id, sha1(arrived[1].body).hexdigest().encode())
        if answer.body != told:
            finds.append(f"{answer.body!r} instead of {told!r}")
    if len(data) - len(answer.rest) != line.sent:
        finds.append(f"{line.sent} bytes counted as sent, {len(data) - len(answer.rest)} came")
    return True, answer.rest
