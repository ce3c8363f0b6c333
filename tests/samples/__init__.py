"""Sample inputs of every primitive: one module a family, each with a list ``SAMPLES``."""

from __future__ import annotations

import importlib
import pkgutil

from samples.base import Sample

SAMPLES: list[Sample] = [
    sample
    for module in pkgutil.iter_modules(__path__)
    if module.name != "base"
    for sample in importlib.import_module(f"samples.{module.name}").SAMPLES
]
