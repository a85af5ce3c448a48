"""A generation: a plan lowered to what one worker runs, built in steps so that no loop turn is long."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proxy.core.model import Backend
    from proxy.core.plan import Area, BackendSpec, Settings

type_open_table = Callable[[str], memoryview]


class Generation:
    """What a request reads: complete, never changed after it is built, replaced by one assignment.

    Attributes:
        number: counts the swaps of a node, from 1; the same plan may come back under a new number.
        plan: the plan's name (64 hex digits).
        identity_headers: lower-case names of the headers that `header:` sources read; they are removed
            from requests whose peer isn't trusted.
    """

    number: int
    plan: str
    settings: Settings
    backends: Mapping[Backend, BackendSpec]
    areas: Mapping[str, Area]
    identity_headers: frozenset[bytes]

    def trusts(self, address: str) -> bool:
        """Whether a peer's IP address lies in `identity.trusted_from`; asked once per connection and generation."""
        raise NotImplementedError


def assemble(
    text: bytes, open_table: Callable[[str], memoryview], *, number: int, name: str
) -> Generator[None, None, Generation]:
    """Build a generation record by record; the caller decides how many steps fit in a loop turn.

    Args:
        text: a plan's canonical text.
        open_table: gives the mapped bytes of the table with a digest.
        number: the generation's number.
        name: the plan's name.

    Raises:
        msgspec.ValidationError, ValueError: the plan is damaged or of another format.
    """
    raise NotImplementedError
