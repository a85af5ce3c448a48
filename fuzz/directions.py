"""The two directions, alike to whoever runs them: cases by number, one try, and a fresh proxy now and then."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from fuzz.answers import AnswerCase, Script, Scripted, try_answers
from fuzz.mutation import cut, mutated
from fuzz.requests import Answers, Outcome, RequestCase, try_requests
from fuzz.rig import Behaviour, Rig
from fuzz.scripts import answer, odd_answer
from fuzz.seeds import Case
from fuzz.streams import odd_stream, stream

_ASKS: Final = (
    *(
        b"GET /a HTTP/1.1\r\nHost: shop\r\n\r\n",
        b"GET /a HTTP/1.1\r\nHost: shop\r\n\r\n",
        b"HEAD /h HTTP/1.1\r\nHost: shop\r\n\r\n",
    ),
    *(
        b"POST /p HTTP/1.1\r\nHost: shop\r\nContent-Length: 3\r\n\r\nabc",
        b"GET /o HTTP/1.0\r\nHost: shop\r\nConnection: keep-alive\r\n\r\n",
    ),
    *(
        b"PUT /c HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        b"GET /o HTTP/1.0\r\n\r\n",
    ),
    *(b"GET /new/x HTTP/1.1\r\nHost: shop\r\n\r\n", b"OPTIONS * HTTP/1.1\r\nHost: shop\r\n\r\n"),
)


@dataclass(frozen=True, slots=True)
class Direction:
    """One direction.

    Attributes:
        name: `requests` or `answers`.
        make: the case of a number, and its kind: `plain` (well-formed), `odd` (of odd parts) or `mutated`.
        attempt: tries a case.
        behaviour: makes the backends that it needs.
    """

    name: str
    make: Callable[[str], tuple[str, Case]]
    attempt: Callable[[Rig, Any], Awaitable[Outcome]]
    behaviour: Callable[[], Behaviour]

    @asynccontextmanager
    async def rig(self, *, patient: bool = False) -> AsyncIterator[Rig]:
        """A fresh proxy."""
        rig = Rig(self.behaviour(), patient=patient)
        await rig.start()
        try:
            yield rig
        finally:
            await rig.stop()


def _requests(number: str) -> tuple[str, Case]:
    random = Random(number)
    kind = random.choice(("plain", "odd", "mutated", "mutated"))
    data = odd_stream(random) if kind == "odd" else stream(random)
    if kind == "mutated":
        data = mutated(random, data, (odd_stream(random),))
    return kind, RequestCase(cut(random, data))


def _answers(number: str) -> tuple[str, Case]:
    random = Random(number)
    kind = random.choice(("plain", "odd", "mutated", "mutated"))
    scripts = []
    asks = tuple(random.choice(_ASKS) for _ in range(random.choice((1, 2, 3))))
    for i, ask in enumerate(asks):
        token = b"token-%d-" % i
        data, end = odd_answer(random, token) if kind == "odd" else answer(random, token, to_head=ask[:4] == b"HEAD")
        if kind == "mutated":
            data = mutated(random, data, (odd_answer(random, b"other")[0],))
        scripts.append(Script(cut(random, data), end))
    return kind, AnswerCase(asks, tuple(scripts), pipelined=random.random() < 0.3)


DIRECTIONS: Final = {
    "requests": Direction("requests", _requests, try_requests, Answers),
    "answers": Direction("answers", _answers, try_answers, Scripted),
}
