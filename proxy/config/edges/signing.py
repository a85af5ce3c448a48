"""Our own cookies: the keys that they are signed with, and who may have them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from proxy.config.kinds import Key, ListOf, OneOf, Shape, Text
from proxy.config.problems import quoted
from proxy.config.quantities import Duration, Whole
from proxy.config.text.fileset import ENVIRONMENT, normal_name
from proxy.core.deciding.signed import SigningKey, derive

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.config.kinds import Fields
    from proxy.config.problems import Marked, Report
    from proxy.config.routes.drafts import Mentioned
    from proxy.config.text.fileset import FileSet

FILE: Final = "file:"
LEAST_KEY_BYTES: Final = 32
"""As much as the key that is made of it has (RFC 7518 §3.2 asks the same of HS256)."""

_LEAST_DIFFERENT: Final = 5  # of bytes; Django warns of a SECRET_KEY with fewer (security.W009)
_DAY_S: Final = 86_400
_VISITOR_DAYS: Final = 180  # Optimizely's id of visitors: six months
_MOST_DAYS: Final = 400  # browsers keep no cookie longer (RFC 6265bis §5.5)

VISITORS = Key(
    name="visitors",
    kind=OneOf(("off", "cookie")),
    default="`off`",
    meaning="Whether who has no account gets a signed id, which stands in for the account where a share is decided.",
)
VISITOR_DAYS = Key(
    name="visitor_days",
    kind=Whole(1, _MOST_DAYS),
    default=f"`{_VISITOR_DAYS}`",
    meaning="How many days an id is good for; a visit in their second half begins them anew. Browsers keep cookies for 400 at most.",
)
PIN = Key(
    name="pin",
    kind=Duration(),
    default="no pins",
    meaning="How long a client whom a share sent to one system stays there, whatever becomes of the share but 0 % and 100 %.",
)
SIGNING_KEYS = Key(
    name="keys",
    kind=ListOf(Text("`file:PATH` or `env:NAME`", pattern="^(file|env):")),
    required=True,
    meaning="Secrets of 32 bytes or more, the same on every node. The first signs, all verify.",
)
SIGNING: Final = Shape("signing", (SIGNING_KEYS,))
SIGNING_KEY = Key(
    name="signing",
    kind=SIGNING,
    default="nothing is signed",
    meaning="What our own cookies are signed with: those of `visitors` and `pin`.",
)


def draft_visitors(fields: Fields) -> int | None:
    """How long visitors are known again, in seconds; None: they aren't."""
    if fields[VISITORS] != "cookie":
        return None
    return _DAY_S * fields.get(VISITOR_DAYS, _VISITOR_DAYS)


def tell_unsigned(mark: Marked, where: str, what: str, report: Report) -> None:
    """Tell that there is no key for what is asked for."""
    told = f'there is no key to sign {what} with; write `signing: {{keys: ["file:secrets/cookies"]}}`'
    report.tell("no-signing-key", mark, where, told)


def read_keys(mentions: Iterable[Mentioned], files: FileSet, report: Report) -> tuple[SigningKey, ...]:
    """The keys, read from where they are; no secret is ever part of a complaint."""
    found: dict[str, SigningKey] = {}
    for mention in mentions:
        secret = _secret(mention, files, report)
        if secret is None:
            continue
        key = derive(secret)
        if key.id in found:
            report.tell(
                "twice", mention.mark, mention.where, f"{quoted(mention.name)} is the key that stands before it"
            )
        found[key.id] = key
    return tuple(found.values())


def _secret(mention: Mentioned, files: FileSet, report: Report) -> bytes | None:
    text = mention.name
    if text.startswith(ENVIRONMENT):
        name = ENVIRONMENT + text.removeprefix(ENVIRONMENT).strip()
        if name not in files.files:
            variable = name.removeprefix(ENVIRONMENT)
            told = f"the environment variable {variable} isn't set where the proxy was started"
            report.tell("missing-env", mention.mark, mention.where, told)
            return None
    elif text.startswith(FILE):
        name = normal_name(text.removeprefix(FILE).strip())
        if name not in files.files:
            told = f"there is no file {quoted(name)}; paths are relative to {files.routes}"
            report.tell("missing-file", mention.mark, mention.where, told, others=(name,))
            return None
    else:
        told = "a key stands in a file or in the environment, never here: write file:PATH or env:NAME"
        report.tell("bad-signing-key", mention.mark, mention.where, told)
        return None
    file = files.files[name]
    others = () if name.startswith(ENVIRONMENT) else (name,)
    if file.trouble is not None:
        told = f"{quoted(name)} can't be read: {file.trouble}"
        report.tell("unreadable-file", mention.mark, mention.where, told, others=others)
        return None
    secret = file.content.strip()
    if len(secret) < LEAST_KEY_BYTES or len(set(secret)) < _LEAST_DIFFERENT:
        told = (
            f"the key in {quoted(text)} can be guessed: {LEAST_KEY_BYTES} bytes at least, drawn at random, "
            "such as by `openssl rand -hex 32`"
        )
        report.tell("bad-signing-key", mention.mark, mention.where, told, others=others)
        return None
    return secret
