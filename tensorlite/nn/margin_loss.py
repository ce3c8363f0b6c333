"""Losses of margins and distances as modules; see `tensorlite.nn.functional` for the formulas."""

from __future__ import annotations

from collections.abc import Callable

from tensorlite.nn import functional as F
from tensorlite.nn.loss import _Loss, _WeightedLoss
from tensorlite.tensor import Tensor


class HingeLoss(_Loss):
    """max(0, 1 − target · input), for targets −1 and 1; torch has no such loss.

    Input and target of one shape.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}
        What is made of the losses.

    Examples
    --------
    >>> nn.HingeLoss()(tl.tensor([0.5, 2.0]), tl.tensor([1.0, 1.0]))
    tensor(0.25)
    """

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Compare scores with signs of their shape."""
        return F.hinge_loss(input, target, reduction=self.reduction)


class CosineEmbeddingLoss(_Loss):
    """1 − cosine for pairs with target 1, max(0, cosine − margin) for those with −1.

    Inputs (N, D) or (D,), target (N,) or ().

    Parameters
    ----------
    margin : float
    reduction : {"mean", "sum", "none"}
        What is made of the losses.

    Examples
    --------
    >>> nn.CosineEmbeddingLoss()(tl.ones(1, 2), tl.ones(1, 2), tl.tensor([-1]))
    tensor(1.0000001)
    """

    def __init__(
        self,
        margin: float = 0.0,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.margin = margin

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        """Compare vectors (N, D) with vectors (N, D), given targets (N,)."""
        return F.cosine_embedding_loss(
            input1, input2, target, margin=self.margin, reduction=self.reduction
        )


class MarginRankingLoss(_Loss):
    """max(0, −target · (input1 − input2) + margin), with targets 1 and −1.

    Inputs and target of shapes that broadcast.

    Parameters
    ----------
    margin : float
    reduction : {"mean", "sum", "none"}
        What is made of the losses.

    Examples
    --------
    >>> nn.MarginRankingLoss()(tl.tensor([1.0]), tl.tensor([3.0]), tl.tensor([1.0]))
    tensor(2.)
    """

    def __init__(
        self,
        margin: float = 0.0,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.margin = margin

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        """Compare scores with scores."""
        return F.margin_ranking_loss(
            input1, input2, target, margin=self.margin, reduction=self.reduction
        )


class HingeEmbeddingLoss(_Loss):
    """input where the target is 1, max(0, margin − input) where it is −1.

    Input and target of one shape.

    Parameters
    ----------
    margin : float
    reduction : {"mean", "sum", "none"}
        What is made of the losses.

    Examples
    --------
    >>> nn.HingeEmbeddingLoss()(tl.tensor([0.5, 0.5]), tl.tensor([1, -1]))
    tensor(0.5)
    """

    def __init__(
        self,
        margin: float = 1.0,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.margin = margin

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Compare distances with signs of their shape."""
        return F.hinge_embedding_loss(input, target, margin=self.margin, reduction=self.reduction)


class SoftMarginLoss(_Loss):
    """log(1 + exp(−target · input)), with targets 1 and −1.

    Input and target of one shape.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}
        What is made of the losses.

    Examples
    --------
    >>> nn.SoftMarginLoss()(tl.tensor([0.0]), tl.tensor([1.0]))
    tensor(0.6931472)
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Compare scores with signs of their shape."""
        return F.soft_margin_loss(input, target, reduction=self.reduction)


class MultiLabelMarginLoss(_Loss):
    """Margins between the classes that are targets and those that are not; targets end with −1.

    Input and target (N, C) or (C,).

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}
        What is made of the losses.

    Examples
    --------
    >>> nn.MultiLabelMarginLoss()(tl.tensor([[0.0, 0.5]]), tl.tensor([[1, -1]]))
    tensor(0.25)
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Compare scores (N, C) with class indices (N, C), padded with −1."""
        return F.multilabel_margin_loss(input, target, reduction=self.reduction)


class MultiLabelSoftMarginLoss(_WeightedLoss):
    """Mean over the classes of the cross-entropy of each, of logits (N, C).

    Target of 0 and 1, (N, C).

    Parameters
    ----------
    weight : Tensor, shape (C,), optional
    reduction : {"mean", "sum", "none"}
        What is made of the losses.

    Examples
    --------
    >>> nn.MultiLabelSoftMarginLoss()(tl.tensor([[0.0, 0.0]]), tl.tensor([[0.0, 1.0]]))
    tensor(0.6931472)
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Compare logits with targets 0 and 1 of their shape."""
        return F.multilabel_soft_margin_loss(
            input, target, weight=self.weight, reduction=self.reduction
        )


class MultiMarginLoss(_WeightedLoss):
    """Sum over the other classes of max(0, margin − score of the target + score)ᵖ, divided by C.

    Input (N, C) or (C,), target of class indices (N,) or ().

    Parameters
    ----------
    p : int
        1 or 2.
    margin : float
    weight : Tensor, shape (C,), optional
    reduction : {"mean", "sum", "none"}
        What is made of the losses.

    Raises
    ------
    ValueError
        If `p` is something else, or `weight` has not one axis.

    Examples
    --------
    >>> nn.MultiMarginLoss()(tl.tensor([[0.0, 0.5]]), tl.tensor([1]))
    tensor(0.25)
    """

    def __init__(
        self,
        p: int = 1,
        margin: float = 1.0,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        if p not in (1, 2):
            raise ValueError(f"MultiMarginLoss: only p == 1 and p == 2 are supported, not {p}")
        if weight is not None and weight.ndim != 1:
            raise ValueError("MultiMarginLoss: weight must be None or have one axis")
        self.p = p
        self.margin = margin

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Compare scores (N, C) with class indices (N,)."""
        return F.multi_margin_loss(
            input,
            target,
            p=self.p,
            margin=self.margin,
            weight=self.weight,
            reduction=self.reduction,
        )


class TripletMarginLoss(_Loss):
    """max(0, distance to the positive − distance to the negative + margin), in the p-norm.

    Inputs (N, D) or (D,).

    Parameters
    ----------
    margin : float
        Above 0.
    p, eps, swap
        As of `functional.triplet_margin_loss`.
    reduction : {"mean", "sum", "none"}
        What is made of the losses.

    Raises
    ------
    ValueError
        If `margin` is not positive.

    Examples
    --------
    >>> nn.TripletMarginLoss()(tl.zeros(1, 2), tl.zeros(1, 2), tl.ones(1, 2))
    tensor(0.)
    """

    def __init__(
        self,
        margin: float = 1.0,
        p: float = 2.0,
        eps: float = 1e-6,
        swap: bool = False,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        if margin <= 0:
            raise ValueError(f"TripletMarginLoss: margin {margin} must be > 0")
        self.margin = margin
        self.p = p
        self.eps = eps
        self.swap = swap

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """Compare vectors (N, D)."""
        return F.triplet_margin_loss(
            anchor,
            positive,
            negative,
            margin=self.margin,
            p=self.p,
            eps=self.eps,
            swap=self.swap,
            reduction=self.reduction,
        )


class TripletMarginWithDistanceLoss(_Loss):
    """As `TripletMarginLoss`, with a distance function of your own.

    Inputs (N, D) or (D,).

    Parameters
    ----------
    distance_function : callable, optional
        Of two Tensors; by default `PairwiseDistance`.
    margin : float
        Above 0.
    swap : bool
        As of `functional.triplet_margin_loss`.
    reduction : {"mean", "sum", "none"}
        What is made of the losses.

    Raises
    ------
    ValueError
        If `margin` is not positive.

    Examples
    --------
    >>> nn.TripletMarginWithDistanceLoss()(tl.zeros(1, 2), tl.zeros(1, 2), tl.ones(1, 2))
    tensor(0.)
    """

    def __init__(
        self,
        *,
        distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
        margin: float = 1.0,
        swap: bool = False,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction=reduction)
        if margin <= 0:
            raise ValueError(f"TripletMarginWithDistanceLoss: margin {margin} must be > 0")
        self.distance_function = (
            F.pairwise_distance if distance_function is None else distance_function
        )
        self.margin = margin
        self.swap = swap

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """Compare whatever the distance function takes."""
        return F.triplet_margin_with_distance_loss(
            anchor,
            positive,
            negative,
            distance_function=self.distance_function,
            margin=self.margin,
            swap=self.swap,
            reduction=self.reduction,
        )
