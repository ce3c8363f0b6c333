"""Losses as modules; see `tensorlite.nn.functional` for the formulas.

Each takes ``reduction``: "mean" over the elements, their "sum", or "none" for one loss each.
``size_average`` and ``reduce`` are its older spelling.
"""

from __future__ import annotations

from tensorlite.nn import functional as F
from tensorlite.nn.module import Module
from tensorlite.tensor import Tensor


def _reduction(size_average: bool | None, reduce: bool | None, reduction: str) -> str:
    """What the older arguments say, where they are given."""
    if size_average is None and reduce is None:
        return reduction
    if isinstance(size_average, Tensor):  # the input and the target, as to a function
        raise TypeError(
            "a loss module is made first and called then: nn.CrossEntropyLoss()(input, target)"
        )
    if reduce is False:
        return "none"
    return "sum" if size_average is False else "mean"


class _Loss(Module):
    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__()
        self.reduction = _reduction(size_average, reduce, reduction)


class _WeightedLoss(_Loss):
    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)


class MSELoss(_Loss):
    """Squared difference.

    Input and target of one shape.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}
        What is made of the losses.

    Examples
    --------
    >>> nn.MSELoss()(tl.tensor([0.0]), tl.tensor([3.0]))
    tensor(9.)
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Compare two Tensors of one shape."""
        return F.mse_loss(input, target, reduction=self.reduction)


class L1Loss(_Loss):
    """Absolute difference.

    Input and target of one shape.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}
        What is made of the losses.

    Examples
    --------
    >>> nn.L1Loss()(tl.tensor([0.0]), tl.tensor([3.0]))
    tensor(3.)
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Compare two Tensors of one shape."""
        return F.l1_loss(input, target, reduction=self.reduction)


class SmoothL1Loss(_Loss):
    """Squared difference / (2 · beta) below `beta`, absolute difference − beta / 2 above.

    Input and target of one shape.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}
        What is made of the losses.
    beta : float
        Not negative.

    Examples
    --------
    >>> nn.SmoothL1Loss()(tl.tensor([0.0]), tl.tensor([3.0]))
    tensor(2.5)
    """

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        beta: float = 1.0,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.beta = beta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Compare two Tensors of one shape."""
        return F.smooth_l1_loss(input, target, beta=self.beta, reduction=self.reduction)


class HuberLoss(_Loss):
    """Half the squared difference below `delta`, delta · (the absolute one − delta / 2) above.

    Input and target of one shape.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}
        What is made of the losses.
    delta : float
        Above 0.

    Examples
    --------
    >>> nn.HuberLoss()(tl.tensor([0.0]), tl.tensor([3.0]))
    tensor(2.5)
    """

    def __init__(
        self,
        reduction: str = "mean",
        delta: float = 1.0,
    ) -> None:
        super().__init__(reduction=reduction)
        self.delta = delta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Compare two Tensors of one shape."""
        return F.huber_loss(input, target, delta=self.delta, reduction=self.reduction)


class CrossEntropyLoss(_WeightedLoss):
    """Negative log-likelihood of the softmax of logits (N, C) or (N, C, …).

    Target of class indices (N) or (N, …), or of probabilities of the input's shape.

    Parameters
    ----------
    weight : Tensor, shape (C,), optional
        Weight of each class.
    ignore_index : int
        A target that does not count.
    reduction : {"mean", "sum", "none"}
        What is made of the losses.
    label_smoothing : float
        Part of each target that is spread over all classes.

    Examples
    --------
    >>> nn.CrossEntropyLoss()(tl.tensor([[0.0, 0.0]]), tl.tensor([1]))
    tensor(0.6931472)
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Compare logits with class indices (N, …), or with probabilities of their shape."""
        return F.cross_entropy(
            input,
            target,
            weight=self.weight,
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
            reduction=self.reduction,
        )


class NLLLoss(_WeightedLoss):
    """Negative log-likelihood of log-probabilities (N, C) or (N, C, …).

    Target of class indices (N) or (N, …).

    Parameters
    ----------
    weight : Tensor, shape (C,), optional
        Weight of each class.
    ignore_index : int
        A target that does not count.
    reduction : {"mean", "sum", "none"}
        What is made of the losses.

    Examples
    --------
    >>> nn.NLLLoss()(tl.tensor([[-1.0, -2.0]]), tl.tensor([1]))
    tensor(2.)
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        self.ignore_index = ignore_index

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Compare log-probabilities with class indices (N, …)."""
        return F.nll_loss(
            input,
            target,
            weight=self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
        )


class BCELoss(_WeightedLoss):
    """Cross-entropy of probabilities of two classes; `weight` is a factor for each element.

    Input and target of one shape.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}
        What is made of the losses.

    Examples
    --------
    >>> nn.BCELoss()(tl.tensor([0.5, 0.5]), tl.tensor([0.0, 1.0]))
    tensor(0.6931472)
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Compare probabilities with targets in [0, 1] of their shape."""
        return F.binary_cross_entropy(input, target, weight=self.weight, reduction=self.reduction)


class BCEWithLogitsLoss(_WeightedLoss):
    """Cross-entropy of logits of two classes.

    Input and target of one shape.

    Parameters
    ----------
    weight : Tensor, optional
        Factor for each element.
    reduction : {"mean", "sum", "none"}
        What is made of the losses.
    pos_weight : Tensor, optional
        Factor for the part of each element that belongs to the positive class.

    Examples
    --------
    >>> nn.BCEWithLogitsLoss()(tl.tensor([0.0, 0.0]), tl.tensor([0.0, 1.0]))
    tensor(0.6931472)
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        pos_weight: Tensor | None = None,
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        self.register_buffer("pos_weight", pos_weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Compare logits with targets in [0, 1] of their shape."""
        return F.binary_cross_entropy_with_logits(
            input, target, weight=self.weight, pos_weight=self.pos_weight, reduction=self.reduction
        )


class KLDivLoss(_Loss):
    """Kullback and Leibler's divergence of log-probabilities from targets.

    Input and target of one shape.

    Parameters
    ----------
    reduction : {"mean", "batchmean", "sum", "none"}
        "batchmean", the sum divided by the first length, is the divergence itself.
    log_target : bool
        Whether the targets are logarithms too.

    Examples
    --------
    >>> nn.KLDivLoss(reduction="batchmean")(tl.tensor([[0.5, 0.5]]).log(), tl.tensor([[0.0, 1.0]]))
    tensor(0.6931472)
    """

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        log_target: bool = False,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.log_target = log_target

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Compare log-probabilities with a Tensor of their shape."""
        return F.kl_div(input, target, log_target=self.log_target, reduction=self.reduction)


class PoissonNLLLoss(_Loss):
    """Negative log-likelihood of counts that are Poisson's.

    Input and target of one shape.

    Parameters
    ----------
    log_input : bool
        Whether the inputs are logarithms of the rates.
    full : bool
        Whether to add Stirling's approximation of log(target!).
    eps : float
        Added to the rates where they are not logarithms.
    reduction : {"mean", "sum", "none"}
        What is made of the losses.

    Examples
    --------
    >>> nn.PoissonNLLLoss()(tl.tensor([0.0]), tl.tensor([2.0]))
    tensor(1.)
    """

    def __init__(
        self,
        log_input: bool = True,
        full: bool = False,
        size_average: bool | None = None,
        eps: float = 1e-8,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.log_input = log_input
        self.full = full
        self.eps = eps

    def forward(self, log_input: Tensor, target: Tensor) -> Tensor:
        """Compare rates, or their logarithms, with counts."""
        return F.poisson_nll_loss(
            log_input,
            target,
            log_input=self.log_input,
            full=self.full,
            eps=self.eps,
            reduction=self.reduction,
        )


class GaussianNLLLoss(_Loss):
    """Negative log-likelihood of a normal distribution with the variance `var`.

    Input and target of one shape; ``var`` of that, or with one axis less or of length 1.

    Parameters
    ----------
    full : bool
        Whether to add the constant log(2π)/2.
    eps : float
        Smallest variance that is computed with.
    reduction : {"mean", "sum", "none"}
        What is made of the losses.

    Examples
    --------
    >>> nn.GaussianNLLLoss()(tl.tensor([1.0]), tl.tensor([3.0]), tl.tensor([1.0]))
    tensor(2.)
    """

    def __init__(self, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.full = full
        self.eps = eps

    def forward(self, input: Tensor, target: Tensor, var: Tensor | float) -> Tensor:
        """Compare means with values, given the variances."""
        return F.gaussian_nll_loss(
            input, target, var, full=self.full, eps=self.eps, reduction=self.reduction
        )


class CTCLoss(_Loss):
    """Connectionist temporal classification: sequences whose alignment is not known [1]_.

    Log-probabilities (T, N, C), targets (N, S), lengths (N,) of both; see `functional.ctc_loss`.

    Parameters
    ----------
    blank : int
        The class of no label.
    reduction : {"mean", "sum", "none"}
        "mean" divides by the lengths of the targets first.
    zero_infinity : bool
        Whether infinite losses, of targets too long for their inputs, become 0.

    References
    ----------
    .. [1] Graves, Fernández, Gomez and Schmidhuber, "Connectionist temporal classification",
       ICML 2006.

    Examples
    --------
    >>> nn.CTCLoss()(tl.zeros(5, 1, 3).log_softmax(2), tl.tensor([[1, 2]]), [5], [2])
    tensor(0.9688567)
    """

    def __init__(
        self, blank: int = 0, reduction: str = "mean", zero_infinity: bool = False
    ) -> None:
        super().__init__(reduction=reduction)
        self.blank = blank
        self.zero_infinity = zero_infinity

    def forward(
        self,
        log_probs: Tensor,
        targets: Tensor,
        input_lengths: Tensor,
        target_lengths: Tensor,
    ) -> Tensor:
        """Compare log-probabilities (T, N, C) with labels (N, S), or all behind one another."""
        return F.ctc_loss(
            log_probs,
            targets,
            input_lengths,
            target_lengths,
            self.blank,
            self.reduction,
            self.zero_infinity,
        )
