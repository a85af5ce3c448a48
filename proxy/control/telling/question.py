"""A question to `explain`, turned into the request that it stands for."""

from __future__ import annotations

import re

import msgspec

from proxy.core.deciding.decision import Decision
from proxy.core.deciding.pins import PIN_COOKIE
from proxy.core.deciding.visitors import VISITOR_COOKIE
from proxy.core.generation import Generation
from proxy.core.http.badmessage import BadMessage
from proxy.core.http.message import RequestHead, read_request_head
from proxy.core.model import Backend
from proxy.core.plan import Source

LONGEST_QUESTION_BYTES = 64 << 10
_VISITOR = re.compile("[A-Za-z0-9_-]{1,64}")


class CannotAsk(Exception):
    """The question can't be asked of this configuration. The text says why, and what would work."""


class Question(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a person wants to know.

    Attributes:
        method: of the request.
        target: path and query, in origin or absolute form.
        host: the Host header; None: that of an absolute target, else the public origin's, else localhost.
        headers: further header lines (name, value).
        cookies: (name, value).
        account: who asks; put where the configuration looks for accounts.
        region: where the request belongs; put where the configuration looks for regions.
        peer: the address the request comes from; None: a trusted one if account or region stand in a header, else
            one that is not trusted.
        visitor: the id of a visitor without an account, as a cookie that we signed.
        pins: (area, backend): where it is supposed to have begun, likewise.
        percent: what if the flag of the request's area gave this share to new, in per cent.
    """

    method: str
    target: str
    host: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    cookies: tuple[tuple[str, str], ...] = ()
    account: str | None = None
    region: str | None = None
    peer: str | None = None
    visitor: str | None = None
    pins: tuple[tuple[str, Backend], ...] = ()
    percent: float | None = None


class Posed(msgspec.Struct, frozen=True):
    """A question as a request: what `decide` is given, and what people should know about it."""

    head: RequestHead
    peer_trusted: bool
    notes: tuple[str, ...]


def pose(question: Question, generation: Generation) -> Posed:
    """Build the request.

    Raises:
        CannotAsk: account or region can't be put anywhere, or a line can't stand in a request.
        BadMessage: the request would be refused with 400.
    """
    _check_words(question)
    headers = list(question.headers)
    cookies = list(question.cookies)
    notes: list[str] = []
    identity = generation.identity
    by_header = [
        _place("account", question.account, identity.account, headers, cookies, notes),
        _place("region", question.region, identity.region, headers, cookies, notes),
    ]
    cookies += _signed(question, generation)
    if question.peer is not None:
        trusted = generation.trusts(question.peer)
        notes.append(f"{question.peer} is {'' if trusted else 'not '}a trusted peer (identity.trusted_from)")
    else:
        trusted = any(by_header)
        if trusted:
            notes.append("asked as a trusted peer would")
    ignored = {name.lower().encode("latin-1", "replace") for name, _ in question.headers} & generation.identity_headers
    if ignored and not trusted:
        names = ", ".join(sorted(name.decode("latin-1") for name in ignored))
        remedy = "use --account or --region" + (", or --peer ADDRESS" if question.peer is None else "")
        notes.append(f"{names}: only read from trusted peers; {remedy}")
    if cookies:
        headers.append(("Cookie", "; ".join(f"{name}={value}" for name, value in cookies)))
    lines = [f"{question.method} {question.target} HTTP/1.1", f"Host: {_host(question, generation)}"]
    lines += [f"{name}: {value}" for name, value in headers]
    raw = "\r\n".join(lines).encode("utf-8")
    if len(raw) > LONGEST_QUESTION_BYTES or raw.count(b"\r\n") != len(lines) - 1:
        raise CannotAsk("the request is too long, or a value has a line end in it")
    return Posed(read_request_head(raw), trusted, tuple(notes))


def _signed(question: Question, generation: Generation) -> list[tuple[str, str]]:
    """Cookies of ours, as if we had given them.

    Raises:
        CannotAsk: this configuration gives none.
    """
    now_s, found = generation.now_s(), []
    if question.visitor is not None:
        if generation.visitors is None:
            raise CannotAsk("--visitor: this configuration knows no visitors (identity.visitors)")
        if not _VISITOR.fullmatch(question.visitor):
            raise CannotAsk("--visitor takes an id of letters, digits, - and _, 64 at most")
        found.append((VISITOR_COOKIE, generation.visitors.token(question.visitor, now_s)))
    if question.pins:
        token = None if generation.pins is None else generation.pins.supposed(question.pins, now_s)
        if token is None:
            wanted = ", ".join(area for area, _ in question.pins)
            raise CannotAsk(f"--pin: not all of these areas pin who asks for them (`pin:`): {wanted}")
        found.append((PIN_COOKIE, token))
    return found


def _check_words(question: Question) -> None:
    """Tell apart what was mistyped from what a client could send.

    Raises:
        CannotAsk: it is no question.
    """
    for what, value in (("account", question.account), ("region", question.region)):
        if value == "":
            raise CannotAsk(f"--{what} is empty; leave it out to ask for a request without {what}")
    target = question.target
    if not target.startswith("/") and target != "*" and "://" not in target:
        raise CannotAsk(f"a path begins with /, such as /{target}; a whole URL with http:// or https://")


def _place(
    what: str,
    value: str | None,
    sources: tuple[Source, ...],
    headers: list[tuple[str, str]],
    cookies: list[tuple[str, str]],
    notes: list[str],
) -> bool:
    """Put an account or region where it will be read; whether that is a header.

    The first header or cookie source is taken. One of path or host can't be put anywhere: it stands in the target or
    not, and whether it names the one asked for is seen after the decision.
    """
    if value is None:
        return False
    for source in sources:
        if source.source == "header":
            headers.append((source.name, value))
            notes.append(f"{what} {value} given as header {source.name} ({source.place})")
            return True
        if source.source == "cookie":
            if any(char in value for char in ';, "'):
                raise CannotAsk(f"{what} {value!r} can't stand in cookie {source.name}")
            cookies.append((source.name, value))
            notes.append(f"{what} {value} given as cookie {source.name} ({source.place})")
            return False
    if not sources:
        raise CannotAsk(
            f"this configuration reads no {what}: identity.{what} names no source; write one in routes.yaml, or leave --{what} out"
        )
    return False


def check_identity(question: Question, account: str | None, region: str | None, generation: Generation) -> None:
    """Make sure that the request stood for whom it was asked for.

    Raises:
        CannotAsk: a source that comes first says otherwise.
    """
    for what, wanted, found, sources in (
        ("account", question.account, account, generation.identity.account),
        ("region", question.region, region, generation.identity.region),
    ):
        if wanted is not None and wanted != found:
            peer = question.peer
            if peer is not None and not generation.trusts(peer) and any(one.source == "header" for one in sources):
                raise CannotAsk(
                    f"{what} {wanted} can't be asked from {peer}: it is no trusted peer (identity.trusted_from), so no "
                    f"header of it says who asks; leave --peer out, or name one that is trusted"
                )
            listed = ", ".join(f"{source.source}:{source.name}" for source in sources)
            says = f"gives {found}" if found is not None else "gives none"
            raise CannotAsk(
                f"{what} {wanted} can't be asked with this target and host: this configuration looks at {listed}, in "
                f"this order, which {says}; choose a target or --host that names it"
            )


def check_pins(question: Question, decision: Decision) -> tuple[str, ...]:
    """Make sure that pins which were supposed could hold at all; what is to be said where they weren't looked at.

    Raises:
        CannotAsk: nobody asks who has a place on a ramp, and a pin holds against nothing else.
    """
    if not question.pins or decision.pinning is not None:
        return ()
    if decision.account is None and decision.visitor is None:
        who = "--account ACCOUNT" if decision.generation.visitors is None else "--account ACCOUNT or --visitor ID"
        raise CannotAsk(f"--pin: a pin holds against a share alone, and who has no account has none here; add {who}")
    return ("--pin changes nothing here: a pin holds against a share between 0 and 100 % alone",)


def _host(question: Question, generation: Generation) -> str:
    if question.host:
        return question.host
    _, absolute, rest = question.target.partition("://")
    if absolute and not question.target.startswith("/"):
        return re.split("[/?#]", rest, maxsplit=1)[0]
    origin = generation.settings.public_origin
    return "localhost" if origin is None else origin.partition("://")[2]


__all__ = ["BadMessage", "CannotAsk", "Posed", "Question", "check_identity", "check_pins", "pose"]
