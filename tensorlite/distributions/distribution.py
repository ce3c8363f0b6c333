"""What all distributions share."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

import tensorlite as tl
from tensorlite.backend import Array, array_backend
from tensorlite.distributions.constraints import Constraint
from tensorlite.random import default_generator
from tensorlite.tape import no_grad, on_device_of
from tensorlite.tensor import Size, Tensor, tensor_of


class Distribution:
    """Base of the distributions.

    Parameters
    ----------
    batch_shape
        Shape of the distributions there are.
    event_shape
        Shape of one sample of each.
    validate_args
        Whether parameters and values are checked (default: yes; see
        `set_default_validate_args`). Checks wait for the device.

    Attributes
    ----------
    arg_constraints : dict
        What parameters may be.
    event_dims : dict
        How many axes of each parameter belong to one distribution.
    has_rsample : bool
        Whether samples have gradients.

    Examples
    --------
    >>> normal = tl.distributions.Normal(tl.zeros(2), 2.0)
    >>> normal.batch_shape, normal.event_shape, normal.support
    ((2,), (), real)
    >>> normal.mean, normal.mode, normal.variance, normal.stddev
    (tensor([0., 0.]), tensor([0., 0.]), tensor([4., 4.]), tensor([2., 2.]))
    >>> normal.sample((3,)).shape, normal.rsample().shape, normal.sample_n(3).shape
    ((3, 2), (2,), (3, 2))
    >>> normal.log_prob(tl.zeros(2)), normal.cdf(tl.zeros(2)), normal.icdf(tl.full((2,), 0.5))
    (tensor([-1.6120857, -1.6120857]), tensor([0.5, 0.5]), tensor([0., 0.]))
    >>> normal.entropy(), normal.perplexity()
    (tensor([2.1120858, 2.1120858]), tensor([8.265464, 8.265464]))
    >>> normal.expand((3, 2)).batch_shape
    (3, 2)
    >>> tl.distributions.Bernoulli(0.5).enumerate_support()
    tensor([0., 1.])
    >>> tl.distributions.Distribution.set_default_validate_args(True)
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {}
    event_dims: ClassVar[dict[str, int]] = {}
    has_rsample = False
    has_enumerate_support = False
    _validate_args: bool = __debug__

    @staticmethod
    def set_default_validate_args(value: bool) -> None:
        """Check arguments from now on, or don't.

        Parameters
        ----------
        value : bool

        Raises
        ------
        ValueError
            If it is something else.
        """
        if value not in (True, False):
            raise ValueError(f"value must be True or False, not {value!r}")
        Distribution._validate_args = value

    def __init__(
        self,
        batch_shape: tuple[int, ...] = (),
        event_shape: tuple[int, ...] = (),
        validate_args: bool | None = None,
    ) -> None:
        self._batch_shape, self._event_shape = Size(batch_shape), Size(event_shape)
        if validate_args is not None:
            self._validate_args = validate_args
        if self._validate_args:
            self._check_parameters()

    def _check_parameters(self) -> None:
        for name, constraint in self.arg_constraints.items():
            value = self.__dict__.get(name)  # others are computed from it
            if isinstance(value, Tensor) and not bool(constraint.check(value.detach()).all()):
                raise ValueError(
                    f"{type(self).__name__}: the parameter {name} of shape {tuple(value.shape)} "
                    f"must satisfy {constraint}, but has the values {value.detach()}"
                )

    @property
    def batch_shape(self) -> Size:
        """Shape of the distributions there are."""
        return self._batch_shape

    @property
    def event_shape(self) -> Size:
        """Shape of one sample of each."""
        return self._event_shape

    @property
    def support(self) -> Constraint:
        """What samples can be."""
        raise NotImplementedError

    @property
    def mean(self) -> Tensor:
        """The mean."""
        raise NotImplementedError

    @property
    def mode(self) -> Tensor:
        """The most likely value."""
        raise NotImplementedError

    @property
    def variance(self) -> Tensor:
        """The variance."""
        raise NotImplementedError

    @property
    def stddev(self) -> Tensor:
        """The standard deviation."""
        return self.variance.sqrt()

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draw samples without gradients, of shape sample_shape + batch_shape + event_shape.

        Returns
        -------
        Tensor
        """
        with no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Draw samples that are differentiable by the parameters (see `has_rsample`).

        Parameters
        ----------
        sample_shape : tuple of int

        Returns
        -------
        Tensor
            Of shape sample_shape + batch_shape + event_shape.
        """
        raise NotImplementedError(f"{type(self).__name__} has no rsample: its samples jump")

    def sample_n(self, n: int) -> Tensor:
        """Draw `n` samples.

        Parameters
        ----------
        n : int

        Returns
        -------
        Tensor
            Of shape (n,) + batch_shape + event_shape.
        """
        return self.sample((n,))

    def log_prob(self, value: Tensor) -> Tensor:
        """Logarithm of the density, or of the probability, at `value`.

        Parameters
        ----------
        value : Tensor
            Of a shape that broadcasts to batch_shape + event_shape.

        Returns
        -------
        Tensor
            Of value's shape without the axes of one sample.
        """
        raise NotImplementedError

    def cdf(self, value: Tensor) -> Tensor:
        """Probability of values up to `value`.

        Parameters
        ----------
        value : Tensor
            Of a shape that broadcasts to batch_shape.

        Returns
        -------
        Tensor
            Of that shape.
        """
        raise NotImplementedError

    def icdf(self, value: Tensor) -> Tensor:
        """Inverse of `cdf`.

        Parameters
        ----------
        value : Tensor
            Of a shape that broadcasts to batch_shape.

        Returns
        -------
        Tensor
            Of that shape.
        """
        raise NotImplementedError

    def entropy(self) -> Tensor:
        """The entropy, in nats.

        Returns
        -------
        Tensor, shape batch_shape
        """
        raise NotImplementedError

    def perplexity(self) -> Tensor:
        """Exponential of the entropy.

        Returns
        -------
        Tensor, shape batch_shape
        """
        return self.entropy().exp()

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """All values of a discrete distribution, along a new first axis.

        Parameters
        ----------
        expand : bool
            Whether the values are repeated for each distribution.

        Returns
        -------
        Tensor
            Of shape (values,) + batch_shape + event_shape.
        """
        raise NotImplementedError

    def expand(self, batch_shape: Any, _instance: Any = None) -> Distribution:
        """The same distribution in a larger batch shape.

        Parameters
        ----------
        batch_shape : tuple of int
            One that the present shape broadcasts to.
        """
        batch_shape = Size(batch_shape)
        new = object.__new__(type(self)) if _instance is None else _instance
        new.__dict__.update(self.__dict__)
        for name, value in self.__dict__.items():
            if name in self.event_dims:
                dims = self.event_dims[name]
                own = value.shape[value.dim() - dims :] if dims else ()
                new.__dict__[name] = value.expand((*batch_shape, *own))
        new._batch_shape = batch_shape
        return new

    # --- for subclasses -----------------------------------------------------------------------

    def _extended_shape(self, sample_shape: Any = ()) -> Size:
        return Size((*sample_shape, *self._batch_shape, *self._event_shape))

    def _validate_sample(self, value: Any) -> None:
        """Refuse a value that cannot be one of this distribution."""
        if not isinstance(value, Tensor):
            raise ValueError(f"log_prob and cdf take a Tensor, not a {type(value).__name__}")
        if not self._validate_args:
            return
        dims = len(self._event_shape)
        event = tuple(value.shape[value.dim() - dims :]) if dims else ()
        if event != tuple(self._event_shape):
            raise ValueError(
                f"{type(self).__name__}: the last axes of a value of shape {tuple(value.shape)} "
                f"must be {tuple(self._event_shape)}"
            )
        whole = tuple(self._extended_shape())
        for a, b in zip(reversed(tuple(value.shape)), reversed(whole), strict=False):
            if 1 not in (a, b) and a != b:
                raise ValueError(
                    f"{type(self).__name__}: a value of shape {tuple(value.shape)} cannot be "
                    f"broadcast against batch_shape + event_shape = {whole}"
                )
        try:
            support = self.support
        except NotImplementedError:
            return
        if not bool(support.check(value.detach()).all()):
            raise ValueError(
                f"{type(self).__name__}: a value lies outside the support {support}: "
                f"{value.detach()}"
            )

    def __repr__(self) -> str:
        shown = []
        for name in self.arg_constraints:
            value = self.__dict__.get(name)
            if isinstance(value, Tensor):
                one = value.numel() == 1
                shown.append(f"{name}: {value.item() if one else tuple(value.shape)}")
        return f"{type(self).__name__}({', '.join(shown)})"


def broadcast_all(*values: Any) -> tuple[Tensor, ...]:
    """Numbers and Tensors as Tensors of one shape; numbers in the dtype of the Tensors."""
    tensors = [value for value in values if isinstance(value, Tensor)]
    for value in values:
        if not isinstance(value, (Tensor, int, float, np.number)):
            raise ValueError(f"parameters are numbers or Tensors, not {type(value).__name__}")
    dtype: Any = tl.get_default_dtype()
    device: Any = "cpu"
    if tensors:
        device = tensors[0].device
        floats = [t.dtype for t in tensors if t.dtype.kind in "fV"]
        dtype = floats[0] if floats else dtype
    made = [
        v if isinstance(v, Tensor) else tl.tensor(float(v), dtype=dtype, device=device)
        for v in values
    ]
    return tuple(tl.broadcast_tensors(*made))


def drawn(kind: str, shape: Any, like: Tensor) -> Tensor:
    """Raw "uniform" or "normal" numbers where `like` is, in its dtype."""
    draw = getattr(default_generator, kind)
    return tensor_of(draw(tuple(shape), dtype=like.dtype, device=like.device))


def uniform_above_0(shape: Any, like: Tensor) -> Tensor:
    """Uniform numbers that are never 0."""
    tiny = tl.finfo(like.dtype).tiny
    return drawn("uniform", shape, like).clamp(min=tiny)


def made(array: Array, like: Tensor) -> Tensor:
    """A raw result as a Tensor in the dtype of `like`."""
    with on_device_of(like.array):
        backend = array_backend((like.array,))
        return tensor_of(backend.asarray(array.astype(like.dtype, copy=False)))


def clamped_probs(probs: Tensor) -> Tensor:
    """Probabilities away from 0 and 1 by what their dtype can tell."""
    eps = tl.finfo(probs.dtype).eps
    return probs.clamp(min=eps, max=1 - eps)


def sum_rightmost(value: Tensor, dims: int) -> Tensor:
    """Sum over the last `dims` axes."""
    if dims == 0:
        return value
    return value.reshape(*value.shape[: value.dim() - dims], -1).sum(-1)
