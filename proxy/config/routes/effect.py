"""Settings that are right by themselves and change nothing where they stand: told, since whoever wrote them counts on them.

Told is only what somebody wrote, never a default; and never what prepares a next step, as a rewrite of a route that is still fixed does, or a share of 0 %.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from proxy.config.backends.breaking import BREAKER_KEY, OPEN, OPEN_LONGEST
from proxy.config.backends.endpoints import (
    ENDPOINTS_KEY,
    FAULTS,
    HEALTHY_AFTER,
    LEFT_OUT,
    LEFT_OUT_LONGEST,
    PROBE_EVERY,
    PROBE_TIMEOUT,
    SLOW_START,
    UNHEALTHY_AFTER,
)
from proxy.config.backends.naming import DNS_KEY
from proxy.config.backends.queueing import QUEUE_KEY, QUEUE_MOST, QUEUE_MOST_OF_ACCOUNT, QUEUE_WAIT
from proxy.config.backends.retrying import RETRIES_KEY
from proxy.config.edges.signing import PIN, VISITOR_DAYS
from proxy.config.kinds import Fields
from proxy.config.routes.shapes import CONNECT, FALLBACK, HEALTH, MAX_IN_FLIGHT, TIMEOUT
from proxy.core.care.resolving import names_of
from proxy.core.model import Backend, Fallback
from proxy.core.targeting.ramp import shares_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.config.kinds import Key
    from proxy.config.problems import Marked, Report
    from proxy.config.routes.drafts import AreaDraft, BackendDraft, RouteDraft
    from proxy.core.plan import Area, BackendSpec, Flag, Identity

_PROBES = (PROBE_EVERY, PROBE_TIMEOUT, UNHEALTHY_AFTER, HEALTHY_AFTER)


def tell_of_backend(fields: Fields, spec: BackendSpec, report: Report) -> None:
    """What one backend says in vain."""
    total_s = spec.total_s
    if total_s is not None and spec.connect_s >= total_s:
        _of(fields, CONNECT, "`total` ends the whole exchange before; make it shorter than `total`", report)
    if total_s is not None and spec.timeout_s >= total_s:
        _of(fields, TIMEOUT, "`total` ends the exchange before; make it shorter than `total`", report)
    if not fields.has(MAX_IN_FLIGHT):
        _of(fields, QUEUE_KEY, "nobody waits, for `max_in_flight` isn't set; set it, or leave this out", report)
    queue, care, breaker = fields[QUEUE_KEY], fields[ENDPOINTS_KEY], fields[BREAKER_KEY]
    if queue is not None and spec.queue.most == 0:
        for key in (QUEUE_WAIT, QUEUE_MOST_OF_ACCOUNT):
            _of(queue, key, "nobody waits, for `most` is off; leave this out, or let somebody wait", report)
    elif queue is not None and spec.queue.most_of_account > spec.queue.most:
        _of(queue, QUEUE_MOST_OF_ACCOUNT, f"no more than {spec.queue.most} may wait in all ({QUEUE_MOST.name})", report)
    if isinstance(breaker, Fields):
        _of_longest(breaker, OPEN, OPEN_LONGEST, spec.breaker.first_s > spec.breaker.longest_s, report)
    if care is not None:
        _of_longest(care, LEFT_OUT, LEFT_OUT_LONGEST, spec.care.first_s > spec.care.longest_s, report)
        if not fields.has(HEALTH):
            for key in _PROBES:
                _of(care, key, "nobody probes, for `health` isn't set; name the path to ask for", report)
    if len(set(spec.urls)) == 1 and not names_of(spec.urls):
        alone = "there is one endpoint, and no other to ask; name another, or leave this out"
        _of(fields, RETRIES_KEY, alone, report)
        if care is not None:
            _of(care, FAULTS, alone, report)
            _of(care, SLOW_START, alone, report)


def tell_of_names(fields: Fields, backends: Iterable[BackendDraft], report: Report) -> None:
    """`dns:` where nothing is looked up."""
    urls = [url for backend in backends for url in backend.spec.urls]
    if urls and not names_of(urls):
        _of(fields, DNS_KEY, "no url of a backend has a name that is looked up; leave this out", report)


def tell_of_visitors(fields: Fields, identity: Identity, report: Report) -> None:
    """How long visitors are known, where they aren't."""
    if identity.visitors_s is None:
        _of(fields, VISITOR_DAYS, "visitors aren't known; write `visitors: cookie` beside it, or leave it out", report)


def tell_of_patience(
    fields: Fields, timeout: Key[dict[Backend, float]], total: Key[dict[Backend, float]], report: Report
) -> None:
    """A `timeout` of an area or route that the `total` beside it ends before."""
    timeouts, totals = fields[timeout] or {}, fields[total] or {}
    if timeouts and all(timeouts[backend] >= totals.get(backend, math.inf) for backend in timeouts):
        _of(fields, timeout, "`total` ends the exchange before; make it shorter than `total`", report)


def tell_of_area(fields: Fields, record: Area, routes: Iterable[RouteDraft], report: Report) -> None:
    """What one area says in vain."""
    fixed = {route.record.to for route in routes}
    if record.fallback is Fallback.SAFE and fixed == {Backend.LEGACY}:
        _of(fields, FALLBACK, "every route is `to: legacy`, and nothing can fall back to it; leave this out", report)
    if record.retired:
        _of(fields, PIN, "the area is retired: new answers always; leave this out", report)
    elif fixed and None not in fixed:
        _of(fields, PIN, "every route is fixed by `to:`, and a pin holds against a share alone; leave this out", report)


def tell_of_pin(area: AreaDraft, mark: Marked, flag: Flag | None, identity: Identity, report: Report) -> None:
    """A pin that nobody can ever get, as far as more than one file tells."""
    if area.record.retired or all(route.record.to is not None for route in area.routes):
        return  # told with its area
    why = None
    if not identity.account and identity.visitors_s is None:
        why = "nobody has a place on a ramp; name a source in identity.account, or write `identity.visitors: cookie`"
    elif flag is not None and not any(shares is None or shares for c in flag.clauses for shares in shares_of(c.then)):
        why = f"the flag {flag.key} gives nobody a share by percentage, and a pin holds against that alone; leave it out, or add a fractional"
    if why is not None:
        _tell(mark, f"{area.where}.{PIN.name}", why, report)


def _of_longest(fields: Fields, first: Key[float], longest: Key[float], too_short: bool, report: Report) -> None:  # noqa: FBT001
    if too_short:  # told of the first alone: a `longest` below its default holds, as it says
        why = f"`{longest.name}` is shorter, and holds from the first time on; make this the shorter one"
        _of(fields, first, why, report)


def _of(fields: Fields, key: Key[Any], why: str, report: Report) -> None:
    """Tell of a key, if it was written, and rightly."""
    if fields[key] is not None:
        _tell(fields.node(key), fields.at(key), why, report)


def _tell(mark: Marked, where: str, why: str, report: Report) -> None:
    report.tell("no-effect", mark, where, f"this changes nothing: {why}")
