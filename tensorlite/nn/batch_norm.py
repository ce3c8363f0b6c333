"""Normalization of channels: over the batch, and of each instance by itself."""

from __future__ import annotations

from typing import Any

from tensorlite import ranks
from tensorlite.nn import functional as F
from tensorlite.nn.norm import Affine
from tensorlite.nn.parameter import new_buffer
from tensorlite.ops.channel_norm import count_batch, normalized
from tensorlite.tape import mode
from tensorlite.tensor import Tensor


class NormBase(Affine):
    """What batch and instance normalization share: parameters and running statistics."""

    _ndims: tuple[int, ...]  # numbers of axes that an input may have

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        self._set_parameters((num_features,), affine, affine and bias, device, dtype)
        self._set_statistics(device, dtype)
        self.reset_parameters()

    def _set_statistics(self, device: Any, dtype: Any) -> None:
        made: list[Tensor | None] = [None] * 3
        if self.track_running_stats:
            n = self.num_features
            made = [new_buffer(value, n, device=device, dtype=dtype) for value in (0, 1)]
            made.append(new_buffer(0, device=device, dtype="int64"))
        names = ("running_mean", "running_var", "num_batches_tracked")
        for name, tensor in zip(names, made, strict=True):
            self.register_buffer(name, tensor)

    def reset_running_stats(self) -> None:
        """Forget the running statistics."""
        if self.track_running_stats:
            self.running_mean.zero_()
            self.running_var.fill_(1)
            self.num_batches_tracked.zero_()

    def reset_parameters(self) -> None:
        """Write the initial values anew, those of the running statistics too."""
        self.reset_running_stats()
        super().reset_parameters()

    def _refuse(self, input: Tensor) -> None:
        axes = " or ".join(map(str, self._ndims))
        raise ValueError(
            f"{type(self).__name__}: input of shape {input.shape}; it must have {axes} axes"
        )

    def extra_repr(self) -> str:
        """Sizes and options."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
            f"affine={self.affine}, bias={self.bias is not None}, "
            f"track_running_stats={self.track_running_stats}"
        )


class BatchNormNd(NormBase):
    """Normalizes each channel over the batch, then scales and shifts it [1]_.

    y = (x − mean) / √(variance + eps) · weight + bias, with mean and variance of the batch in
    training and the running ones in evaluation. Use `BatchNorm1d`, `BatchNorm2d` or `BatchNorm3d`.

    Parameters
    ----------
    num_features : int
        Number of channels, the second axis of the input.
    eps : float
        Added to the variance.
    momentum : float or None
        Share of a new batch in the running statistics; None makes them plain averages.
    affine : bool
        Whether there are a weight and a bias.
    track_running_stats : bool
        Whether there are running statistics; without them evaluation uses the batch's too. Set to
        False later it only keeps training from changing those that there are.
    device, dtype
        Of the parameters and statistics.
    bias : bool
        Whether there is a bias, if `affine`.

    Attributes
    ----------
    weight, bias : Parameter, shape (num_features,), or None
    running_mean, running_var : Tensor, shape (num_features,), or None
        Buffers: 0 and 1 at first; the variance is the unbiased one.
    num_batches_tracked : Tensor of int64, shape (), or None

    References
    ----------
    .. [1] Ioffe and Szegedy, "Batch normalization", ICML 2015.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return a Tensor of the shape of `input`."""
        return self.normalized(input, relu=False)

    def normalized(self, input: Tensor, *, relu: bool) -> Tensor:
        """`forward`, or the `relu` of it in one pass."""
        self._check(input)
        momentum = 0.0 if self.momentum is None else self.momentum
        again = mode.switches.recomputes  # of a checkpoint, which counted this batch before
        counts = self.training and self.track_running_stats and not again
        if counts and ranks.world().is_cut:
            self._track(ranks.world())
        if counts and self.num_batches_tracked is not None:
            count_batch(self.num_batches_tracked)
            if self.momentum is None:
                momentum = 1 / self.num_batches_tracked.item()
        by_batch = self.training or (self.running_mean is None and self.running_var is None)
        shows = not self.training or self.track_running_stats
        return normalized(
            input,
            self.running_mean if shows else None,
            self.running_var if shows else None,
            self.weight,
            self.bias,
            by_batch,
            momentum,
            self.eps,
            relu=relu,
        )

    def _check(self, input: Tensor) -> None:
        if input.ndim not in self._ndims:
            self._refuse(input)
        if input.shape[1] != self.num_features:
            raise ValueError(
                f"{type(self).__name__}: input of shape {input.shape}; its second axis must have "
                f"length {self.num_features}"
            )

    def _track(self, world: ranks.World) -> None:
        """Let the statistics of all shards be put together after the batch."""
        if self.running_mean is None or self.running_var is None:
            return
        if world.batch is None:
            raise RuntimeError(
                f"{type(self).__name__}: running statistics of several shards are put together "
                "batch by batch: take batches from a loader given to tl.distributed.cut"
            )
        self._tell_batch()
        if mode.switches.recorder is not None:
            mode.switches.recorder.on_host("running statistics", self._tell_batch)

    def _tell_batch(self) -> None:
        buffers = (self.running_mean, self.running_var)
        ranks.world().batch.track(self, buffers, self.num_batches_tracked)


class BatchNorm1d(BatchNormNd):
    """Batch normalization of (N, C) or (N, C, L).

    Parameters
    ----------
    num_features, eps, momentum, affine, track_running_stats, bias
        As of `BatchNorm2d`.

    Raises
    ------
    ValueError
        If the input has another number of axes or of channels.

    Examples
    --------
    >>> nn.BatchNorm1d(3)(tl.randn(2, 3, 8)).shape
    (2, 3, 8)
    """

    _ndims = (2, 3)


class BatchNorm2d(BatchNormNd):
    """Batch normalization of (N, C, H, W).

    y = (x − mean) / √(variance + eps) · weight + bias for each channel, with mean and variance of
    the batch in training and the running ones in evaluation [1]_.

    Parameters
    ----------
    num_features : int
        Number of channels C.
    eps : float
        Added to the variance.
    momentum : float or None
        Share of a new batch in the running statistics; None makes them plain averages.
    affine : bool
        Whether there are a weight and a bias.
    track_running_stats : bool
        Whether there are running statistics; without them evaluation uses the batch's too.
    device, dtype
        Of the parameters and statistics.
    bias : bool
        Whether there is a bias, if `affine`.

    Raises
    ------
    ValueError
        If the input has another number of axes or of channels.

    References
    ----------
    .. [1] Ioffe and Szegedy, "Batch normalization: accelerating deep network training by
       reducing internal covariate shift", ICML 2015.

    Examples
    --------
    >>> nn.BatchNorm2d(3)(tl.randn(2, 3, 8, 8)).shape
    (2, 3, 8, 8)
    """

    _ndims = (4,)


class BatchNorm3d(BatchNormNd):
    """Batch normalization of (N, C, D, H, W).

    Parameters
    ----------
    num_features, eps, momentum, affine, track_running_stats, bias
        As of `BatchNorm2d`.

    Raises
    ------
    ValueError
        If the input has another number of axes or of channels.

    Examples
    --------
    >>> nn.BatchNorm3d(3)(tl.randn(2, 3, 8, 8, 8)).shape
    (2, 3, 8, 8, 8)
    """

    _ndims = (5,)


class InstanceNormNd(NormBase):
    """Normalizes each channel of each sample by itself [1]_.

    Use `InstanceNorm1d`, `InstanceNorm2d` or `InstanceNorm3d`.

    Parameters
    ----------
    num_features : int
        Number of channels, the second axis of the input.
    eps : float
        Added to the variance.
    momentum : float
        Share of new samples in the running statistics.
    affine : bool
        Whether there are a weight and a bias, of shape (num_features,).
    track_running_stats : bool
        Whether there are running statistics, for evaluation.
    device, dtype
        Of the parameters and statistics.
    bias : bool
        Whether there is a bias, if `affine`.

    References
    ----------
    .. [1] Ulyanov, Vedaldi and Lempitsky, "Instance normalization", arXiv:1607.08022, 2016.
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias
        )

    def forward(self, input: Tensor) -> Tensor:
        """Return a Tensor of the shape of `input`, which may come without N."""
        batched = self._ndims[0]
        if input.ndim not in (batched, batched - 1):
            raise ValueError(
                f"{type(self).__name__}: input of shape {input.shape}; it must have {batched} or "
                f"{batched - 1} axes"
            )
        alone = input.ndim == batched - 1
        channels = input.shape[0 if alone else 1]
        if channels != self.num_features and self.affine:
            raise ValueError(
                f"{type(self).__name__}: input of shape {input.shape}; the axis of channels must "
                f"have length {self.num_features}"
            )
        statistics = {}
        if self.running_mean is not None:
            statistics = {
                "running_mean": self.running_mean,
                "running_var": self.running_var,
                "use_input_stats": self.training or not self.track_running_stats,
                "momentum": 0.0 if self.momentum is None else self.momentum,
            }
        y = F.instance_norm(
            input.unsqueeze(0) if alone else input,
            weight=self.weight,
            bias=self.bias,
            eps=self.eps,
            **statistics,
        )
        return y.squeeze(0) if alone else y


class InstanceNorm1d(InstanceNormNd):
    """Instance normalization of (N, C, L) or (C, L).

    Parameters
    ----------
    num_features, eps, momentum, affine, track_running_stats, bias
        As of `InstanceNorm2d`.

    Raises
    ------
    ValueError
        If the input has another number of axes or of channels.

    Examples
    --------
    >>> nn.InstanceNorm1d(3)(tl.randn(2, 3, 8)).shape
    (2, 3, 8)
    """

    _ndims = (3,)


class InstanceNorm2d(InstanceNormNd):
    """Instance normalization of (N, C, H, W) or (C, H, W).

    As `BatchNorm2d`, but with mean and variance of each channel of each sample by itself [1]_.

    Parameters
    ----------
    num_features, eps, momentum, affine, track_running_stats, bias
        As of `BatchNorm2d`; by default there are no parameters and no running statistics.

    Raises
    ------
    ValueError
        If the input has another number of axes or of channels.

    References
    ----------
    .. [1] Ulyanov, Vedaldi and Lempitsky, "Instance normalization: the missing ingredient for
       fast stylization", arXiv:1607.08022, 2016.

    Examples
    --------
    >>> nn.InstanceNorm2d(3)(tl.randn(2, 3, 8, 8)).shape
    (2, 3, 8, 8)
    """

    _ndims = (4,)


class InstanceNorm3d(InstanceNormNd):
    """Instance normalization of (N, C, D, H, W) or (C, D, H, W).

    Parameters
    ----------
    num_features, eps, momentum, affine, track_running_stats, bias
        As of `InstanceNorm2d`.

    Raises
    ------
    ValueError
        If the input has another number of axes or of channels.

    Examples
    --------
    >>> nn.InstanceNorm3d(3)(tl.randn(2, 3, 8, 8, 8)).shape
    (2, 3, 8, 8, 8)
    """

    _ndims = (5,)
