"""Every key of routes.yaml: the table from which the reader, the JSON Schema and docs/routes.md come.

A new key is one more row; what its value must be beyond its kind is checked where it is used (backends.py,
identity.py, segments.py, areas.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from proxy.config.backends.breaking import BREAKER, BREAKER_KEY
from proxy.config.backends.endpoints import ENDPOINTS, ENDPOINTS_KEY
from proxy.config.backends.fieldshapes import ANSWER_HEADERS, FORWARDING, HEADERS
from proxy.config.backends.naming import DNS, DNS_KEY
from proxy.config.backends.queueing import QUEUE, QUEUE_KEY
from proxy.config.backends.retrying import RETRIES, RETRIES_KEY
from proxy.config.edges.limits import AREA_BODY, BACKEND_MIN_RATE, LIMITS, LIMITS_KEY
from proxy.config.edges.observing import METRICS, METRICS_KEY, TRACING, TRACING_KEY
from proxy.config.edges.shapes_edges import BACKEND_TLS, ERROR_PAGES, LISTENER, SHAPES_OF_EDGES
from proxy.config.edges.signing import PIN, SIGNING, SIGNING_KEY, VISITOR_DAYS, VISITORS
from proxy.config.kinds import (
    NAME,
    Fields,
    JsonSchema,
    Key,
    ListOf,
    MapOf,
    Name,
    OneOf,
    Shape,
    Text,
    YesNo,
    check_name,
    tell_kind,
)
from proxy.config.quantities import Duration, Whole
from proxy.config.routes.patience import AREA_TIMEOUT, AREA_TOTAL, ROUTE_TIMEOUT, ROUTE_TOTAL
from proxy.config.routes.rates import AREA_RATE_KEY, AREA_RATES, RATE, RATE_KEY
from proxy.config.text.nodes import Node, Sequence

if TYPE_CHECKING:
    from proxy.config.problems import Report

TEXT: Final = Text()
NAMES: Final = f"^{NAME.pattern}$"
SOME: Final = ListOf(TEXT)
BACKENDS_TO: Final = OneOf(("legacy", "new"))

# -- one backend
URL = Key(
    name="url",
    kind=ListOf(
        Text("a URL `http://host:port` or `https://host:port`", pattern="^[Hh][Tt][Tt][Pp][Ss]?://[^/?#@]+/?$")
    ),
    required=True,
    meaning="Where the system answers; several endpoints share the work.",
)
TIMEOUT = Key(
    name="timeout",
    kind=Duration(),
    default="`20s`",
    meaning="The longest silence while waiting for the head or the next byte.",
)
CONNECT = Key(name="connect", kind=Duration(), default="`2s`", meaning="The longest wait for a connection.")
TOTAL = Key(
    name="total",
    kind=Duration(may_be_off=True),
    default="`off`",
    meaning="The longest time for a whole exchange.",
)
HEALTH = Key(
    name="health",
    kind=Text("a path", pattern="^/"),
    default="no probes",
    meaning="The path that each endpoint is asked for by probes; 200 to 399 is healthy.",
)
MAX_IN_FLIGHT = Key(
    name="max_in_flight",
    kind=Whole(1, 1_000_000),
    default="no limit",
    meaning="Exchanges under way at once, per node; more wait (`queue`). A worker gets its part, rounded up.",
)
TOLD_HOST = Key(
    name="host",
    kind=Text("`keep`, `backend`, or a host such as `shop.internal`"),
    default="`keep`",
    meaning="The `Host` that requests have: the client's, the endpoint's own, or this one.",
)
BACKEND_HEADERS = Key(name="headers", kind=HEADERS, meaning="What is changed in the headers of every request.")
ANSWER_HEADERS_KEY = Key(
    name="answer_headers", kind=ANSWER_HEADERS, meaning="What is changed in the headers of every answer."
)
TLS = Key(
    name="tls", kind=BACKEND_TLS, default="as its keys say", meaning="How endpoints with `https://` are met over TLS."
)
BACKEND: Final = Shape(
    "backends.*",
    (
        *(URL, TIMEOUT, CONNECT, TOTAL, BACKEND_MIN_RATE, HEALTH, MAX_IN_FLIGHT, QUEUE_KEY, BREAKER_KEY, TOLD_HOST),
        *(BACKEND_HEADERS, ANSWER_HEADERS_KEY, TLS, ENDPOINTS_KEY, RETRIES_KEY),
    ),
)
LEGACY = Key(name="legacy", kind=BACKEND, required=True, meaning="The old system.")
NEW = Key(name="new", kind=BACKEND, required=True, meaning="The new system.")
BACKENDS: Final = Shape("backends", (LEGACY, NEW))
_OF_BACKENDS = ("under backends.legacy or backends.new, not here", BACKEND.names)

# -- who is asking
TRUSTED_FROM = Key(
    name="trusted_from",
    kind=ListOf(Text("an address range such as `10.1.2.3/32`"), may_be_empty=True),
    default="nobody",
    meaning="Peers whose identity headers are believed: only gateways that themselves set and strip them.",
)
_SOURCES = ListOf(Text("a source such as `header:X-Account-Id`, `cookie:acct`"), may_be_empty=True)
ACCOUNT_FROM = Key(
    name="account",
    kind=_SOURCES,
    meaning="Where the account stands: `header:NAME`, `cookie:NAME`, `path:/accounts/{account}/**`, "
    "`host:{account}.shop.example`; the first that is present decides.",
)
REGION_FROM = Key(
    name="region",
    kind=_SOURCES,
    meaning="Where the region stands: as for the account (captures are called `{region}`), "
    "and `account:ATTRIBUTE` of the register.",
)
JWT: Key[Any] = Key(name="jwt", kind=TEXT, later=True, meaning="Signed tokens as a source of identity.")
IDENTITY: Final = Shape("identity", (TRUSTED_FROM, JWT, ACCOUNT_FROM, REGION_FROM, VISITORS, VISITOR_DAYS))

# -- known accounts
REGISTER = Key(
    name="register",
    kind=Text("a file"),
    required=True,
    meaning="CSV with a line of column names: `id`, `region`, and any attributes.",
)
ACCOUNTS: Final = Shape("accounts", (REGISTER,))

# -- segments
SEGMENT_ACCOUNTS = Key(
    name="accounts", kind=Text("a file"), meaning="A list: one account a line, `#` begins a comment."
)
SEGMENT_ATTRIBUTES = Key(
    name="attributes",
    kind=MapOf(SOME, "attribute"),
    meaning="Attributes of the register, each with the values that count.",
)
SEGMENT_CLAIMS: Key[Any] = Key(
    name="claims", kind=TEXT, later=True, meaning="Claims of a signed token, each with the values that count."
)
SEGMENT_REGIONS = Key(name="regions", kind=SOME, meaning="Regions that count.")
SEGMENT_ANY = Key(name="any", kind=ListOf(Name("a segment")), meaning="Belongs to one of these segments at least.")
SEGMENT_ALL = Key(name="all", kind=ListOf(Name("a segment")), meaning="Belongs to every one of these segments.")
SEGMENT_NOT = Key(name="not", kind=ListOf(Name("a segment")), meaning="Belongs to none of these segments.")
SEGMENT: Final = Shape(
    "segments.*",
    (
        SEGMENT_ACCOUNTS,
        SEGMENT_ATTRIBUTES,
        SEGMENT_CLAIMS,
        SEGMENT_REGIONS,
        SEGMENT_ANY,
        SEGMENT_ALL,
        SEGMENT_NOT,
    ),
    needs_one=True,
)

# -- cookies that belong to one system
_COOKIES = ListOf(Text("a cookie name"))
COOKIES_LEGACY = Key(name="legacy", kind=_COOKIES, meaning="Never sent to, nor accepted from, the new system.")
COOKIES_NEW = Key(name="new", kind=_COOKIES, meaning="Never sent to, nor accepted from, the old system.")
COOKIES: Final = Shape("cookies", (COOKIES_LEGACY, COOKIES_NEW), needs_one=True)

# -- routes
REWRITE_LEGACY = Key(name="legacy", kind=Text("a path"), meaning="The path as the old system knows it.")
REWRITE_NEW = Key(name="new", kind=Text("a path"), meaning="The path as the new system knows it.")
REWRITE: Final = Shape("areas.*.routes[].rewrite", (REWRITE_LEGACY, REWRITE_NEW), needs_one=True)

ROUTE_ID = Key(
    name="id", kind=Name(), default="its position from 1", meaning="The route is called `AREA/ID` everywhere."
)
HOST = Key(
    name="host",
    kind=Text("a host such as `shop.example` or `*.shop.example`"),
    default="any",
    meaning="The host asked for, without port.",
)
PATH = Key(
    name="path",
    kind=Text("a path pattern such as `/orders/{id}` or `/api/orders/**`, or `regex:…`", pattern="^(/|regex:)"),
    required=True,
    meaning="`{x}` is one segment, `**` at the end nothing or everything from its slash on; `regex:` is matched in full.",
)
METHODS = Key(name="methods", kind=ListOf(Text("a method")), default="any", meaning="Methods, in capitals.")
ROUTE_HEADERS = Key(
    name="headers", kind=MapOf(SOME, "header name"), default="any", meaning="Headers, each with the values that count."
)
QUERY = Key(
    name="query",
    kind=MapOf(SOME, "parameter"),
    default="any",
    meaning="Parameters of the query, each with the values that count.",
)
ROUTE_COOKIES = Key(
    name="cookies", kind=MapOf(SOME, "cookie name"), default="any", meaning="Cookies, each with the values that count."
)
ROUTE_SEGMENT = Key(
    name="segment", kind=ListOf(Name("a segment")), default="any", meaning="The account or request belongs to one."
)
ROUTE_REGION = Key(name="region", kind=SOME, default="any", meaning="The request's region is one of these.")
ROUTE_ACCOUNT = Key(name="account", kind=SOME, default="any", meaning="The account is one of these.")
TO = Key(
    name="to",
    kind=BACKENDS_TO,
    default="the area's flag decides",
    meaning="The system that always answers; a fixed `new` still obeys a rollback.",
)
ROUTE_REWRITE = Key(
    name="rewrite",
    kind=REWRITE,
    default="unchanged",
    meaning="The path for one system, made from the captures of `path`; the query is kept.",
)
_OF_AREAS = ("owner", "runbook", "flag", "fallback", "pin", "retired", "cache", "body", "rate")
ROUTE: Final = Shape(
    "areas.*.routes[]",
    (
        *(ROUTE_ID, HOST, PATH, METHODS, ROUTE_HEADERS, QUERY, ROUTE_COOKIES, ROUTE_SEGMENT, ROUTE_REGION),
        *(ROUTE_ACCOUNT, TO, ROUTE_REWRITE, ROUTE_TIMEOUT, ROUTE_TOTAL),
    ),
    elsewhere=[("at the area, not at a route", _OF_AREAS), _OF_BACKENDS],
)

# -- areas
OWNER = Key(name="owner", kind=TEXT, meaning="Who answers for it.")
RUNBOOK = Key(name="runbook", kind=TEXT, meaning="What to do when it smells.")
FLAG = Key(
    name="flag",
    kind=TEXT,
    default="the area's name",
    meaning="The key of the flag that decides. Written, it must exist; left out, a missing flag means legacy.",
)
FALLBACK = Key(
    name="fallback",
    kind=OneOf(("never", "safe")),
    default="`never`",
    meaning="Whether legacy may answer a read without a body when new can't be reached at all.",
)
RETIRED = Key(
    name="retired",
    kind=YesNo(),
    default="`false`",
    meaning="Legacy no longer has it: new answers, always, outside any rollback.",
)


class _Routes:
    """A list of routes; one route alone is a list of one all the same, for the next one will come."""

    words = "a list of routes"

    def read(self, node: Node, where: str, report: Report) -> tuple[Fields, ...] | None:
        if not isinstance(node, Sequence):
            tell_kind(node, where, report, "a list of routes")
            return None
        if not node.items:
            report.tell("empty", node, where, "the list is empty: an area has one route at least")
        read = (ROUTE.read(item, f"{where}[{i}]", report) for i, item in enumerate(node.items, 1))
        return tuple(fields for fields in read if fields is not None)

    def schema(self) -> JsonSchema:
        return {"type": "array", "items": ROUTE.schema(), "minItems": 1}


_CACHE = OneOf(("private", "vary", "off"))
AREA_CACHE = Key(
    name="cache",
    kind=_CACHE,
    default="as the file's `cache` says",
    meaning="What shared caches in front are told of its answers, for as long as they depend on who asks.",
)
ROUTES = Key(name="routes", kind=_Routes(), required=True, meaning="What belongs to the area.")
AREA: Final = Shape(
    "areas.*",
    (
        *(OWNER, RUNBOOK, FLAG, FALLBACK, PIN, RETIRED, AREA_CACHE, AREA_BODY, AREA_RATE_KEY),
        *(AREA_TIMEOUT, AREA_TOTAL, ROUTES),
    ),
    elsewhere=[("at a route, not at its area", ROUTE.names), _OF_BACKENDS],
)

# -- the files
VERSION = Key(name="version", kind=Whole(0, 1_000_000), required=True, meaning="The version of this format: 1.")
INCLUDE = Key(
    name="include",
    kind=ListOf(Text("a path or pattern such as `areas/*.yaml`"), may_be_empty=True),
    meaning="Files with further `areas` and `segments`; relative to routes.yaml, taken in the order of their paths.",
)
LISTENER_KEY = Key(
    name="listener", kind=LISTENER, default="plain HTTP", meaning="What the connections of clients begin with."
)
ERROR_PAGES_KEY = Key(
    name="error_pages",
    kind=ERROR_PAGES,
    default="a few lines of plain text",
    meaning="What answers of the proxy's own look like, by status (`502`) or class (`5xx`). Backends' answers pass as they are.",
)
BACKENDS_KEY = Key(name="backends", kind=BACKENDS, required=True, meaning="The two systems.")
IDENTITY_KEY = Key(name="identity", kind=IDENTITY, default="nobody is known", meaning="Who is asking, and from where.")
FORWARDING_KEY = Key(
    name="forwarding",
    kind=FORWARDING,
    default="as the keys below say",
    meaning="What backends and clients are told of the way between them.",
)
ACCOUNTS_KEY = Key(name="accounts", kind=ACCOUNTS, meaning="The known accounts.")
SEGMENTS_KEY = Key(
    name="segments",
    kind=MapOf(SEGMENT, "segment", check_name, NAMES, may_be_empty=True),
    meaning="Named sets of accounts, or conditions.",
)
COOKIES_KEY = Key(name="cookies", kind=COOKIES, meaning="Cookies that belong to one system.")
PUBLIC_ORIGIN = Key(
    name="public_origin",
    kind=Text("an origin such as `https://shop.example`", pattern="^[Hh][Tt][Tt][Pp][Ss]?://[^/?#@]+/?$"),
    default="nothing is mapped back",
    meaning="What people see: redirects and cookies of the two systems are mapped back to it.",
)
INNER_HOSTS = Key(
    name="inner_hosts",
    kind=OneOf(("count", "off")),
    default="`count`",
    meaning="Whether lines of answers that still name a host of `backends` are counted, where there is a `public_origin`.",
)
CACHE = Key(
    name="cache",
    kind=_CACHE,
    default="`off`, and a warning where answers depend on the account",
    meaning="What shared caches in front are told of answers that depend on who asks: that they are `private`, or by what they `vary`.",
)
ROLLBACK_DRAIN = Key(
    name="rollback_drain",
    kind=Duration(),
    default="`10s`",
    meaning="Over how long WebSockets and event streams on the new system are ended when a rollback covers them.",
)
AREAS_KEY = Key(
    name="areas",
    kind=MapOf(AREA, "area", check_name, NAMES, may_be_empty=True),
    meaning="The business areas, each of which moves as one.",
)
OTHERWISE = Key(
    name="otherwise",
    kind=BACKENDS_TO,
    required=True,
    meaning="Who answers what belongs to no area: nothing is unrouted.",
)
MAIN: Final = Shape(
    "routes.yaml",
    (
        VERSION,
        INCLUDE,
        LISTENER_KEY,
        BACKENDS_KEY,
        DNS_KEY,
        IDENTITY_KEY,
        SIGNING_KEY,
        FORWARDING_KEY,
        ACCOUNTS_KEY,
        SEGMENTS_KEY,
        COOKIES_KEY,
        PUBLIC_ORIGIN,
        INNER_HOSTS,
        CACHE,
        ROLLBACK_DRAIN,
        TRACING_KEY,
        METRICS_KEY,
        LIMITS_KEY,
        RATE_KEY,
        AREAS_KEY,
        ERROR_PAGES_KEY,
        OTHERWISE,
    ),
    elsewhere=[_OF_BACKENDS, ("under areas.NAME, not here", AREA.names), ("under identity, not here", IDENTITY.names)],
)
INCLUDED: Final = Shape("an included file", (SEGMENTS_KEY, AREAS_KEY), elsewhere=[("in routes.yaml only", MAIN.names)])

SHAPES: Final = (
    *(MAIN, BACKENDS, BACKEND, HEADERS, ANSWER_HEADERS, ENDPOINTS, RETRIES, QUEUE, BREAKER, DNS),
    *(IDENTITY, SIGNING, FORWARDING, ACCOUNTS),
    *(SEGMENT, COOKIES, TRACING, METRICS, LIMITS, RATE, AREA, AREA_RATES, ROUTE, REWRITE),
    *SHAPES_OF_EDGES,
)
"""Every shape, as docs/routes.md lists them."""
