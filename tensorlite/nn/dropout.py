"""Dropout of elements and of whole channels."""

from __future__ import annotations

from tensorlite.nn import functional as F
from tensorlite.nn.arguments import in_place
from tensorlite.nn.module import Module
from tensorlite.tensor import Tensor


class _Dropout(Module):
    """What all share: a probability, and whether the input is overwritten."""

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(
                f"dropout probability has to be between 0 and 1, but got {p}: p = {p} is no "
                "probability"
            )
        self.p = p
        self.inplace = inplace

    def extra_repr(self) -> str:
        """The options."""
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropout):
    """In training: zeroes each element with probability `p` and divides the others by 1 − p [1]_.

    Input of any shape; the output has the same. In evaluation it is the input itself.

    Parameters
    ----------
    p : float
        Probability of zero, in [0, 1].
    inplace : bool
        Whether to overwrite the input.

    Raises
    ------
    ValueError
        If `p` is not in [0, 1].

    References
    ----------
    .. [1] Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov, "Dropout: a simple way to
       prevent neural networks from overfitting", JMLR 15, 2014.

    Examples
    --------
    >>> nn.Dropout(0.5).eval()(tl.tensor([1.0, 2.0]))
    tensor([1., 2.])
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return a Tensor of the shape of `input`."""
        return F.dropout(input, self.p, self.training, **in_place(self))


class Dropout1d(_Dropout):
    """As `Dropout`, but whole channels of (N, C, L) or (C, L) at once.

    Parameters
    ----------
    p : float
        Probability of zero, in [0, 1].
    inplace : bool
        Whether to overwrite the input.

    Raises
    ------
    ValueError
        If `p` is not in [0, 1].

    Examples
    --------
    >>> dropped = nn.Dropout1d(0.5)(tl.ones(4, 8, 3))
    >>> dropped.shape, dropped.unique().tolist()
    ((4, 8, 3), [0.0, 2.0])
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return a Tensor of the shape of `input`."""
        return F.dropout1d(input, self.p, self.training, **in_place(self))


class Dropout2d(_Dropout):
    """As `Dropout`, but whole channels of (N, C, H, W) at once.

    Parameters
    ----------
    p : float
        Probability of zero, in [0, 1].
    inplace : bool
        Whether to overwrite the input.

    Raises
    ------
    ValueError
        If `p` is not in [0, 1].

    Examples
    --------
    >>> dropped = nn.Dropout2d(0.5)(tl.ones(4, 8, 3, 3))
    >>> dropped.shape, dropped.unique().tolist()
    ((4, 8, 3, 3), [0.0, 2.0])
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return a Tensor of the shape of `input`."""
        return F.dropout2d(input, self.p, self.training, **in_place(self))


class Dropout3d(_Dropout):
    """As `Dropout`, but whole channels of (N, C, D, H, W) at once.

    Parameters
    ----------
    p : float
        Probability of zero, in [0, 1].
    inplace : bool
        Whether to overwrite the input.

    Raises
    ------
    ValueError
        If `p` is not in [0, 1].

    Examples
    --------
    >>> dropped = nn.Dropout3d(0.5)(tl.ones(4, 8, 3, 3, 3))
    >>> dropped.shape, dropped.unique().tolist()
    ((4, 8, 3, 3, 3), [0.0, 2.0])
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return a Tensor of the shape of `input`."""
        return F.dropout3d(input, self.p, self.training, **in_place(self))


class AlphaDropout(_Dropout):
    """Dropout that keeps mean 0 and variance 1 of what `SELU` returns [1]_.

    Input of any shape and a float dtype; the output has the same.

    Parameters
    ----------
    p : float
        Probability of dropping an element, in [0, 1].
    inplace : bool
        Whether to overwrite the input.

    Raises
    ------
    ValueError
        If `p` is not in [0, 1].

    References
    ----------
    .. [1] Klambauer, Unterthiner, Mayr and Hochreiter, "Self-normalizing neural networks",
       NeurIPS 2017.

    Examples
    --------
    >>> nn.AlphaDropout(0.5).eval()(tl.tensor([1.0, 2.0]))
    tensor([1., 2.])
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return a Tensor of the shape of `input`."""
        return F.alpha_dropout(input, self.p, self.training)


class FeatureAlphaDropout(_Dropout):
    """As `AlphaDropout`, but whole channels at once.

    Input (N, C, …); the output has the same shape.

    Parameters
    ----------
    p : float
        Probability of dropping a channel, in [0, 1].
    inplace : bool
        Whether to overwrite the input.

    Raises
    ------
    ValueError
        If `p` is not in [0, 1].

    Examples
    --------
    >>> nn.FeatureAlphaDropout(0.5).eval()(tl.ones(1, 2)).shape
    (1, 2)
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return a Tensor of the shape of `input`."""
        return F.feature_alpha_dropout(input, self.p, self.training)
