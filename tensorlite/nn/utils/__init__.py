"""Tools around modules: packed sequences, parametrizations, clipping, vectors of parameters."""

from tensorlite.nn.utils import rnn

__all__ = ["rnn"]
