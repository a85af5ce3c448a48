"""Independent readers of HTTP/1: what the two sides of the proxy said, in the eyes of software that isn't ours.

h11 is strict in most things and reads bare line feeds; llhttp (httptools) is what Node.js and uvicorn read with, here both as
strict as it comes and with every leniency it offers; the careless reader of `fuzz.lenient` refuses next to nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

import h11
import httptools

from fuzz.lenient import HABITS, Habits, read_message

_ROOM: Final = 1 << 20


class End(Enum):
    """Where a reader stood when the bytes were over."""

    CLEAN = auto()  # behind a message
    WITHIN = auto()  # in a message
    REFUSED = auto()  # it gave up


@dataclass(slots=True)
class Message:
    """One request or answer; `start` is the method and the target, or the status."""

    start: tuple[bytes, ...]
    body: bytes = b""
    fields: list[tuple[bytes, bytes]] = field(
        default_factory=list
    )  # lower-case name, value without white space around it

    def all(self, name: bytes) -> list[bytes]:
        """Every value of a field."""
        return [value for key, value in self.fields if key == name]


@dataclass(slots=True)
class Reading:
    """What one reader saw: the whole messages, and how it ended."""

    reader: str
    messages: list[Message]
    end: End
    why: str = ""


def read_requests(data: bytes) -> list[Reading]:
    """What a backend received, as every reader sees it."""
    careless = [_careless_requests(data, habits, f"careless {i}") for i, habits in enumerate(HABITS)]
    return [_h11_requests(data), _llhttp_requests(data, lenient=False), _llhttp_requests(data, lenient=True), *careless]


def read_strictly(data: bytes) -> list[Reading]:
    """What a client sent, as the strict readers see it."""
    return [_h11_requests(data), _llhttp_requests(data, lenient=False)]


@dataclass(slots=True)
class Answer:
    """One answer as a reader sees it at the beginning of some bytes.

    Attributes:
        end: CLEAN when it is whole.
        rest: what stands behind it.
        interim: statuses of the answers before it.
    """

    status: int
    end: End
    body: bytes = b""
    rest: bytes = b""
    fields: list[tuple[bytes, bytes]] = field(default_factory=list)
    interim: list[int] = field(default_factory=list)
    why: str = ""

    def all(self, name: bytes) -> list[bytes]:
        """Every value of a field."""
        return [value for key, value in self.fields if key == name]


def read_answer(data: bytes, *, to_method: bytes, ended: bool) -> Answer:
    """The first answer in some bytes, as h11 reads it; `ended`: a clean end of the connection follows them."""
    reader = h11.Connection(h11.CLIENT, max_incomplete_event_size=_ROOM)
    reader.send(h11.Request(method=to_method, target="/", headers=[("Host", "shop")]))
    reader.send(h11.EndOfMessage())
    answer = Answer(0, End.WITHIN)
    pieces: list[bytes] = []
    try:
        if data:
            reader.receive_data(data)
        if ended:
            reader.receive_data(b"")
        while True:
            match reader.next_event():
                case h11.InformationalResponse(status_code=status):
                    answer.interim.append(status)
                case h11.Response(status_code=status, headers=headers):
                    answer.status = status
                    answer.fields = [(bytes(name), bytes(value)) for name, value in headers]
                case h11.Data(data=piece):
                    pieces.append(bytes(piece))
                case h11.EndOfMessage():
                    answer.end = End.CLEAN
                    answer.rest = bytes(reader.trailing_data[0])
                    break
                case _:
                    break
    except h11.RemoteProtocolError as error:
        answer.end = End.WITHIN if "without sending complete message" in str(error) else End.REFUSED
        answer.why = str(error)
    answer.body = b"".join(pieces)
    return answer


def read_answer_carelessly(data: bytes, *, to_method: bytes, ended: bool, habits: Habits) -> Answer:
    """The first answer in some bytes, as the careless reader takes it."""
    answer = Answer(0, End.WITHIN)
    at = 0
    while True:
        message = read_message(data, at, habits, answer_to=to_method, ended=ended)
        if message is None:
            return answer
        status = int(message.start[1]) if len(message.start) > 1 and message.start[1].isdigit() else 0
        if not 100 <= status < 200:
            break
        answer.interim.append(status)
        at = message.end
    answer.status = status
    answer.body = message.body
    answer.fields = message.fields
    answer.end = End.CLEAN if message.whole else End.WITHIN
    answer.rest = data[message.end :]
    return answer


def _h11_requests(data: bytes) -> Reading:
    reading = Reading("h11", [], End.CLEAN)
    while data := data.lstrip(b"\r\n"):
        reader = h11.Connection(h11.SERVER, max_incomplete_event_size=_ROOM)
        reader.receive_data(data)
        message: Message | None = None
        pieces: list[bytes] = []
        try:
            while True:
                event = reader.next_event()
                if isinstance(event, h11.Request):
                    fields = [(bytes(name), bytes(value)) for name, value in event.headers]
                    message = Message((bytes(event.method), bytes(event.target)), b"", fields)
                elif isinstance(event, h11.Data):
                    pieces.append(bytes(event.data))
                elif isinstance(event, h11.EndOfMessage):
                    break
                else:
                    reading.end = End.WITHIN
                    return reading
        except h11.RemoteProtocolError as error:
            reading.end, reading.why = End.REFUSED, str(error)
            return reading
        assert message is not None
        message.body = b"".join(pieces)
        reading.messages.append(message)
        data = bytes(reader.trailing_data[0])
    return reading


class _Taking:
    """What llhttp tells while it reads."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.within = False
        self.parser: httptools.HttpRequestParser
        self._target = b""
        self._body: list[bytes] = []
        self._fields: list[tuple[bytes, bytes]] = []
        self._in_head = True

    def on_message_begin(self) -> None:
        self.within = True
        self._target = b""
        self._body = []
        self._fields = []
        self._in_head = True

    def on_headers_complete(self) -> None:
        self._in_head = False

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # trailers are told the same way
            self._fields.append((name.lower(), value.strip(b" \t")))

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        self.within = False
        start = (self.parser.get_method(), self._target)
        self.messages.append(Message(start, b"".join(self._body), self._fields))


def _llhttp_requests(data: bytes, *, lenient: bool) -> Reading:
    reading = Reading("llhttp, lenient" if lenient else "llhttp", [], End.CLEAN)
    while data:
        taking = _Taking()
        taking.parser = parser = httptools.HttpRequestParser(taking)
        if lenient:
            parser.set_dangerous_leniencies(
                lenient_headers=True,
                lenient_chunked_length=True,
                lenient_keep_alive=True,
                lenient_transfer_encoding=True,
                lenient_version=True,
                lenient_data_after_close=True,
                lenient_optional_lf_after_cr=True,
                lenient_optional_cr_before_lf=True,
                lenient_optional_crlf_after_chunk=True,
                lenient_spaces_after_chunk_size=True,
            )
        rest = b""
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            rest = data[upgrade.args[0] :]
        except httptools.HttpParserError as error:
            reading.messages += taking.messages
            reading.end, reading.why = End.REFUSED, f"{type(error).__name__}: {error}"
            return reading
        reading.messages += taking.messages
        if taking.within:
            reading.end = End.WITHIN
            return reading
        data = rest
    return reading


def _careless_requests(data: bytes, habits: Habits, name: str) -> Reading:
    reading = Reading(name, [], End.CLEAN)
    at = 0
    while data[at:].strip(b"\r\n"):
        message = read_message(data, at, habits)
        if message is None or not message.whole:
            reading.end = End.WITHIN
            return reading
        start = (message.start[0], message.start[1] if len(message.start) > 1 else b"")
        reading.messages.append(Message(start, message.body, message.fields))
        at = message.end
    return reading
