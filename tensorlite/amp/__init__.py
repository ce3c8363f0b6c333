"""Mixed precision: `autocast` chooses a dtype for each operation, `GradScaler` keeps float16 alive.

bfloat16 has float32's range and needs no scaling; float16 gradients underflow without it.
Micikevicius et al., "Mixed precision training", ICLR 2018.
"""

from tensorlite.amp.autocast_mode import autocast, get_autocast_dtype, is_autocast_enabled
from tensorlite.amp.grad_scaler import GradScaler
from tensorlite.unknown import answers_for

__all__ = ["GradScaler", "autocast", "get_autocast_dtype", "is_autocast_enabled"]

__getattr__ = answers_for(__name__)
