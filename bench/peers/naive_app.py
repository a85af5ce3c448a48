"""The proxy that everybody writes first: Starlette in front, httpx behind. Started by uvicorn, as its author would."""

from __future__ import annotations

import os
import zlib

import httpx
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from bench.job import PILOTS, SHARE

_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_HOP_BY_HOP = {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}

_client = httpx.AsyncClient(timeout=20, limits=httpx.Limits(max_keepalive_connections=64), trust_env=False)


async def _proxy(request: Request) -> StreamingResponse:
    account = request.cookies.get("acct", "")
    is_new = account in PILOTS or zlib.crc32(account.encode()) % 100 < SHARE
    base = os.environ["NEW_URL" if is_new else "LEGACY_URL"]
    headers = [(name, value) for name, value in request.headers.items() if name not in _HOP_BY_HOP]
    if request.client is not None:
        headers.append(("x-forwarded-for", request.client.host))
    has_body = "content-length" in request.headers or "transfer-encoding" in request.headers
    question = _client.build_request(
        request.method,
        base + request.url.path + (f"?{request.url.query}" if request.url.query else ""),
        headers=headers,
        content=request.stream() if has_body else None,
    )
    answer = await _client.send(question, stream=True)
    return StreamingResponse(
        answer.aiter_raw(),
        status_code=answer.status_code,
        headers={name: value for name, value in answer.headers.items() if name not in _HOP_BY_HOP},
        background=BackgroundTask(answer.aclose),
    )


app = Starlette(routes=[Route("/{path:path}", _proxy, methods=_METHODS)])
