"""Smooth activation functions as modules; see `tensorlite.nn.functional` for the formulas.

Those with ``inplace`` overwrite their input where it is True.
"""

from __future__ import annotations

import warnings

from tensorlite.nn import functional as F
from tensorlite.nn.arguments import in_place, unusual
from tensorlite.nn.module import Module
from tensorlite.nn.rectifiers import InPlace, and_in_place
from tensorlite.tensor import Tensor


class SELU(InPlace):
    """Scaled ELU, which keeps mean 0 and variance 1.

    Element by element: input and output have one shape and float dtype.

    Parameters
    ----------
    inplace : bool
        Whether to overwrite the input.

    Examples
    --------
    >>> nn.SELU()(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([-1.3658143,  0.       ,  2.101402 ])
    """

    def forward(self, input: Tensor) -> Tensor:
        """Apply it to each element."""
        return F.selu(input, inplace=True) if self.inplace else F.selu(input)


class SiLU(InPlace):
    """x · sigmoid(x), also called swish.

    Element by element: input and output have one shape and float dtype.

    Parameters
    ----------
    inplace : bool
        Whether to overwrite the input.

    Examples
    --------
    >>> nn.SiLU()(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([-0.2736383,  0.       ,  1.761594 ])
    """

    def forward(self, input: Tensor) -> Tensor:
        """Apply it to each element."""
        return F.silu(input, inplace=True) if self.inplace else F.silu(input)


class Mish(InPlace):
    """x · tanh(softplus(x)).

    Element by element: input and output have one shape and float dtype.

    Parameters
    ----------
    inplace : bool
        Whether to overwrite the input.

    Examples
    --------
    >>> nn.Mish()(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([-0.29809976,  0.        ,  1.9439589 ])
    """

    def forward(self, input: Tensor) -> Tensor:
        """Apply it to each element."""
        return F.mish(input, inplace=True) if self.inplace else F.mish(input)


class Sigmoid(Module):
    """1 / (1 + exp(−x)).

    Element by element: input and output have one shape and float dtype.

    Examples
    --------
    >>> nn.Sigmoid()(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([0.18242553, 0.5       , 0.880797  ])
    """

    def forward(self, input: Tensor) -> Tensor:
        """Apply it to each element."""
        return F.sigmoid(input)


class Tanh(Module):
    """Hyperbolic tangent.

    Element by element: input and output have one shape and float dtype.

    Examples
    --------
    >>> nn.Tanh()(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([-0.90514827,  0.        ,  0.9640276 ])
    """

    def forward(self, input: Tensor) -> Tensor:
        """Apply it to each element."""
        return F.tanh(input)


class LogSigmoid(Module):
    """log(sigmoid(x)), without overflow.

    Element by element: input and output have one shape and float dtype.

    Examples
    --------
    >>> nn.LogSigmoid()(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([-1.7014133, -0.6931472, -0.126928 ])
    """

    def forward(self, input: Tensor) -> Tensor:
        """Apply it to each element."""
        return F.logsigmoid(input)


class Softsign(Module):
    """x / (1 + |x|).

    Element by element: input and output have one shape and float dtype.

    Examples
    --------
    >>> nn.Softsign()(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([-0.6      ,  0.       ,  0.6666667])
    """

    def forward(self, input: Tensor) -> Tensor:
        """Apply it to each element."""
        return F.softsign(input)


class Tanhshrink(Module):
    """x − tanh(x).

    Element by element: input and output have one shape and float dtype.

    Examples
    --------
    >>> nn.Tanhshrink()(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([-0.59485173,  0.        ,  1.0359724 ])
    """

    def forward(self, input: Tensor) -> Tensor:
        """Apply it to each element."""
        return F.tanhshrink(input)


class ELU(Module):
    """x where x > 0, else alpha · (exp(x) − 1).

    Element by element: input and output have one shape and float dtype.

    Parameters
    ----------
    alpha : float
        Where it levels off below 0.
    inplace : bool
        Whether to overwrite the input.

    Examples
    --------
    >>> nn.ELU()(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([-0.77686983,  0.        ,  2.        ])
    """

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha = alpha
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """Apply it to each element."""
        return F.elu(input, self.alpha, **in_place(self))

    def extra_repr(self) -> str:
        """The options."""
        return f"alpha={self.alpha}{and_in_place(self)}"


class CELU(Module):
    """x where x > 0, else alpha · (exp(x / alpha) − 1).

    Element by element: input and output have one shape and float dtype.

    Parameters
    ----------
    alpha : float
        Where it levels off below 0; not 0.
    inplace : bool
        Whether to overwrite the input.

    Examples
    --------
    >>> nn.CELU()(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([-0.77686983,  0.        ,  2.        ])
    """

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha = alpha
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """Apply it to each element."""
        return F.celu(input, self.alpha, **in_place(self))

    def extra_repr(self) -> str:
        """The options."""
        return f"alpha={self.alpha}{and_in_place(self)}"


class GELU(Module):
    """x · Φ(x), exactly or with ``approximate="tanh"``.

    Element by element: input and output have one shape and float dtype.

    Parameters
    ----------
    approximate : {"none", "tanh"}
        "tanh" for a formula with tanh in place of Φ.

    Examples
    --------
    >>> nn.GELU()(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([-0.10021079,  0.        ,  1.9544997 ])
    """

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = approximate

    def forward(self, input: Tensor) -> Tensor:
        """Apply it to each element."""
        return F.gelu(input, approximate=self.approximate)

    def extra_repr(self) -> str:
        """The options."""
        return f"approximate={self.approximate!r}"


class Softplus(Module):
    """log(1 + exp(beta · x)) / beta; x itself where beta · x > threshold.

    Element by element: input and output have one shape and float dtype.

    Parameters
    ----------
    beta : float
        How sharp the bend is.
    threshold : float
        Where the identity begins.

    Examples
    --------
    >>> nn.Softplus()(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([0.20141329, 0.6931472 , 2.126928  ])
    """

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta = beta
        self.threshold = threshold

    def forward(self, input: Tensor) -> Tensor:
        """Apply it to each element."""
        return F.softplus(input, self.beta, **unusual(self, threshold=20.0))

    def extra_repr(self) -> str:
        """The options."""
        return f"beta={self.beta}, threshold={self.threshold}"


class GLU(Module):
    """Gated linear unit: a · sigmoid(b), where a and b are the halves of the axis `dim`.

    Input (…, 2·n, …), output (…, n, …) (Dauphin et al. 2016).

    Parameters
    ----------
    dim : int
        The axis that is halved; its length must be even.

    Examples
    --------
    >>> nn.GLU()(tl.tensor([1.0, 2.0, 0.0, 100.0]))
    tensor([0.5, 2. ])
    """

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """Halve the axis."""
        return F.glu(input, self.dim)

    def extra_repr(self) -> str:
        """The axis."""
        return f"dim={self.dim}"


class Softmax(Module):
    """exp(x), divided by its sum along the axis `dim`.

    Input of any shape and a float dtype; the output has the same.

    Parameters
    ----------
    dim : int
        The axis. None, with a warning, takes 0 or 1 by the number of axes.

    Examples
    --------
    >>> nn.Softmax(dim=-1)(tl.tensor([[0.0, 0.0], [0.0, 100.0]]))
    tensor([[0.5, 0.5],
            [0. , 1. ]])
    """

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """Return a Tensor of the same shape."""
        return F.softmax(input, _axis("softmax", input, self.dim))

    def extra_repr(self) -> str:
        """The axis."""
        return f"dim={self.dim}"


class LogSoftmax(Module):
    """Logarithm of the softmax along the axis `dim`.

    Input of any shape and a float dtype; the output has the same.

    Parameters
    ----------
    dim : int
        The axis. None, with a warning, takes 0 or 1 by the number of axes.

    Examples
    --------
    >>> nn.LogSoftmax(dim=-1)(tl.tensor([[0.0, 0.0], [0.0, 100.0]]))
    tensor([[  -0.6931472,   -0.6931472],
            [-100.       ,    0.       ]])
    """

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """Return a Tensor of the same shape."""
        return F.log_softmax(input, _axis("log_softmax", input, self.dim))

    def extra_repr(self) -> str:
        """The axis."""
        return f"dim={self.dim}"


class Softmin(Module):
    """Softmax of −x along the axis `dim`.

    Input of any shape and a float dtype; the output has the same.

    Parameters
    ----------
    dim : int
        The axis. None, with a warning, takes 0 or 1 by the number of axes.

    Examples
    --------
    >>> nn.Softmin(dim=-1)(tl.tensor([[0.0, 0.0], [0.0, 100.0]]))
    tensor([[0.5, 0.5],
            [1. , 0. ]])
    """

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """Return a Tensor of the same shape."""
        return F.softmin(input, _axis("softmin", input, self.dim))

    def extra_repr(self) -> str:
        """The axis."""
        return f"dim={self.dim}"


class Softmax2d(Module):
    """Softmax over the channels of (N, C, H, W) or (C, H, W).

    Raises
    ------
    ValueError
        If the input has neither 3 nor 4 axes.

    Examples
    --------
    >>> nn.Softmax2d()(tl.zeros(1, 2, 1, 2))
    tensor([[[[0.5, 0.5]],
    <BLANKLINE>
             [[0.5, 0.5]]]])
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return a Tensor of the same shape, which sums to 1 over the channels."""
        if input.ndim not in (3, 4):
            raise ValueError(f"Softmax2d: input of shape {input.shape}; it must have 3 or 4 axes")
        return F.softmax(input, -3)


def _axis(name: str, input: Tensor, dim: int | None) -> int:
    """The axis of a softmax; torch's guess, with its warning, where none is given."""
    if dim is not None:
        return dim
    warnings.warn(
        f"Implicit dimension choice for {name} has been deprecated: give dim=…", stacklevel=4
    )
    return 0 if input.ndim in (0, 1, 3) else 1
