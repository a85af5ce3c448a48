"""HTTP/1 heads, read strictly: one meaning or a refusal.

Why not llhttp (httptools): a proxy that must forward header lines byte for byte, stop exactly at the end of
a head, and refuse whatever two readers could read differently wants the lines themselves, not callbacks with
trimmed copies. It costs about 3 µs more per head of ten lines, part of which a rewriting llhttp user pays
again when the lines are put together.

Sources: RFC 9112 (message syntax), RFC 9110 §5 (fields), §7.6.1 (Connection).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, TypeVar

from proxy.core.http.badmessage import BadMessage, TooLarge
from proxy.core.http.framing import NO_BODY, announces_body, answer_body, request_body
from proxy.core.limits import Limit

if TYPE_CHECKING:
    from proxy.core.http.cookies import Crumbs

_V = TypeVar("_V")

TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
BARE_LINE_END: Final = re.compile(rb"(?<!\r)\n")
# What may stand in a line stays as it is: visible ASCII, obs-text, SP and HTAB.
_TEXT: Final = bytes(i if i == 0x09 or (i >= 0x20 and i != 0x7F) else 0x3F for i in range(256))
# In a request line HTAB and "#" mustn't either: for `bytes`, `find` costs five times what `translate` does.
_REQUEST_LINE: Final = bytes(0x3F if i in b"\t#" else octet for i, octet in enumerate(_TEXT))
_HOST: Final = re.compile(rb"(?:[A-Za-z0-9\-._~!$&'()*+,;=%]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{0,5}))?")
_HIGHEST_PORT: Final = 65535

# Kept: with CPython 3.11 asking an enum for a member by name runs Python code, 500 instructions each time.
_HEADERS: Final = Limit.HEADERS
_ANSWER_HEADERS: Final = Limit.ANSWER_HEADERS

_METHODS: Final = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"PATCH", b"OPTIONS"})


class _Field:
    """A header line, read: its name in lower case, its value without surrounding white space."""

    __slots__ = ("name", "value")

    def __init__(self, name: bytes, value: bytes) -> None:
        self.name = name
        self.value = value


class _StatusLine:
    """A status line, read."""

    __slots__ = ("minor", "sent_on", "status")

    def __init__(self, status: int, minor: int, sent_on: bytes) -> None:
        self.status = status
        self.minor = minor
        self.sent_on = sent_on


# Clients and backends repeat themselves: most lines of a head were seen before, and finding one again costs a fifth of
# reading it. A mapping that is full is emptied, so neither a hostile client nor an unlucky order can spoil it for good.
_KEPT: Final = 4096
_LONGEST_KEPT_BYTES: Final = 160
_MOST_OPTIONS_KEPT: Final = 4  # a set of eighty two-letter names takes 10 KiB
_fields: Final[dict[bytes, _Field]] = {}  # by line
_names: Final[dict[bytes, bytes]] = {}  # name as spelled → lower-case
_hosts: Final[set[bytes]] = set()  # well-formed
_options: Final[dict[bytes, frozenset[bytes]]] = {}  # value of Connection → its options
_status_lines: Final[dict[bytes, _StatusLine]] = {}  # status line → status, minor, as it is sent on

# Never kept: what is secret, and what is different every time.
_VARYING: Final = frozenset(
    {
        *(b"cookie", b"set-cookie", b"authorization", b"proxy-authorization", b"x-api-key", b"location", b"referer"),
        *(b"etag", b"last-modified", b"if-none-match", b"if-modified-since"),
        *(b"x-request-id", b"traceparent", b"x-forwarded-for", b"x-account-id", b"age", b"expires"),
    }
)


class Head:
    """The fields of one message.

    Attributes:
        lines: the header lines as they came, in order, without their CRLFs.
        names: the lower-case name of each line.
        values: lower-case name → value without surrounding white space; the first, where a name repeats.
        repeated: lower-case name → all its values; None when every name stood once.
    """

    __slots__ = ("body", "connection", "lines", "names", "repeated", "values")

    lines: list[bytes]
    names: list[bytes]
    values: dict[bytes, bytes]
    repeated: dict[bytes, list[bytes]] | None
    connection: frozenset[bytes]  # lower-case options of Connection
    body: int  # bytes, or CHUNKED, or (answers only) UNTIL_CLOSE

    def all(self, name: bytes) -> list[bytes]:
        """Every value of a field, in order; empty when it is absent."""
        if self.repeated is not None and name in self.repeated:
            return self.repeated[name]
        value = self.values.get(name)
        return [] if value is None else [value]


class RequestHead(Head):
    """A request's head. `target` is in origin form (or `*`), `path` is it without query; `minor` is the x of HTTP/1.x."""

    __slots__ = ("crumbs", "host", "keep_alive", "method", "minor", "path", "target")

    method: bytes
    target: bytes
    path: bytes
    minor: int
    host: bytes  # as written, empty when an HTTP/1.0 client sent none
    crumbs: Crumbs | None  # what its cookies are cut into (`proxy.core.http.cookies`); None until somebody asks
    keep_alive: bool

    @property
    def expects_continue(self) -> bool:
        """Whether the client waits for 100 before it sends the body (RFC 9110 §10.1.1)."""
        return self.minor == 1 and self.values.get(b"expect", b"").lower() == b"100-continue"


class AnswerHead(Head):
    """An answer's head. `status_line` is as it is sent on; `keep_alive`: where it ends is beyond doubt, and nobody said close."""

    __slots__ = ("keep_alive", "minor", "status", "status_line")

    status: int
    status_line: bytes
    minor: int
    keep_alive: bool


_NO_OPTIONS: Final[frozenset[bytes]] = frozenset()


def read_request_head(raw: bytes, header_count: int = 100) -> RequestHead:
    """Read a request's head, from the first byte of the request line to before the final CRLF CRLF.

    Raises:
        BadMessage: it is not HTTP/1, or two readers could disagree about it.
    """
    lines = raw.split(b"\r\n")
    line = lines[0]
    plain = line.translate(_REQUEST_LINE) == line
    if not plain:
        _check_text(line)
    parts = line.split(b" ")
    if len(parts) != 3:
        raise BadMessage("malformed request line")
    method, target, version = parts
    if version == b"HTTP/1.1":
        minor = 1
    elif version == b"HTTP/1.0":
        minor = 0
    elif version[:5] == b"HTTP/" and version[5:6].isdigit():
        raise BadMessage("only HTTP/1.0 and HTTP/1.1 are spoken here", 505)
    else:
        raise BadMessage("malformed request line")
    if method not in _METHODS:
        if TOKEN.fullmatch(method) is None:
            raise BadMessage("malformed method")
        if method == b"CONNECT":  # for whatever target: who grants it makes a tunnel of what others are lent next
            raise BadMessage("CONNECT is not offered", 405)
    if not plain and b"\t" in line:
        raise BadMessage("malformed request line")
    head = RequestHead()
    head.crumbs = None
    head.method = method
    head.minor = minor
    _read_fields(head, lines, header_count, _HEADERS)
    values = head.values
    host = values.get(b"host")
    if host is None:
        if minor:
            raise BadMessage("missing Host")
        host = b""
    elif head.repeated is not None and b"host" in head.repeated:
        raise BadMessage("repeated Host")
    elif host not in _hosts and not _is_host(host):
        raise BadMessage("malformed Host")
    head.host = host
    if not plain and b"#" in target:
        # RFC 9112 §3.2: no form of a target has a fragment. We would match it, a backend may cut it off.
        raise BadMessage("the target has a fragment")
    head.target = target = target if target.startswith(b"/") else _origin_form(head, target)
    head.path = target.partition(b"?")[0]
    if b"transfer-encoding" in values or b"content-length" in values:
        head.body = request_body(head)
    else:
        head.body = NO_BODY
    head.keep_alive = b"close" not in head.connection if minor else b"keep-alive" in head.connection
    return head


def read_answer_head(raw: bytes, *, to_method: bytes, header_count: int = 256) -> AnswerHead:
    """Read a backend's head.

    Raises:
        BadMessage: it is not HTTP/1, or two readers could disagree about it.
    """
    lines = raw.split(b"\r\n")
    line = lines[0]
    head = AnswerHead()
    read = _status_lines.get(line) or _read_status_line(line)
    head.status = status = read.status
    head.minor = minor = read.minor
    head.status_line = read.sent_on
    _read_fields(head, lines, header_count, _ANSWER_HEADERS)
    head.keep_alive = b"close" not in head.connection if minor else b"keep-alive" in head.connection
    if status < 200 or status == 204:
        # RFC 9112 §6.1, §6.2: such an answer has no body, and a framing field in it is an error of the backend.
        head.body = NO_BODY
        if announces_body(head):
            head.keep_alive = False  # and may send one all the same, which must not be taken for the next answer
    else:
        # Looked at even when no body follows: a client is told these fields, and must not be told two lengths.
        body = answer_body(head)
        head.body = NO_BODY if status == 304 or to_method == b"HEAD" else body
        if status == 304 and announces_body(head):
            head.keep_alive = False  # allowed (RFC 9110 §8.6), rare, and not to be told from the same error
    return head


def _read_status_line(line: bytes) -> _StatusLine:
    _check_text(line)
    if line[:7] != b"HTTP/1." or line[7:8] not in b"01" or line[8:9] != b" " or line[12:13] not in b" ":
        raise BadMessage("malformed status line")
    code = line[9:12]
    if len(code) != 3 or not code.isdigit() or code[:1] == b"0":
        raise BadMessage("malformed status code")
    # RFC 9112 §4: the space stands there even when no reason follows; some backends leave it out.
    read = _StatusLine(int(code), 1 if line[7:8] == b"1" else 0, line if len(line) > 12 else line + b" ")
    if len(line) <= _LONGEST_KEPT_BYTES:
        _keep(_status_lines, line, read)
    return read


def _check_text(line: bytes) -> None:
    """Refuse control characters, CR and LF alone among them: after a split at CRLF they can only stand there alone.

    Asked once for each line that is kept: finding it again proves that it was asked. `translate` is one pass in C; the obvious
    regular expression takes twenty times as long.
    """
    if line.translate(_TEXT) != line:
        raise BadMessage("control character in the head")


def _read_fields(head: Head, lines: list[bytes], header_count: int, limit: Limit) -> None:
    """Fill the head's fields from its lines; line 0 is the request or status line."""
    lines = lines[1:]
    if len(lines) > header_count:
        raise TooLarge(f"more than {header_count} header fields", limit, 431)
    names: list[bytes] = []
    values: dict[bytes, bytes] = {}
    for line in lines:
        field = _fields.get(line) or _read_field(line)
        name = field.name
        names.append(name)
        values[name] = field.value
    head.lines = lines
    head.names = names
    repeats = len(values) != len(names)
    if repeats:
        _note_repeated(head)
    else:
        head.values = values
        head.repeated = None
    connection = head.values.get(b"connection")
    if connection is None:
        head.connection = _NO_OPTIONS
    elif not repeats:
        head.connection = _options.get(connection) or _read_options(connection)
    else:
        head.connection = _read_options(b",".join(head.all(b"connection")))


def _read_field(line: bytes) -> _Field:
    _check_text(line)
    name, colon, value = line.partition(b":")
    key = _names.get(name) or _learn_name(name)
    if not colon:
        raise BadMessage("header line without a colon")
    field = _Field(key, value.strip())
    if key not in _VARYING and len(line) <= _LONGEST_KEPT_BYTES:
        _keep(_fields, line, field)
    return field


def _note_repeated(head: Head) -> None:
    every: dict[bytes, list[bytes]] = {}
    for line in head.lines:
        field = _fields.get(line) or _read_field(line)
        every.setdefault(field.name, []).append(field.value)
    head.values = {key: values[0] for key, values in every.items()}
    head.repeated = {key: values for key, values in every.items() if len(values) > 1}


def _read_options(value: bytes) -> frozenset[bytes]:
    options = frozenset(option.strip(b" \t").lower() for option in value.split(b",")) - {b""}
    if len(options) <= _MOST_OPTIONS_KEPT and len(value) <= _LONGEST_KEPT_BYTES:
        _keep(_options, value, options)
    return options


def _learn_name(name: bytes) -> bytes:
    if TOKEN.fullmatch(name) is None:
        if name[:1] in (b" ", b"\t"):
            raise BadMessage("folded header line")
        raise BadMessage("malformed header name")
    key = name.lower()
    if len(name) <= _LONGEST_KEPT_BYTES:
        _keep(_names, name, key)
    return key


def _keep(known: dict[bytes, _V], key: bytes, value: _V) -> None:
    if len(known) >= _KEPT:
        known.clear()
    known[key] = value


def _is_host(host: bytes) -> bool:
    if not host:
        return True  # RFC 9112 §3.2: what a client sends whose target has no authority
    found = _HOST.fullmatch(host)
    if found is None or (found[1] and int(found[1]) > _HIGHEST_PORT):
        return False
    if len(host) <= _LONGEST_KEPT_BYTES:
        if len(_hosts) >= _KEPT:
            _hosts.clear()
        _hosts.add(host)
    return True


def _origin_form(head: RequestHead, target: bytes) -> bytes:
    """Bring `*` and the absolute form (RFC 9112 §3.2) to what is forwarded; refuse everything else."""
    if target == b"*":
        if head.method != b"OPTIONS":
            raise BadMessage("only OPTIONS may ask for *")
        return target
    scheme, found, rest = target.partition(b"://")
    if not found or scheme.lower() not in (b"http", b"https"):
        raise BadMessage("malformed request target")
    cut = len(rest)
    for delimiter in b"/?#":
        at = rest.find(delimiter)
        if 0 <= at < cut:
            cut = at
    authority, path = rest[:cut], rest[cut:]
    if not authority or authority.lower() != head.host.lower():
        raise BadMessage("the target's authority differs from Host")
    if not path and head.method == b"OPTIONS":
        return b"*"  # RFC 9112 §3.2.4: it asks about the server, and whoever forwards it last says so
    return path if path[:1] == b"/" else b"/" + path
