"""Puts the sample into a wheel; in a checkout `strangler demo` finds it at the top."""

from __future__ import annotations

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_SAMPLE = ("routes.yaml", "accounts.csv", "flags", "segments")


class SampleHook(BuildHookInterface[Any]):
    """Not plain `force-include`: that would leave a stale copy beside an editable installation."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the sample to a wheel that stands alone."""
        if version == "standard":
            build_data["force_include"].update({part: f"proxy/cli/demo/sample_files/{part}" for part in _SAMPLE})
