"""Invertible functions with the logarithm of their derivative's determinant."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import tensorlite as tl
from tensorlite.distributions import constraints
from tensorlite.distributions.distribution import sum_rightmost
from tensorlite.nn import functional as F
from tensorlite.tensor import Size, Tensor


class Transform:
    """Base of the transforms: give `_call`, `_inverse` and `log_abs_det_jacobian`.

    Parameters
    ----------
    cache_size
        0, or 1 to remember the last pair of input and output, whose inverse is then free and exact.

    Attributes
    ----------
    domain, codomain : Constraint
        What goes in and comes out.
    bijective : bool
        Whether it can be inverted.
    sign : int
        Of its slope.

    Raises
    ------
    ValueError
        If `cache_size` is neither 0 nor 1.

    Examples
    --------
    >>> exp = tl.distributions.ExpTransform()
    >>> y = exp(tl.tensor([0.0, 1.0]))
    >>> exp.inverse_of(y), exp.inv(y), exp.log_abs_det_jacobian(tl.tensor([0.0, 1.0]), y)
    (tensor([0., 1.]), tensor([0., 1.]), tensor([0., 1.]))
    >>> exp.forward_shape((2,)), exp.inverse_shape((2,)), exp.event_dim
    ((2,), (2,), 0)
    >>> exp.with_cache(1) is exp
    True
    """

    domain: constraints.Constraint = constraints.real
    codomain: constraints.Constraint = constraints.real
    bijective = True
    sign: Any = 1

    def __init__(self, cache_size: int = 0) -> None:
        if cache_size not in (0, 1):
            raise ValueError(f"cache_size must be 0 or 1, not {cache_size}")
        self._cache_size = cache_size
        self._last: tuple[Any, Any] = (None, None)

    @property
    def event_dim(self) -> int:
        """How many axes belong to one value."""
        return self.domain.event_dim

    @property
    def inv(self) -> Transform:
        """The inverse."""
        return _Inverse(self)

    def with_cache(self, cache_size: int = 1) -> Transform:
        """Itself: caches change no results."""
        self._cache_size = cache_size
        return self

    def __call__(self, x: Tensor) -> Tensor:
        """The output for `x`."""
        if self._cache_size and x is self._last[0]:
            return self._last[1]
        y = self._call(x)
        if self._cache_size:
            self._last = (x, y)
        return y

    def inverse_of(self, y: Tensor) -> Tensor:
        """The input, a Tensor, that gives `y`; returns it in the shape of an input."""
        if self._cache_size and y is self._last[1]:
            return self._last[0]
        return self._inverse(y)

    def _call(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def _inverse(self, y: Tensor) -> Tensor:
        raise NotImplementedError

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Log |det dy / dx| at a pair.

        Parameters
        ----------
        x, y : Tensor
            An input and its output.

        Returns
        -------
        Tensor
            Of their shape without the axes of one value.
        """
        raise NotImplementedError

    def forward_shape(self, shape: Any) -> Size:
        """Shape of the output for an input's `shape`."""
        return Size(shape)

    def inverse_shape(self, shape: Any) -> Size:
        """Shape of the input for an output's `shape`."""
        return Size(shape)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class _Inverse(Transform):
    """The inverse of a transform."""

    def __init__(self, transform: Transform) -> None:
        super().__init__()
        self._transform = transform
        self.domain, self.codomain = transform.codomain, transform.domain
        self.bijective, self.sign = transform.bijective, transform.sign

    @property
    def inv(self) -> Transform:
        """The transform."""
        return self._transform

    def _call(self, x: Tensor) -> Tensor:
        return self._transform.inverse_of(x)

    def _inverse(self, y: Tensor) -> Tensor:
        return self._transform(y)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """See `Transform`."""
        return -self._transform.log_abs_det_jacobian(y, x)

    def forward_shape(self, shape: Any) -> Size:
        """See `Transform`."""
        return self._transform.inverse_shape(shape)

    def inverse_shape(self, shape: Any) -> Size:
        """See `Transform`."""
        return self._transform.forward_shape(shape)

    def __repr__(self) -> str:
        return f"{self._transform!r}.inv"


class ExpTransform(Transform):
    """y = exp(x).

    Examples
    --------
    >>> ExpTransform()(tl.tensor([-1.0, 0.5]))
    tensor([0.36787945, 1.6487212 ])
    """

    codomain = constraints.positive

    def _call(self, x: Tensor) -> Tensor:
        return x.exp()

    def _inverse(self, y: Tensor) -> Tensor:
        return y.log()

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """X."""
        return x


class PowerTransform(Transform):
    """y = x^exponent, for positive x.

    Examples
    --------
    >>> PowerTransform(2.0)(tl.tensor([1.0, 3.0]))
    tensor([1., 9.])
    """

    domain = codomain = constraints.positive

    def __init__(self, exponent: Any, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.exponent = exponent if isinstance(exponent, Tensor) else tl.tensor(float(exponent))

    @property
    def sign(self) -> Tensor:
        """That of the exponent."""
        return self.exponent.sign()

    def _call(self, x: Tensor) -> Tensor:
        return x**self.exponent

    def _inverse(self, y: Tensor) -> Tensor:
        return y ** (1 / self.exponent)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Log |exponent · y / x|."""
        return (self.exponent * y / x).abs().log()


class SigmoidTransform(Transform):
    """y = 1 / (1 + exp(−x)).

    Examples
    --------
    >>> SigmoidTransform()(tl.tensor([-1.0, 0.5]))
    tensor([0.26894143, 0.62245935])
    """

    codomain = constraints.unit_interval

    def _call(self, x: Tensor) -> Tensor:
        info = tl.finfo(x.dtype)
        return tl.sigmoid(x).clamp(min=info.tiny, max=1 - info.eps)

    def _inverse(self, y: Tensor) -> Tensor:
        info = tl.finfo(y.dtype)
        y = y.clamp(min=info.tiny, max=1 - info.eps)
        return y.log() - tl.log1p(-y)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """−softplus(x) − softplus(−x)."""
        return -F.softplus(-x) - F.softplus(x)


class SoftplusTransform(Transform):
    """y = log(1 + exp(x)).

    Examples
    --------
    >>> SoftplusTransform()(tl.tensor([-1.0, 0.5]))
    tensor([0.3132617, 0.974077 ])
    """

    codomain = constraints.positive

    def _call(self, x: Tensor) -> Tensor:
        return F.softplus(x)

    def _inverse(self, y: Tensor) -> Tensor:
        return (-tl.expm1(-y)).log() + y

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """−softplus(−x)."""
        return -F.softplus(-x)


class TanhTransform(Transform):
    """y = tanh(x).

    Examples
    --------
    >>> TanhTransform()(tl.tensor([-1.0, 0.5]))
    tensor([-0.7615942 ,  0.46211717])
    """

    codomain = constraints.interval(-1.0, 1.0)

    def _call(self, x: Tensor) -> Tensor:
        return x.tanh()

    def _inverse(self, y: Tensor) -> Tensor:
        return tl.atanh(y)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """log(1 − tanh² x), without cancellation."""
        return 2 * (math.log(2) - x - F.softplus(-2 * x))


class AbsTransform(Transform):
    """y = |x|; its inverse is y.

    Examples
    --------
    >>> AbsTransform()(tl.tensor([-1.0, 0.5]))
    tensor([1. , 0.5])
    """

    codomain = constraints.positive
    bijective = False

    def _call(self, x: Tensor) -> Tensor:
        return x.abs()

    def _inverse(self, y: Tensor) -> Tensor:
        return y


class AffineTransform(Transform):
    """y = `loc` + `scale` · x, where `event_dim` axes belong to one value.

    Examples
    --------
    >>> AffineTransform(1.0, 2.0)(tl.tensor([-1.0, 0.5]))
    tensor([-1.,  2.])
    """

    def __init__(self, loc: Any, scale: Any, event_dim: int = 0, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.loc, self.scale, self._event_dim = loc, scale, event_dim
        self.domain = self.codomain = constraints.independent(constraints.real, event_dim)

    @property
    def sign(self) -> Any:
        """That of the scale."""
        if isinstance(self.scale, Tensor):
            return self.scale.sign()
        return (self.scale > 0) - (self.scale < 0)

    def _call(self, x: Tensor) -> Tensor:
        return self.loc + self.scale * x

    def _inverse(self, y: Tensor) -> Tensor:
        return (y - self.loc) / self.scale

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Log |scale|."""
        if isinstance(self.scale, Tensor):
            logs = self.scale.abs().log()
        else:
            logs = tl.full_like(x, math.log(abs(self.scale)))
        whole = logs + tl.zeros_like(x)
        return sum_rightmost(whole, self._event_dim)


class ComposeTransform(Transform):
    """Several transforms, `parts`, the first first.

    Examples
    --------
    >>> ComposeTransform([AffineTransform(0.0, 2.0), AffineTransform(1.0, 1.0)])(tl.tensor([3.0]))
    tensor([7.])
    """

    def __init__(self, parts: Sequence[Transform], cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.parts = list(parts)
        if self.parts:
            first, last = self.parts[0].domain, self.parts[-1].codomain
            before, after = last.event_dim, first.event_dim
            for part in reversed(self.parts):
                before += part.domain.event_dim - part.codomain.event_dim
                before = max(before, part.domain.event_dim)
            for part in self.parts:
                after += part.codomain.event_dim - part.domain.event_dim
                after = max(after, part.codomain.event_dim)
            self.domain = constraints.independent(first, before - first.event_dim)
            self.codomain = constraints.independent(last, after - last.event_dim)
        self.bijective = all(part.bijective for part in self.parts)

    @property
    def sign(self) -> Any:
        """The product of the signs."""
        sign: Any = 1
        for part in self.parts:
            sign = sign * part.sign
        return sign

    @property
    def inv(self) -> Transform:
        """The inverses, the last first."""
        return ComposeTransform([part.inv for part in reversed(self.parts)])

    def _call(self, x: Tensor) -> Tensor:
        for part in self.parts:
            x = part(x)
        return x

    def _inverse(self, y: Tensor) -> Tensor:
        for part in reversed(self.parts):
            y = part.inverse_of(y)
        return y

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """The sum of the parts'."""
        if not self.parts:
            return tl.zeros_like(x)
        total: Any = 0
        event_dim = self.domain.event_dim
        for part in self.parts:
            after = part(x)
            log_det = part.log_abs_det_jacobian(x, after)
            total = total + sum_rightmost(log_det, event_dim - part.domain.event_dim)
            event_dim += part.codomain.event_dim - part.domain.event_dim
            x = after
        return total

    def forward_shape(self, shape: Any) -> Size:
        """See `Transform`."""
        for part in self.parts:
            shape = part.forward_shape(shape)
        return Size(shape)

    def inverse_shape(self, shape: Any) -> Size:
        """See `Transform`."""
        for part in reversed(self.parts):
            shape = part.inverse_shape(shape)
        return Size(shape)

    def __repr__(self) -> str:
        return f"ComposeTransform({self.parts})"


identity_transform = ComposeTransform([])


class IndependentTransform(Transform):
    """`base_transform`, where the last `reinterpreted_batch_ndims` axes count as one value.

    Examples
    --------
    >>> IndependentTransform(ExpTransform(), 1).log_abs_det_jacobian(tl.ones(2), tl.ones(2).exp())
    tensor(2.)
    """

    def __init__(
        self, base_transform: Transform, reinterpreted_batch_ndims: int, cache_size: int = 0
    ) -> None:
        super().__init__(cache_size)
        self.base_transform = base_transform
        self.reinterpreted_batch_ndims = reinterpreted_batch_ndims
        self.domain = constraints.independent(base_transform.domain, reinterpreted_batch_ndims)
        self.codomain = constraints.independent(base_transform.codomain, reinterpreted_batch_ndims)
        self.bijective, self.sign = base_transform.bijective, base_transform.sign

    def _call(self, x: Tensor) -> Tensor:
        return self.base_transform(x)

    def _inverse(self, y: Tensor) -> Tensor:
        return self.base_transform.inverse_of(y)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """The base transform's, summed."""
        result = self.base_transform.log_abs_det_jacobian(x, y)
        return sum_rightmost(result, self.reinterpreted_batch_ndims)


class ReshapeTransform(Transform):
    """The last axes, of `in_shape`, in another shape, `out_shape`.

    Raises
    ------
    ValueError
        If they differ in size.

    Examples
    --------
    >>> ReshapeTransform((4,), (2, 2))(tl.zeros(3, 4)).shape
    (3, 2, 2)
    """

    def __init__(self, in_shape: Any, out_shape: Any, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.in_shape, self.out_shape = Size(in_shape), Size(out_shape)
        if self.in_shape.numel() != self.out_shape.numel():
            raise ValueError(f"ReshapeTransform: {in_shape} and {out_shape} differ in size")
        self.domain = constraints.independent(constraints.real, len(self.in_shape))
        self.codomain = constraints.independent(constraints.real, len(self.out_shape))

    def _call(self, x: Tensor) -> Tensor:
        return x.reshape(self.forward_shape(x.shape))

    def _inverse(self, y: Tensor) -> Tensor:
        return y.reshape(self.inverse_shape(y.shape))

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """0."""
        shape = tuple(x.shape[: x.dim() - len(self.in_shape)])
        return tl.zeros(shape, dtype=x.dtype, device=x.device)

    def forward_shape(self, shape: Any) -> Size:
        """See `Transform`."""
        return Size((*shape[: len(shape) - len(self.in_shape)], *self.out_shape))

    def inverse_shape(self, shape: Any) -> Size:
        """See `Transform`."""
        return Size((*shape[: len(shape) - len(self.out_shape)], *self.in_shape))


class SoftmaxTransform(Transform):
    """y = softmax(x) along the last axis; its inverse is log(y). It has no determinant.

    Examples
    --------
    >>> SoftmaxTransform()(tl.tensor([0.0, 0.0]))
    tensor([0.5, 0.5])
    """

    domain = constraints.real_vector
    codomain = constraints.simplex
    bijective = False

    def _call(self, x: Tensor) -> Tensor:
        return tl.softmax(x, -1)

    def _inverse(self, y: Tensor) -> Tensor:
        return y.log()


class StickBreakingTransform(Transform):
    """From n numbers to n + 1 probabilities: each takes its part of what is left.

    Examples
    --------
    >>> StickBreakingTransform()(tl.zeros(2)).sum()
    tensor(0.99999994)
    """

    domain = constraints.real_vector
    codomain = constraints.simplex

    def _offset(self, count: int, like: Tensor) -> Tensor:
        steps = tl.arange(count, 0, -1, dtype=like.dtype, device=like.device)
        return steps.log()

    def _call(self, x: Tensor) -> Tensor:
        info = tl.finfo(x.dtype)
        part = tl.sigmoid(x - self._offset(x.shape[-1], x)).clamp(min=info.tiny, max=1 - info.eps)
        left = tl.cumprod(1 - part, -1)
        return F.pad(part, (0, 1), value=1.0) * F.pad(left, (1, 0), value=1.0)

    def _inverse(self, y: Tensor) -> Tensor:
        part = y[..., :-1]
        left = 1 - tl.cumsum(part, -1)
        left = left.clamp(min=tl.finfo(y.dtype).tiny)
        return part.log() - left.log() + self._offset(part.shape[-1], y)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """The determinant is that of a triangular matrix."""
        x = x - self._offset(x.shape[-1], x)
        return (-x + F.logsigmoid(x) + y[..., :-1].log()).sum(-1)

    def forward_shape(self, shape: Any) -> Size:
        """See `Transform`."""
        return Size((*shape[:-1], shape[-1] + 1))

    def inverse_shape(self, shape: Any) -> Size:
        """See `Transform`."""
        return Size((*shape[:-1], shape[-1] - 1))


class LowerCholeskyTransform(Transform):
    """From matrices to lower triangular ones with a positive diagonal: its exponential.

    Examples
    --------
    >>> LowerCholeskyTransform()(tl.zeros(2, 2))
    tensor([[1., 0.],
            [0., 1.]])
    """

    domain = constraints.independent(constraints.real, 2)
    codomain = constraints.lower_cholesky

    def _call(self, x: Tensor) -> Tensor:
        return tl.tril(x, -1) + tl.diag_embed(tl.diagonal(x, 0, -2, -1).exp())

    def _inverse(self, y: Tensor) -> Tensor:
        return tl.tril(y, -1) + tl.diag_embed(tl.diagonal(y, 0, -2, -1).log())
