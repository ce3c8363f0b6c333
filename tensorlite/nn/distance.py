"""Similarities and distances of vectors."""

from __future__ import annotations

from tensorlite.nn import functional as F
from tensorlite.nn.module import Module
from tensorlite.tensor import Tensor


class CosineSimilarity(Module):
    """Cosine of the angles between vectors along the axis `dim`.

    Inputs of shapes that broadcast.

    Parameters
    ----------
    dim : int
        The axis of the vectors, which the output lacks.
    eps : float
        The least that a product of norms counts.

    Examples
    --------
    >>> nn.CosineSimilarity()(tl.tensor([[1.0, 0.0]]), tl.tensor([[1.0, 1.0]]))
    tensor([0.70710677])
    """

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        super().__init__()
        self.dim = dim
        self.eps = eps

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        """Return a Tensor of the shape of both without that axis."""
        return F.cosine_similarity(x1, x2, self.dim, self.eps)


class PairwiseDistance(Module):
    """The p-norm of x1 − x2 + eps along the last axis.

    Inputs (N, D) or (D,), output (N,) or ().

    Parameters
    ----------
    p : float
        Which norm.
    eps : float
        Added to each difference.
    keepdim : bool
        Whether the last axis stays, with length 1.

    Examples
    --------
    >>> nn.PairwiseDistance()(tl.tensor([[3.0, 4.0]]), tl.zeros(1, 2))
    tensor([5.0000014])
    """

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> None:
        super().__init__()
        self.norm = p
        self.eps = eps
        self.keepdim = keepdim

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        """Return a Tensor of the shape of both without the last axis."""
        return F.pairwise_distance(x1, x2, self.norm, self.eps, self.keepdim)
