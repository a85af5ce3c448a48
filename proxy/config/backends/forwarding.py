"""What backends and clients are told of the way between them: `forwarding:`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from proxy.config.backends.fieldshapes import (
    BELIEVED_FROM,
    FORWARDED,
    HOPS,
    VIA,
    VIA_ANSWERS,
    X_FOR,
    X_HOST,
    X_PORT,
    X_PROTO,
)
from proxy.config.kinds import Fields, Key
from proxy.config.names import is_token
from proxy.config.problems import Report, quoted
from proxy.config.routes.identity import networks
from proxy.core.plan import Forwarding

if TYPE_CHECKING:
    from proxy.core.plan import Told

_DEFAULTS: Final = Forwarding()
_OFF: Final = "off"


def draft_forwarding(fields: Fields | None, report: Report) -> Forwarding:
    """The settings; what isn't written is as `Forwarding` has it."""
    if fields is None:
        return _DEFAULTS
    trusted = None
    if fields.has(BELIEVED_FROM):
        danger = "every client may say where it comes from"
        trusted = networks(fields.each(BELIEVED_FROM), fields.at(BELIEVED_FROM), danger, report)
    return Forwarding(
        trusted_from=trusted,
        hops=fields[HOPS],
        x_for=_told(fields, X_FOR, _DEFAULTS.x_for),
        x_proto=_told(fields, X_PROTO, _DEFAULTS.x_proto),
        x_host=_told(fields, X_HOST, _DEFAULTS.x_host),
        x_port=_told(fields, X_PORT, _DEFAULTS.x_port),
        forwarded=_told(fields, FORWARDED, _DEFAULTS.forwarded),
        via=_via(fields, report),
        via_answers=fields[VIA_ANSWERS] or False,
    )


def _told(fields: Fields, key: Key[str], default: Told) -> Told:
    return cast("Told", fields[key] or default)


def _via(fields: Fields, report: Report) -> str | None:
    scalar = fields[VIA]
    if scalar is None:
        return _DEFAULTS.via
    if scalar.text == _OFF:
        return None
    if not is_token(scalar.text):
        told = f"{quoted(scalar.text)} is no name for Via: letters, digits and - . _ (RFC 9110, section 7.6.3)"
        report.tell("bad-via", scalar, fields.at(VIA), told)
    return scalar.text
