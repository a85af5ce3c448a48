"""The two shops: the same business twice, told apart by their looks and by what each page says of itself.

They use what real systems use and a proxy can spoil: forms answered by a redirect, session cookies, uploads,
static files, an API whose paths differ between the two.
"""

from __future__ import annotations

import secrets
from email.message import Message
from email.parser import BytesParser
from html import escape
from typing import Any, Final
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from proxy.cli.demo import looks
from proxy.cli.demo.goods import ARTICLES, Goods, Order

_SESSION_COOKIE: Final[dict[looks.System, str]] = {"legacy": "LEGACYSESSION", "new": "sid"}
_API: Final[dict[looks.System, str]] = {"legacy": "/api/orders", "new": "/v2/orders"}
_LARGEST_BODY_BYTES: Final = 5_000_000
_MOST_SESSIONS: Final = 10_000


def shop(system: looks.System, goods: Goods) -> Starlette:
    """One of the two shops as an ASGI application."""
    return _Shop(system, goods).application()


class _Json(JSONResponse):
    """JSON that ends its line, for those who read it in a terminal."""

    def render(self, content: Any) -> bytes:
        return super().render(content) + b"\n"


class _Shop:
    def __init__(self, system: looks.System, goods: Goods) -> None:
        self._system = system
        self._goods = goods
        self._visits: dict[str, int] = {}

    def application(self) -> Starlette:
        routes = [
            Route("/", self._home),
            Route("/account", self._switch_account, methods=["POST"]),
            Route("/orders", self._orders, methods=["GET", "POST"]),
            Route("/orders/{number:int}", self._order),
            Route(_API[self._system], self._api_orders),
            Route(_API[self._system] + "/{number:int}", self._api_order),
            Route("/search", self._search),
            Route("/documents", self._documents, methods=["GET", "POST"]),
            Route("/checkout", self._checkout),
            Route("/help", self._help),
            Route(looks.STYLE_PATH[self._system], self._style),
        ]
        if self._system == "new":
            routes.append(Route("/blog", self._blog))
        return Starlette(routes=routes, exception_handlers={404: self._missing})

    # --- pages

    async def _home(self, request: Request) -> Response:
        body = (
            "<p>Choose an account above, then visit the areas: the same address is answered by one shop or the other. "
            "Each page ends with what the shop that answered has received.</p>"
        )
        return self._page(request, "Welcome", body)

    async def _orders(self, request: Request) -> Response:
        account = _account(request)
        if request.method == "POST":
            form = dict(parse_qsl((await _body(request)).decode("utf-8", "replace")))
            amount = int(form["amount"]) if form.get("amount", "").isdecimal() else 1
            order = self._goods.place_order(account or "nobody", form.get("article", ARTICLES[0]), amount, self._system)
            return RedirectResponse(f"/orders/{order.number}", status_code=303)
        body = looks.table(
            ["Order", "Account", "Article", "Amount", "Taken by"], (_row(order) for order in self._orders_of(account))
        )
        body += (
            '<h2>Order something</h2><form method="post" action="/orders">'
            + looks.choice("article", "Article", [(name, name) for name in ARTICLES])
            + '<label for="amount">Amount</label> <input id="amount" name="amount" type="number" min="1" value="10">'
            "<button>Place the order</button></form>"
        )
        return self._page(request, "Orders", body)

    async def _order(self, request: Request) -> Response:
        order = self._goods.orders.get(request.path_params["number"])
        if order is None:
            return self._page(request, "No such order", "", 404)
        body = looks.table(["Order", "Account", "Article", "Amount", "Taken by"], [_row(order)])
        return self._page(request, f"Order {order.number}", body + '<p><a href="/orders">All orders</a></p>')

    async def _api_orders(self, request: Request) -> Response:
        orders = [order.number for order in self._orders_of(_account(request))]
        return _Json({"answered_by": self._system, "path": request.url.path, "orders": orders})

    async def _api_order(self, request: Request) -> Response:
        order = self._goods.orders.get(request.path_params["number"])
        if order is None:
            return _Json({"answered_by": self._system, "error": "no such order"}, 404)
        told = {"number": order.number, "account": order.account, "article": order.article, "amount": order.amount}
        return _Json({"answered_by": self._system, "path": request.url.path, "order": told})

    async def _search(self, request: Request) -> Response:
        wanted = request.query_params.get("q", "")
        found = [name for name in ARTICLES if wanted.lower() in name.lower()]
        body = (
            '<form action="/search" role="search"><label for="q">Article</label> '
            f'<input id="q" name="q" value="{escape(wanted)}"><button>Search</button></form>'
        )
        return self._page(request, "Search", body + looks.table(["Article"], ([name] for name in found)))

    async def _documents(self, request: Request) -> Response:
        if request.method == "POST":
            for name, content in files_of(request.headers.get("content-type", ""), await _body(request)):
                self._goods.keep_document(name, content, self._system)
            return RedirectResponse("/documents", status_code=303)
        body = (
            '<form method="post" action="/documents" enctype="multipart/form-data"><label for="file">A file</label> '
            '<input id="file" name="file" type="file" required><button>Upload</button></form>'
        )
        rows = ([d.name, f"{d.size_bytes:,}", d.sha256[:12], d.taken_by] for d in self._goods.documents)
        return self._page(request, "Documents", body + looks.table(["Name", "Bytes", "SHA-256", "Taken by"], rows))

    async def _checkout(self, request: Request) -> Response:
        orders = self._orders_of(_account(request))
        return self._page(request, "Checkout", f"<p>{len(orders)} orders wait to be paid.</p>")

    async def _help(self, request: Request) -> Response:
        return self._page(request, "Help", "<p>Orders leave the warehouse on the next working day.</p>")

    async def _blog(self, request: Request) -> Response:
        return self._page(request, "Blog", "<p>The blog has moved for good: the legacy shop no longer has it.</p>")

    async def _missing(self, request: Request, _: Exception) -> Response:
        return self._page(request, "Not here", "<p>This shop has no such page.</p>", 404)

    async def _style(self, _: Request) -> Response:
        return Response(looks.style(self._system), media_type="text/css", headers={"Cache-Control": "max-age=60"})

    async def _switch_account(self, request: Request) -> Response:
        form = dict(parse_qsl((await _body(request)).decode("utf-8", "replace")))
        back = form.get("next", "/")
        if not back.startswith("/") or back.startswith(("//", "/\\")):
            back = "/"
        answer = RedirectResponse(back, status_code=303)
        if form.get("account") in self._goods.accounts:
            answer.set_cookie("acct", form["account"], httponly=True, samesite="lax")
        else:
            answer.delete_cookie("acct")
        return answer

    # --- their parts

    def _orders_of(self, account: str | None) -> list[Order]:
        """The account's orders, newest first; everybody's last ten without one."""
        newest_first = reversed(self._goods.orders.values())
        return [order for order in newest_first if account is None or order.account == account][:10]

    def _page(self, request: Request, title: str, body: str, status: int = 200) -> HTMLResponse:
        account = _account(request)
        session = request.cookies.get(_SESSION_COOKIE[self._system]) or secrets.token_hex(8)
        if session not in self._visits and len(self._visits) >= _MOST_SESSIONS:
            self._visits.clear()
        self._visits[session] = visits = self._visits.get(session, 0) + 1
        path = request.url.path
        switch = (
            f'<form method="post" action="/account"><input type="hidden" name="next" value="{escape(path)}">'
            + looks.choice("account", "Account", [("", "nobody"), *((a, a) for a in self._goods.accounts)], account)
            + "<button>Switch</button></form>"
        )
        facts = [
            ("Account", account or "none"),
            ("Path", path),
            ("Cookies", "; ".join(sorted(request.cookies)) or "none"),
            ("Pages in this session", str(visits)),
            ("Request id", request.headers.get("x-request-id", "none")),
        ]
        html = looks.frame(self._system, title=title, path=path, body=body, switch=switch, facts=facts)
        answer = HTMLResponse(html, status, headers={"Cache-Control": "no-store"})
        answer.set_cookie(_SESSION_COOKIE[self._system], session, httponly=True, samesite="lax")
        return answer


def _row(order: Order) -> list[str]:
    return [str(order.number), order.account, order.article, str(order.amount), order.taken_by]


def _account(request: Request) -> str | None:
    return request.headers.get("x-account-id") or request.cookies.get("acct")


async def _body(request: Request) -> bytes:
    """The body, as far as a demo keeps one in memory."""
    body = bytearray()
    async for piece in request.stream():
        if len(body) < _LARGEST_BODY_BYTES:
            body += piece
    return bytes(body)


def files_of(content_type: str, body: bytes) -> list[tuple[str, bytes]]:
    """The files of a multipart form: (name, content). The standard library's mail parser reads the same format."""
    parsed = BytesParser().parsebytes(b"Content-Type: " + content_type.encode("latin-1") + b"\r\n\r\n" + body)
    files = []
    for part in parsed.walk():
        name = _name_of(part)
        content = part.get_payload(decode=True)
        if name and isinstance(content, bytes):
            files.append((name, content))
    return files


def _name_of(part: Message) -> str | None:
    """A file's name. Browsers write it in UTF-8 (RFC 7578 §5.1), which mail never has in a header: the parser hides it."""
    disposition = Message()
    for name, value in part.raw_items():
        if name.lower() == "content-disposition":
            disposition[name] = value.encode("ascii", "surrogateescape").decode("utf-8", "replace")
    return disposition.get_filename()
