"""Who waits for a place at a backend: the keys of `backends.*.queue`, and what is made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from proxy.config.kinds import Key, Shape
from proxy.config.quantities import Duration, Whole
from proxy.core.care.reaching import QueueCare

if TYPE_CHECKING:
    from proxy.config.kinds import Fields

_MOST: Final = 1_000_000

QUEUE_MOST = Key(
    name="most",
    kind=Whole(1, _MOST, may_be_off=True),
    default="`1024`",
    meaning="Requests that may wait at once, per node; more are answered 503. Envoy `max_pending_requests` 1024, HAProxy `maxqueue` any number; `off` as with nginx `max_conns`.",
)
QUEUE_MOST_OF_ACCOUNT = Key(
    name="most_of_account",
    kind=Whole(1, _MOST),
    default="a quarter of `most`",
    meaning="Of them, how many of one account; without one, or where clients could make it up, of one address. Kubernetes' API server has such a line for each client, too.",
)
QUEUE_WAIT = Key(
    name="wait",
    kind=Duration(),
    default="`1s`",
    meaning="The longest wait, then 503. HAProxy `timeout queue`, as long as connecting may take; nginx 60 s.",
)
QUEUE: Final = Shape("backends.*.queue", (QUEUE_MOST, QUEUE_MOST_OF_ACCOUNT, QUEUE_WAIT))
QUEUE_KEY = Key(
    name="queue",
    kind=QUEUE,
    default="as its keys say",
    meaning="Who waits while `max_in_flight` is reached. Accounts take turns.",
)


def draft_queue(fields: Fields | None) -> QueueCare:
    """What was written, and the defaults for the rest."""
    default = QueueCare()
    if fields is None:
        return default
    return QueueCare(
        most=fields.get(QUEUE_MOST, default.most),
        most_of_account=fields.get(QUEUE_MOST_OF_ACCOUNT, default.most_of_account),
        wait_s=fields.get(QUEUE_WAIT, default.wait_s),
    )
