"""A server of event streams, by sse-starlette: says who it is, repeats what a listener missed, then tells what it is told.

Run by uvicorn as `tests.compat.events_app:app`; its name is in EVENTS_NAME.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from itertools import count

from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.routing import Route

PAGE = """<!doctype html><title>events</title><link rel="icon" href="data:,"><script>
const heard = [], source = new EventSource("/events");
source.onmessage = ({data}) => heard.push(data);
source.onerror = () => heard.push("lost");
</script>"""

words: list[str] = []
told = asyncio.Event()


async def events(request: Request) -> EventSourceResponse:
    """Events from after `Last-Event-ID`; without one, from now on."""
    last = request.headers.get("last-event-id", "")

    async def stream() -> AsyncIterator[ServerSentEvent]:
        yield ServerSentEvent(f"at {os.environ['EVENTS_NAME']}", retry=100)
        for place in count(int(last) + 1 if last else len(words)):
            while place >= len(words):
                await told.wait()
            yield ServerSentEvent(words[place], id=str(place))

    return EventSourceResponse(stream(), ping=15)


async def tell(request: Request) -> PlainTextResponse:
    """Tell everybody who listens, now or later."""
    words.append(request.query_params["word"])
    told.set()
    told.clear()
    return PlainTextResponse("told")


async def page(_: Request) -> HTMLResponse:
    """A listener in a browser."""
    return HTMLResponse(PAGE)


app = Starlette(routes=[Route("/events", events), Route("/tell", tell), Route("/", page)])
