"""What shared caches are told (`cache:`), and the warning where nobody has said yet what they shall be told."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

import msgspec

if TYPE_CHECKING:
    from proxy.config.problems import Report
    from proxy.config.routes.drafts import AreaDraft
    from proxy.core.plan import Area, Flag, Identity, SharedCache


def cached_as(area: AreaDraft, otherwise: str | None) -> Area:
    """The area's record; `otherwise` is what the main file says."""
    told = area.cache or otherwise
    cache = cast("SharedCache | None", None if told == "off" else told)
    return msgspec.structs.replace(area.record, cache=cache)


def decided_by(identity: Identity, areas: Iterable[AreaDraft]) -> tuple[str, ...]:
    """The names of the fields that requests are decided by; a path or host stands in what caches go by anyway."""
    names: set[str] = set()
    for source in (*identity.account, *identity.region):
        if source.source == "header":
            names.add(source.name.title())
        elif source.source == "cookie":
            names.add("Cookie")
    if identity.visitors_s is not None or any(area.record.pin_s is not None for area in areas):
        names.add("Cookie")
    for route in (route.record for area in areas for route in area.routes):
        names |= {name.title() for name in route.headers or ()}
        if route.cookies:
            names.add("Cookie")
    return tuple(sorted(names))


def warn_of_caches(undecided: list[AreaDraft], report: Report) -> None:
    """Tell once, for all areas whose answers depend on the account and that nobody has said `cache:` of."""
    if undecided:
        names = ", ".join(area.record.name for area in undecided)
        told = (
            f"answers of {names} depend on the account, and a shared cache in front (a CDN) would give one account's to "
            "another; write `cache: private` (or `vary`), or `cache: off` if there is none"
        )
        report.tell("shared-cache", undecided[0].mark, undecided[0].where, told)


def by_account(area: AreaDraft, flag: Flag | None, identity: Identity) -> bool:
    """Whether different accounts may be answered by different systems, as things stand."""
    if area.record.retired or not (identity.account or identity.region or identity.visitors_s):
        return False
    routes = [route.record for route in area.routes]
    if any(route.account or route.segment or route.region for route in routes):
        return True
    if flag is None or not flag.enabled or all(route.to is not None for route in routes):
        return False
    return any(clause.when is not None or _divides(clause.then) for clause in flag.clauses)


def _divides(then: Any) -> bool:
    """Whether an outcome isn't the same for everybody: a share that isn't all or nothing, or something written by hand."""
    if not isinstance(then, dict):
        return False
    shares = then.get("fractional")
    if not isinstance(shares, list):
        return True
    weights = [share[1] for share in shares if isinstance(share, list) and len(share) > 1]
    return len(weights) < len(shares) or sum(weight != 0 for weight in weights) > 1
