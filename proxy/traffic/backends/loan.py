"""What an exchange holds of a backend."""

from __future__ import annotations

from typing import Final

# Plain numbers: looked at for every exchange, and compiled these are compared faster than members of an enum.
NOT_LENT: Final = 0  # nothing
LENT: Final = 1  # an endpoint, and a place in the backend's load
TRIAL: Final = 2  # the same, let through by a breaker to see what becomes of it
RELENT: Final = 4  # the same once more, as the connection that it went out on was stale
IN_LINE: Final = 3  # a place in the backend's queue
