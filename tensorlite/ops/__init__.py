"""Operations: each a primitive with its gradient rule, or written with such."""
# ruff: noqa: F403

from tensorlite.ops import (
    arithmetic,
    compare,
    creation,
    elementwise,
    index,
    linalg,
    random,
    reduce,
    shape,
)
from tensorlite.ops.arithmetic import *
from tensorlite.ops.compare import *
from tensorlite.ops.creation import *
from tensorlite.ops.elementwise import *
from tensorlite.ops.index import *
from tensorlite.ops.linalg import *
from tensorlite.ops.random import *
from tensorlite.ops.reduce import *
from tensorlite.ops.shape import *

_FAMILIES = (arithmetic, compare, creation, elementwise, index, linalg, random, reduce, shape)

__all__ = [name for family in _FAMILIES for name in family.__all__]
