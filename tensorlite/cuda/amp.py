"""Mixed precision under the names that torch had for CUDA alone; see `tensorlite.amp`."""

from __future__ import annotations

from typing import Any

from tensorlite import amp
from tensorlite.unknown import answers_for


class autocast(amp.autocast):
    """`tensorlite.amp.autocast` on CUDA."""

    def __init__(
        self, enabled: bool = True, dtype: Any = "float16", cache_enabled: bool = True
    ) -> None:
        super().__init__("cuda", dtype, enabled, cache_enabled)


class GradScaler(amp.GradScaler):
    """`tensorlite.amp.GradScaler` on CUDA."""

    def __init__(
        self,
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        super().__init__(
            "cuda", init_scale, growth_factor, backoff_factor, growth_interval, enabled
        )


__getattr__ = answers_for(__name__)
