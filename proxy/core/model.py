"""The words of this project, and the closed sets they form.

One word, one meaning; the same words stand in code, YAML, metrics, docs and commits.

=============  ==========================================================  =======================
Word           Means                                                       Not
=============  ==========================================================  =======================
backend        one of the two systems: legacy, new; has endpoints (URLs)   upstream, cluster, side
endpoint       one URL of a backend                                        server, node, peer
area           a business capability that moves as one                     module, feature
route          what belongs to an area: host, path, method, header         rule
account        the customer company; the sticky key, always text           user, tenant, session
segment        a named set of accounts, or a condition                     cohort, group
region         where the request belongs                                   zone, geo
register       the file of known accounts with their attributes            database, directory
source         one place where an account or region may stand              extractor, resolver
grade          how far a source is believed: verified or claimed           trust level
flag           a flagd flag whose variants are new and legacy              toggle, switch
clause         one step of a flag: predicate, outcome, place               rule, branch
share          how much of an area goes to new, in basis points            weight
bucket         an account's fixed place on a flag's ramp                   hash value
pin            "stay where you began": signed, time-limited                affinity
latch          the set of rollbacks in force                               kill switch
rollback       everything, an area, a segment, a region goes to legacy     abort
release        ends a rollback: named, with a reason                       resume
freeze         unsafe methods of an area answer 503 for a bounded time     maintenance
drill          a fault or a rollback on purpose, for a bounded time       chaos, game day
plan           the compiled, canonical, content-addressed configuration    snapshot
record         one line of a plan                                          row, entry
table          a mapped, read-only file that finds an account's line       index, set
generation     a plan as a worker runs it; a request lives in exactly one  config
complaint      one problem found in a file: place, cause, remedy           warning object, issue
place          file:line:column where a thing is written                   location, position
journal        the append-only record of who changed what, why and when    audit log, history
event          one thing that was done, as the journal holds it             log entry
exchange       one request and its answer, from first byte to last         transaction, context
tunnel         a WebSocket after its 101: bytes both ways                  stream, pipe
fault          what broke an exchange: party and stage                     error code
worker         a process that carries traffic                              child, instance
control        the process that turns files into plans and sums telemetry  master, manager
page           memory shared between processes, one writer each            segment, block
=============  ==========================================================  =======================
"""

from __future__ import annotations

from enum import StrEnum, unique

BUCKETING = 1
"""The version of the frozen bucketing scheme (`proxy.core.targeting.bucketing`)."""

SHARE_TOTAL_BP = 10_000
"""Basis points in a whole: a share runs from 0 to this."""


@unique
class Backend(StrEnum):
    """One of the two systems that may answer."""

    LEGACY = "legacy"
    NEW = "new"


@unique
class Reason(StrEnum):
    """Why a request goes where it goes; one member for each way a decision can end."""

    RETIRED = "retired"  # the area no longer exists on legacy
    ROLLED_BACK = "rolled_back"  # an entry of the latch covers the request
    FIXED = "fixed"  # the route says `to:`
    OTHERWISE = "otherwise"  # no route matched
    CLAUSE = "clause"  # a clause of the flag named a variant
    SHARE = "share"  # the clause was a percentage, and the bucket decided
    PINNED = "pinned"  # so it was, but the client began at the other system and stays there
    DEFAULT = "default"  # no clause answered: the flag's defaultVariant
    DISABLED = "disabled"  # the flag is switched off: legacy
    NO_FLAG = "no_flag"  # the area's implied flag does not exist: legacy
    NO_DEFAULT = "no_default"  # a default was needed and the flag has none: legacy
    FLAG_ERROR = "flag_error"  # the flag failed or named no known variant: legacy
    FALLBACK = "fallback"  # new can't be reached at all, and the area lets legacy answer safe reads
    IDENTITY_INVALID = "identity_invalid"  # an identity was claimed that cannot be read: legacy


@unique
class Standing(StrEnum):
    """What is known of who asks. Absence is not an error; an unreadable claim is."""

    KNOWN = "known"
    ABSENT = "absent"
    INVALID = "invalid"


@unique
class Grade(StrEnum):
    """How far an identity is believed. Only a verified one is ever told to a backend."""

    VERIFIED = "verified"
    CLAIMED = "claimed"


@unique
class Fallback(StrEnum):
    """Whether legacy may answer a safe read when new can't be reached at all."""

    NEVER = "never"
    SAFE = "safe"


@unique
class Status(StrEnum):
    """An area's status: derived from the plan and the latch, never stored."""

    RETIRED = "retired"
    LIVE = "live"
    LIVE_FOR_ACCOUNTS = "live for accounts"
    CANARY = "canary"
    CUSTOM = "custom"
    SHADOW = "shadow"
    LEGACY = "legacy"
    ROLLED_BACK = "rolled back"
