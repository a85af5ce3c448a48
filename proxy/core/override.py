"""`@override` for every Python we run on: `typing` has it from 3.12, and it isn't worth a dependency at run time."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import override
else:

    def override(method):  # noqa: ANN001, ANN201  the types stand above
        """Say that a method replaces one of a base class."""
        return method


__all__ = ["override"]
