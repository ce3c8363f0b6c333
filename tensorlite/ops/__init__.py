"""Operations: each a primitive with its gradient rule, or written with such."""
# ruff: noqa: F403

from tensorlite.ops import (
    activation,
    arithmetic,
    compare,
    creation,
    decompositions,
    einsum,
    elementwise,
    index,
    linalg,
    order,
    random,
    reduce,
    scan,
    shape,
    softmax,
)

_FAMILIES = (
    *(creation, random, elementwise, arithmetic, compare, reduce, scan, order, shape, index),
    *(linalg, einsum, decompositions, activation, softmax),
)

__all__ = [name for family in _FAMILIES for name in family.__all__]

# The stars come last: some functions have their module's name.
from tensorlite.ops.activation import *
from tensorlite.ops.arithmetic import *
from tensorlite.ops.compare import *
from tensorlite.ops.creation import *
from tensorlite.ops.decompositions import *
from tensorlite.ops.einsum import *
from tensorlite.ops.elementwise import *
from tensorlite.ops.index import *
from tensorlite.ops.linalg import *
from tensorlite.ops.order import *
from tensorlite.ops.random import *
from tensorlite.ops.reduce import *
from tensorlite.ops.scan import *
from tensorlite.ops.shape import *
from tensorlite.ops.softmax import *
