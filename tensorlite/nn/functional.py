"""Operations of neural networks as functions, under torch's names.

``from tensorlite.nn import functional as F``.
"""
# ruff: noqa: F401, F403

from tensorlite.nn.activations import *
from tensorlite.nn.multihead import *
from tensorlite.ops import complete as _complete
from tensorlite.ops.activation import __all__ as _smooth
from tensorlite.ops.adaptive_pooling import *
from tensorlite.ops.attention import *
from tensorlite.ops.bags import *
from tensorlite.ops.bilinear import *
from tensorlite.ops.channel_norm import *
from tensorlite.ops.compiled import attention, convolution, recurrent
from tensorlite.ops.conv import *
from tensorlite.ops.distance import *
from tensorlite.ops.dropout import *
from tensorlite.ops.embedding import *
from tensorlite.ops.faces import name_as_torch, name_wrong_types
from tensorlite.ops.gathering import one_hot
from tensorlite.ops.grid import *
from tensorlite.ops.gumbel import *
from tensorlite.ops.interpolate import *
from tensorlite.ops.linear import *
from tensorlite.ops.losses import *
from tensorlite.ops.padding import pad
from tensorlite.ops.patches import *
from tensorlite.ops.pooling import *
from tensorlite.ops.rectifiers import __all__ as _straight
from tensorlite.ops.recurrent import *
from tensorlite.ops.response_norm import *
from tensorlite.ops.row_norm import *
from tensorlite.ops.shuffle import *
from tensorlite.ops.trigonometry import tanh
from tensorlite.unknown import answers_for as _answers_for

for _name in (*_smooth, *_straight):
    _complete(_name)
name_as_torch(list(globals().values()))
name_wrong_types(globals())

__getattr__ = _answers_for(__name__)
