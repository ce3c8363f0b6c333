"""Dropout."""

from __future__ import annotations

from tensorlite.nn import functional as F
from tensorlite.nn.module import Module
from tensorlite.tensor import Tensor


class Dropout(Module):
    """In training: zeroes each element with probability `p` and divides the others by 1 − p [1]_.

    Parameters
    ----------
    p : float
        Probability of zero, in [0, 1].

    References
    ----------
    .. [1] Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov, "Dropout: a simple way to
       prevent neural networks from overfitting", JMLR 15, 2014.
    """

    def __init__(self, p: float = 0.5) -> None:
        if not 0 <= p <= 1:
            raise ValueError(f"Dropout: p = {p} is no probability")
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Return an array of the shape of `x`."""
        return F.dropout(x, self.p, self.training)
