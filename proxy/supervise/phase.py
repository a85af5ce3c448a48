"""The life of a process group, as its supervisor lives it. Standard library only."""

from __future__ import annotations

import enum


class Phase(enum.Enum):
    """Where in its life the process group stands."""

    STARTING = "waiting for control's first plan"
    SERVING = "workers carry traffic"
    LEAVING = "workers carry traffic, and the balancer is told to send no more"
    DRAINING = "workers end what they began"
    CLOSING = "control ends"
    ENDED = "nobody is left"
