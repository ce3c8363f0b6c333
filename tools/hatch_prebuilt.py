"""Puts kernels that ``tools/wheels.py`` built into the wheel, and says for what the wheel is."""

from __future__ import annotations

import os
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class PrebuiltKernels(BuildHookInterface):
    """Idle unless ``TENSORLITE_PREBUILT`` names a folder, and ``TENSORLITE_TAG`` a tag."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the folder as ``tensorlite/prebuilt``."""
        folder = os.environ.get("TENSORLITE_PREBUILT")
        if folder and version == "standard":
            build_data["force_include"][folder] = "tensorlite/prebuilt"
            build_data["pure_python"] = False
            build_data["tag"] = os.environ["TENSORLITE_TAG"]
