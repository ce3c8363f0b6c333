"""Operations: primitives with their gradient rules, and functions written with primitives."""
# ruff: noqa: F401, F403, F405

from tensorlite.ops.activation import *
from tensorlite.ops.arithmetic import *
from tensorlite.ops.axes import *
from tensorlite.ops.bessel import *
from tensorlite.ops.binary import *
from tensorlite.ops.compare import *
from tensorlite.ops.compiled import channel_norm as _channel_norm
from tensorlite.ops.compiled import copies, products, rows, scans
from tensorlite.ops.compiled import elementwise as _elementwise
from tensorlite.ops.convert import *
from tensorlite.ops.counting import *
from tensorlite.ops.creation import *
from tensorlite.ops.described import describe
from tensorlite.ops.diagonals import *
from tensorlite.ops.differences import *
from tensorlite.ops.distance import cdist, cosine_similarity, pairwise_distance, pdist
from tensorlite.ops.einsum import *
from tensorlite.ops.elementwise import *
from tensorlite.ops.extremes import *
from tensorlite.ops.faces import name_as_torch
from tensorlite.ops.gamma import *
from tensorlite.ops.gathering import *
from tensorlite.ops.incomplete_gamma import *
from tensorlite.ops.index import *
from tensorlite.ops.joining import *
from tensorlite.ops.kinds import *
from tensorlite.ops.like import *
from tensorlite.ops.limits import *
from tensorlite.ops.linalg import *
from tensorlite.ops.matrix.older import *
from tensorlite.ops.matrix.products import *
from tensorlite.ops.norms import *
from tensorlite.ops.order import *
from tensorlite.ops.probabilities import *
from tensorlite.ops.quantiles import *
from tensorlite.ops.random import *
from tensorlite.ops.ranges import *
from tensorlite.ops.rectifiers import *
from tensorlite.ops.reduce import *
from tensorlite.ops.rounding import *
from tensorlite.ops.scan import *
from tensorlite.ops.scatter import *
from tensorlite.ops.search import *
from tensorlite.ops.shape import *
from tensorlite.ops.softmax import *
from tensorlite.ops.splitting import *
from tensorlite.ops.statistics import *
from tensorlite.ops.strides import *
from tensorlite.ops.tiling import *
from tensorlite.ops.trigonometry import *
from tensorlite.ops.typeinfo import *
from tensorlite.ops.unique import *

__all__ = [
    name
    for name, value in globals().items()
    if callable(value) and name[0] != "_" and name not in ("describe", "name_as_torch")
]
name_as_torch([globals()[name] for name in __all__])

# Modules of functions of elements, and those of their functions that are something else.
OF_ELEMENTS = (
    *(elementwise, rounding, trigonometry, arithmetic, limits, binary, compare),
    *(activation, rectifiers, gamma, bessel, incomplete_gamma, probabilities),
)
ELSE = ("allclose", "cast", "equal", "frexp", "glu", "masked_fill")
describe([globals()[n] for m in OF_ELEMENTS for n in m.__all__ if n not in ELSE])
