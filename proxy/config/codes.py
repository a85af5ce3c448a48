"""Every problem the loader can tell, by its stable code. docs/errors.md shows each with the file that provokes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Code:
    """What a code stands for; `warns`: a plan is made in spite of it."""

    meaning: str
    warns: bool = False


CODES: Final[dict[str, Code]] = {
    # -- any file
    "missing-file": Code("a file that is named isn't there"),
    "unreadable-file": Code("a file that is named can't be read"),
    "not-utf8": Code("a file isn't UTF-8"),
    "no-match": Code("an include pattern matches no file", warns=True),
    "file-gone": Code("an included file was deleted, and its areas went with it", warns=True),
    # -- YAML and JSON
    "bad-yaml": Code("the file isn't YAML"),
    "bad-json": Code("the file isn't JSON"),
    "several-documents": Code("more than one YAML document in a file"),
    "yaml-tag": Code("a YAML tag"),
    "too-deep": Code("nesting deeper than 100 levels"),
    "too-many-aliases": Code("aliases that repeat more than 100 000 values"),
    "duplicate-key": Code("a key stands twice in a mapping"),
    "bad-key": Code("a key that isn't text"),
    # -- the shape of routes.yaml and flag files
    "unknown-key": Code("a key that nobody knows"),
    "missing-key": Code("a required key is missing"),
    "not-yet": Code("a key or value whose behaviour is not built yet"),
    "not-here": Code("a key that stands in another place"),
    "wrong-kind": Code("a value of another kind than the key takes"),
    "empty": Code("a list or mapping that needs an entry has none"),
    "unknown-value": Code("a value outside the closed set that the key takes"),
    "bad-version": Code("a version of the format that this proxy doesn't know"),
    "bad-number": Code("a number outside its range"),
    "bad-duration": Code("a duration that can't be read"),
    "bad-percent": Code("a percentage that can't be read"),
    "bad-rate": Code("a rate that can't be read, or is out of range"),
    "bad-size": Code("a size that can't be read, or is out of range"),
    "bad-name": Code("a name with characters that names don't have"),
    "twice": Code("the same value stands twice in a list"),
    # -- routes.yaml: backends and identity
    "bad-url": Code("a URL that is none, or has more than scheme, host and port"),
    "bad-via": Code("a name for `Via` that is none"),
    "bad-header": Code("a header name that is none"),
    "reserved-header": Code("a header that the proxy itself is responsible for"),
    "bad-header-value": Code("a header value with characters that would end the line"),
    "bad-cookie": Code("a cookie name that is none"),
    "shared-cookie": Code("a cookie that is said to belong to both systems"),
    "no-signing-key": Code("cookies of ours are asked for, and there is no key to sign them with"),
    "bad-signing-key": Code("a signing key that can be guessed, or stands in routes.yaml itself"),
    "missing-env": Code("an environment variable that is named isn't set"),
    "missing-extra": Code("something is asked for that an optional part of the installation brings"),
    "bad-dns-server": Code("an address of a DNS server that can't be read"),
    "bad-network": Code("an address range that can't be read"),
    "trusts-everyone": Code("an address range that covers every address", warns=True),
    "bad-source": Code("an identity source that can't be read"),
    "untrusted-header": Code("a header source while nobody is trusted to set it"),
    "no-register": Code("an attribute is asked for, and there is no register"),
    "unknown-attribute": Code("an attribute that the register doesn't have"),
    # -- routes.yaml: TLS and error pages
    "bad-certificate": Code("a file of certificates that can't be read, or isn't in order"),
    "bad-private-key": Code("a private key that can't be read"),
    "wrong-private-key": Code("a private key that doesn't belong to its certificate"),
    "refused-certificate": Code("a certificate with its key that OpenSSL refuses"),
    "certificate-expired": Code("a certificate that is no longer valid", warns=True),
    "certificate-expires": Code("a certificate that is valid for 14 days at most", warns=True),
    "unverified-backend": Code("a backend whose certificate isn't verified", warns=True),
    "unused-tls": Code("TLS settings of a backend that isn't asked over TLS", warns=True),
    "bad-status": Code("a status that is no error's"),
    "bad-page": Code("an error page that can't be shown"),
    # -- account lists and the register
    "bad-account": Code("a line that is no account"),
    "empty-list": Code("an account list without accounts", warns=True),
    "bad-register": Code("a register whose first line isn't the names of its columns"),
    "bad-row": Code("a row of the register with too few or too many fields"),
    "duplicate-account": Code("an account stands twice in the register"),
    # -- segments, areas, routes
    "duplicate-segment": Code("a segment is defined twice, in any files"),
    "segment-cycle": Code("segments that are made of each other"),
    "unknown-segment": Code("a segment that nobody defines"),
    "never-known": Code("a condition on an account or region that no identity source gives", warns=True),
    "duplicate-area": Code("an area is defined twice, in any files"),
    "duplicate-route": Code("two routes of an area have the same id"),
    "retired-fallback": Code("a retired area is to fall back to legacy"),
    "retired-legacy": Code("a route of a retired area is fixed to legacy"),
    "retired-under-rollback": Code("a reload that would retire an area under a rollback"),
    "shared-cache": Code("answers that depend on the account, and nothing said to shared caches in front", warns=True),
    "no-effect": Code("a setting that changes nothing where it stands", warns=True),
    "bad-path": Code("a path pattern that can't be read"),
    "bad-regex": Code("an expression that RE2 refuses"),
    "bad-host": Code("a host that is none"),
    "bad-method": Code("a method that is none, or never arrives"),
    "bad-rewrite": Code("a rewrite that can't be read, or names what the path doesn't capture"),
    "unreachable-route": Code("a route that can never be reached"),
    # -- flags
    "stray-file": Code("YAML or JSON in the flags directory that isn't named as a flag file", warns=True),
    "duplicate-flag": Code("a flag is defined twice, in any files"),
    "unknown-flag": Code("a written `flag:` that nobody defines"),
    "no-flag": Code("an area without a flag: legacy answers", warns=True),
    "no-flags": Code("areas ask flags, and there is no flag file at all", warns=True),
    "unused-flag": Code("a flag that no area uses", warns=True),
    "flag-gone": Code("a flag vanished that an area still asks: legacy answers", warns=True),
    "now-by-hand": Code("an edit after which commands no longer edit a flag", warns=True),
    "flags-vanished": Code("a reload after which no flag would be left"),
    "flag-shape": Code("a flag file that the flagd schema refuses"),
    "bad-variant": Code("a variant whose value names no backend"),
    "unknown-variant": Code("an outcome that is no variant of the flag"),
    "costly-flag": Code("a flag that would hold up the traffic of everybody"),
    "unknown-operator": Code("an operator that nobody knows"),
    "not-an-operation": Code("a mapping in targeting that is no operation"),
    "bad-arguments": Code("an operator with too few or too many arguments"),
    "bad-share": Code("a share of a fractional that can't be read"),
    "bad-total": Code("shares of a fractional that add up to nothing, or to too much"),
    "odd-total": Code("shares that add up to neither 100 nor 10 000: the numbers aren't percentages", warns=True),
    "share-for-some": Code("a share that only one segment is asked for, as when a line was lost", warns=True),
    "out-of-step": Code("an outcome in the place of a condition, or the other way round", warns=True),
    "swapped": Code("legacy stands first in a fractional: raising it moves accounts back", warns=True),
    "number-for-text": Code("a number is compared with an account or region, which are text"),
    "needs-timed": Code("a flag reads the time or computes a share without saying `timed: true`"),
    "unknown-ref": Code("a $ref to an evaluator that the file doesn't have"),
    "ref-cycle": Code("evaluators that are made of each other"),
    "ref-too-large": Code("a flag that grows beyond 10 000 values when its $refs are replaced"),
    "unknown-variable": Code("a flag asks for something that no request has", warns=True),
    "bad-date": Code("metadata.expires is no date"),
    "expired": Code("a flag has outlived its metadata.expires", warns=True),
}
