"""Embedding: a table of vectors, looked up by integers; EmbeddingBag: sums of such."""

from __future__ import annotations

from typing import Any, Self

from tensorlite.nn import functional as F
from tensorlite.nn import init
from tensorlite.nn.module import Module
from tensorlite.nn.parameter import Parameter, empty
from tensorlite.tape import no_grad
from tensorlite.tensor import Tensor


class _Table(Module):
    """What both share: the table, and the options of its rows."""

    def _set_table(
        self, weight: Any, freeze: bool, padding_idx: int | None, device: Any, dtype: Any
    ) -> None:
        name = type(self).__name__
        rows = self.num_embeddings
        if padding_idx is not None:
            if not -rows <= padding_idx < rows:
                raise ValueError(
                    f"{name}: padding_idx {padding_idx} must be within num_embeddings: it is out "
                    f"of range for {rows} rows"
                )
            padding_idx %= rows
        self.padding_idx = padding_idx
        if weight is None:
            table = empty(rows, self.embedding_dim, device=device, dtype=dtype)
            self.weight = table.requires_grad_(not freeze)
            self.reset_parameters()
            return
        if tuple(weight.shape) != (rows, self.embedding_dim):
            raise ValueError(
                f"{name}: a weight of shape {weight.shape} does not match num_embeddings and "
                f"embedding_dim, {(rows, self.embedding_dim)}"
            )
        self.weight = Parameter(weight, requires_grad=not freeze)

    def reset_parameters(self) -> None:
        """Draw the initial values anew."""
        init.normal_(self.weight)
        self._fill_padding_idx_with_zero()

    def _fill_padding_idx_with_zero(self) -> None:
        if self.padding_idx is not None:
            with no_grad():
                self.weight[self.padding_idx] = 0


class Embedding(_Table):
    """Rows of a table by their index.

    Input of integers of any shape (*), output (*, embedding_dim).

    Parameters
    ----------
    num_embeddings, embedding_dim : int
        Number and length of the rows.
    padding_idx : int, optional
        A row that starts as zeros and gets no gradient.
    max_norm : float, optional
        Rows that are looked up are shortened to this norm, in place.
    norm_type : float
        The p of that norm.
    scale_grad_by_freq : bool
        Whether the gradient of a row is divided by how often the batch has it.
    sparse : bool
        Only False: gradients are dense.
    device, dtype
        Of the table.

    Attributes
    ----------
    weight : Parameter, shape (num_embeddings, embedding_dim)
        Drawn from the standard normal distribution.

    Raises
    ------
    IndexError
        If an index is not in [0, num_embeddings), on the CPU.

    Examples
    --------
    >>> nn.Embedding(10, 3)(tl.tensor([[1, 2], [4, 9]])).shape
    (2, 2, 3)
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: Tensor | None = None,
        _freeze: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.max_norm = max_norm
        self.norm_type = norm_type
        self.scale_grad_by_freq = scale_grad_by_freq
        self.sparse = _no_sparse("Embedding", sparse)
        self._set_table(_weight, _freeze, padding_idx, device, dtype)

    def forward(self, input: Tensor) -> Tensor:
        """Map integers (…) to rows (…, embedding_dim)."""
        if self.max_norm is None and not self.scale_grad_by_freq:
            return F.embedding(input, self.weight, self.padding_idx)
        return F.embedding(
            input,
            self.weight,
            self.padding_idx,
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
        )

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Tensor,
        freeze: bool = True,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
    ) -> Self:
        """An embedding with a given table (rows, length), which by default is not trained.

        Parameters
        ----------
        embeddings : Tensor, shape (rows, length)
        freeze : bool
            Whether it is not trained.
        padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse
            As of the class.

        Raises
        ------
        ValueError
            If the table has not two axes.

        Examples
        --------
        >>> nn.Embedding.from_pretrained(tl.eye(3))(tl.tensor([1]))
        tensor([[0., 1., 0.]])
        """
        _check_table(embeddings)
        rows, columns = embeddings.shape
        return cls(
            num_embeddings=rows,
            embedding_dim=columns,
            _weight=embeddings,
            _freeze=freeze,
            padding_idx=padding_idx,
            max_norm=max_norm,
            norm_type=norm_type,
            scale_grad_by_freq=scale_grad_by_freq,
            sparse=sparse,
        )

    def extra_repr(self) -> str:
        """Sizes, and the options that are not the defaults."""
        parts = [f"{self.num_embeddings}, {self.embedding_dim}"]
        if self.padding_idx is not None:
            parts.append(f"padding_idx={self.padding_idx}")
        return ", ".join(parts + _norm_options(self))


class EmbeddingBag(_Table):
    """Sums, means or maxima of rows of a table, one for each bag of indices.

    Input of integers (N, L), N bags, or (L,) with ``offsets`` (N,), where each bag begins; output
    (N, embedding_dim).

    Parameters
    ----------
    num_embeddings, embedding_dim : int
        Number and length of the rows.
    max_norm, norm_type, scale_grad_by_freq, sparse
        As in `Embedding`.
    mode : {"sum", "mean", "max"}
        What is made of the rows of a bag.
    include_last_offset : bool
        Whether the offsets end with the number of indices.
    padding_idx : int, optional
        Indices that are left out of the bags.
    device, dtype
        Of the table.

    Attributes
    ----------
    weight : Parameter, shape (num_embeddings, embedding_dim)
        Drawn from the standard normal distribution.

    Raises
    ------
    ValueError
        If `mode` is something else, or `_weight` has another shape.

    Examples
    --------
    >>> nn.EmbeddingBag(10, 3)(tl.tensor([[1, 2], [4, 9]])).shape
    (2, 3)
    >>> nn.EmbeddingBag(10, 3)(tl.tensor([1, 2, 4, 9]), tl.tensor([0, 1])).shape
    (2, 3)
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        _weight: Tensor | None = None,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if mode not in ("sum", "mean", "max"):
            raise ValueError(f"EmbeddingBag: mode {mode!r} is not 'sum', 'mean' or 'max'")
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.max_norm = max_norm
        self.norm_type = norm_type
        self.scale_grad_by_freq = scale_grad_by_freq
        self.mode = mode
        self.sparse = _no_sparse("EmbeddingBag", sparse)
        self.include_last_offset = include_last_offset
        self._set_table(_weight, False, padding_idx, device, dtype)

    def forward(
        self,
        input: Tensor,
        offsets: Tensor | None = None,
        per_sample_weights: Tensor | None = None,
    ) -> Tensor:
        """Map indices (bags, n), or (n,) and offsets (bags,), to (bags, embedding_dim)."""
        return F.embedding_bag(
            input,
            self.weight,
            offsets,
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
            self.mode,
            self.sparse,
            per_sample_weights,
            self.include_last_offset,
            self.padding_idx,
        )

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Tensor,
        freeze: bool = True,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
    ) -> Self:
        """An embedding bag with a given table (rows, length), which by default is not trained.

        Parameters
        ----------
        embeddings : Tensor, shape (rows, length)
        freeze : bool
            Whether it is not trained.
        max_norm, norm_type, scale_grad_by_freq, mode, sparse, include_last_offset, padding_idx
            As of the class.

        Raises
        ------
        ValueError
            If the table has not two axes.

        Examples
        --------
        >>> nn.EmbeddingBag.from_pretrained(tl.eye(3))(tl.tensor([[0, 1]]))
        tensor([[0.5, 0.5, 0. ]])
        """
        _check_table(embeddings)
        rows, columns = embeddings.shape
        made = cls(
            num_embeddings=rows,
            embedding_dim=columns,
            _weight=embeddings,
            max_norm=max_norm,
            norm_type=norm_type,
            scale_grad_by_freq=scale_grad_by_freq,
            mode=mode,
            sparse=sparse,
            include_last_offset=include_last_offset,
            padding_idx=padding_idx,
        )
        made.weight.requires_grad_(not freeze)
        return made

    def extra_repr(self) -> str:
        """Sizes, and the options that are not the defaults."""
        parts = [f"{self.num_embeddings}, {self.embedding_dim}", *_norm_options(self)]
        parts.append(f"mode={self.mode!r}")
        if self.padding_idx is not None:
            parts.append(f"padding_idx={self.padding_idx}")
        return ", ".join(parts)


def _norm_options(table: Module) -> list[str]:
    defaults = {"max_norm": None, "norm_type": 2, "scale_grad_by_freq": False}
    return [f"{n}={getattr(table, n)}" for n, d in defaults.items() if getattr(table, n) != d]


def _check_table(embeddings: Tensor) -> None:
    if embeddings.ndim != 2:
        raise ValueError(
            f"from_pretrained: embeddings must be (rows, length), not of shape {embeddings.shape}"
        )


def _no_sparse(name: str, sparse: bool) -> bool:
    if sparse:
        raise NotImplementedError(
            f"{name}: sparse=True is not there, gradients are dense: leave it out"
        )
    return False
