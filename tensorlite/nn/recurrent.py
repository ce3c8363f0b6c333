"""Recurrent networks of several layers and two directions."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

from tensorlite.backend import array_backend
from tensorlite.nn import functional as F
from tensorlite.nn import init
from tensorlite.nn.module import Module
from tensorlite.nn.parameter import Parameter, empty
from tensorlite.nn.runs import GruRun, LstmRun, ProjectedLstmRun, RnnRun, over_packed
from tensorlite.nn.utils.rnn import PackedSequence
from tensorlite.ops.joining import cat, stack
from tensorlite.tensor import Tensor, tensor_of

State = Tensor | tuple[Tensor, ...]


class RNNBase(Module):
    """What `RNN`, `LSTM` and `GRU` share.

    Input (L, N, input_size), or (L, input_size) without a batch, or packed sequences; output (L, N,
    directions · hidden_size), and the state (layers · directions, N, hidden_size), of which a call
    takes one too.

    Parameters
    ----------
    mode : {"LSTM", "GRU", "RNN_TANH", "RNN_RELU"}
        Which of them; the subclasses know it.
    input_size, hidden_size : int
        Features of the input, and of the state of each layer and direction.
    num_layers : int
        Layers, each of which reads the outputs of the one before.
    bias : bool
        Whether there are biases.
    batch_first : bool
        Whether the batch is the first axis (N, L, …), not the second (L, N, …). The states are not
        concerned.
    dropout : float
        Probability of zeroing an output between two layers in training.
    bidirectional : bool
        Whether each layer reads the sequence from its end too; outputs are joined.
    proj_size : int
        Of an LSTM: features that h is projected to; 0 for none.
    device, dtype
        Of the parameters; by default the CPU and the default dtype.

    Attributes
    ----------
    weight_ih_l0 : Parameter, shape (gates · hidden_size, input_size)
    weight_hh_l0 : Parameter, shape (gates · hidden_size, proj_size or hidden_size)
    bias_ih_l0, bias_hh_l0 : Parameter, shape (gates · hidden_size,)
    weight_hr_l0 : Parameter, shape (proj_size, hidden_size)
        Of layer 0; of others "l1" and so on, of the other direction "l0_reverse". All are drawn
        from ±1 / √hidden_size. Without bias, or without proj_size, those are not there.

    Examples
    --------
    >>> output, h = nn.RNNBase("GRU", 4, 5, batch_first=True)(tl.zeros(2, 7, 4))
    >>> output.shape, h.shape
    ((2, 7, 5), (1, 2, 5))

    >>> nn.RNNBase("GRU", 4, 5).reset_parameters()
    >>> nn.RNNBase("GRU", 4, 5).flatten_parameters()
    >>> [w.shape for w in nn.RNNBase("GRU", 4, 5).all_weights[0]]
    [(15, 4), (15, 5), (15,), (15,)]
    """

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.mode = mode
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.proj_size = proj_size
        self._check_options(dropout)
        kind = {"device": device, "dtype": dtype}
        rows = _GATES[mode] * hidden_size
        features = proj_size or hidden_size
        for suffix in self._suffixes():
            columns = input_size if "_l0" in suffix else features * (1 + bidirectional)
            setattr(self, f"weight_ih{suffix}", empty(rows, columns, **kind))
            setattr(self, f"weight_hh{suffix}", empty(rows, features, **kind))
            if bias:
                setattr(self, f"bias_ih{suffix}", empty(rows, **kind))
                setattr(self, f"bias_hh{suffix}", empty(rows, **kind))
            if proj_size:
                setattr(self, f"weight_hr{suffix}", empty(proj_size, hidden_size, **kind))
        self.reset_parameters()

    def _check_options(self, dropout: float) -> None:
        name = type(self).__name__
        if isinstance(dropout, bool) or not 0 <= dropout <= 1:
            raise ValueError(
                f"{name}: dropout should be a number in range [0, 1] representing the probability "
                f"of an element being zeroed, not {dropout!r}"
            )
        if dropout > 0 and self.num_layers == 1:
            warnings.warn(
                f"{name}: dropout is between layers, so that dropout={dropout} does nothing with "
                "num_layers=1",
                stacklevel=4,
            )
        for what in ("input_size", "hidden_size", "num_layers"):
            value = getattr(self, what)
            if not isinstance(value, int):
                raise TypeError(f"{name}: {what} should be of type int, not {value!r}")
            if value <= 0 and what != "input_size":
                raise ValueError(f"{name}: {what} must be greater than zero, not {value}")
        if self.proj_size < 0 or self.proj_size >= self.hidden_size:
            raise ValueError(
                f"{name}: proj_size = {self.proj_size} must be 0, or positive and smaller than "
                f"hidden_size = {self.hidden_size}"
            )
        if self.proj_size and self.mode != "LSTM":
            raise ValueError(f"{name}: proj_size is only supported for LSTM, not RNN or GRU")

    def _suffixes(self) -> list[str]:
        """What the names of each layer's and direction's parameters end with."""
        return [
            f"_l{layer}{reverse}"
            for layer in range(self.num_layers)
            for reverse in ("", "_reverse")[: 1 + self.bidirectional]
        ]

    def _parameters_of(self, suffix: str) -> list[Parameter | None]:
        names = ["weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr"]
        return [getattr(self, name + suffix, None) for name in names]

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The parameters of each layer and direction."""
        found = [self._parameters_of(suffix) for suffix in self._suffixes()]
        return [[p for p in parameters if p is not None] for parameters in found]

    @property
    def _flat_weights(self) -> list[Parameter]:
        return [parameter for group in self.all_weights for parameter in group]

    def flatten_parameters(self) -> None:
        """Do nothing: the parameters need no particular place in memory."""

    def reset_parameters(self) -> None:
        """Draw the initial values anew."""
        bound = 1 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def forward(self, input: Any, hx: State | None = None) -> tuple[Any, State]:
        """Read a batch of sequences, or one.

        Parameters
        ----------
        input : Tensor or PackedSequence
            (L, N, input_size), with `batch_first` (N, L, input_size), or (L, input_size).
        hx : Tensor, shape (num_layers · directions, N, hidden_size), optional
            The first state, of an LSTM the two Tensors (h, c); zeros by default. Without N where
            `input` has none. With `proj_size` that is the last length of h.

        Returns
        -------
        output : Tensor, shape (L, N, directions · hidden_size), or PackedSequence
            The last layer's states h, with axes as those of `input`.
        hx : Tensor or tuple, as the argument
            After the last step that each layer and direction read.
        """
        if isinstance(input, PackedSequence):
            return self._read_packed(input, hx)
        batched = input.ndim == 3
        self._check_input(input, (2, 3))
        x = input
        if not batched:
            x = x.unsqueeze(1)
        elif self.batch_first:
            x = x.swapaxes(0, 1)
        states = self._initial(x, x.shape[1], hx, batched)
        x, finals = self._through_layers(x, states, None)
        if not batched:
            x, finals = x[:, 0], [part[:, 0] for part in finals]
        elif self.batch_first:
            x = x.swapaxes(0, 1)
        return x, self._as_state(finals)

    def _read_packed(self, packed: PackedSequence, hx: State | None) -> tuple[Any, State]:
        data, batch_sizes, sorted_indices, unsorted_indices = packed
        self._check_input(data, (2,))
        sizes = batch_sizes.tolist()
        states = self._initial(data, sizes[0], hx, batched=True)
        if hx is not None:
            states = [_in_order(part, sorted_indices) for part in states]
        data, finals = self._through_layers(data, states, sizes)
        finals = [_in_order(part, unsorted_indices) for part in finals]
        output = PackedSequence(data, batch_sizes, sorted_indices, unsorted_indices)
        return output, self._as_state(finals)

    def _through_layers(
        self, x: Tensor, states: Sequence[Tensor], sizes: list[int] | None
    ) -> tuple[Tensor, list[Tensor]]:
        """The last layer's outputs, and the final state's parts (layers · directions, N, H)."""
        directions = 1 + self.bidirectional
        outputs: list[Tensor] = []
        finals = []
        for i, suffix in enumerate(self._suffixes()):
            reverse = i % directions == 1
            if i and not reverse:  # the next layer
                x = _joined(outputs)
                if self.dropout:
                    x = F.dropout(x, self.dropout, self.training)
                outputs = []
            run = self._run(self._parameters_of(suffix), reverse)
            start = tuple(part[i] for part in states)
            output, final = run(x, start) if sizes is None else over_packed(run, x, start, sizes)
            outputs.append(output)
            finals.append(final)
        return _joined(outputs), [stack(parts) for parts in zip(*finals, strict=True)]

    def _run(self, parameters: list[Parameter | None], reverse: bool) -> Any:
        """How one direction of one layer is computed; see `runs`."""
        if self.mode == "LSTM":
            return (ProjectedLstmRun if self.proj_size else LstmRun)(parameters, reverse)
        if self.mode == "GRU":
            return GruRun(parameters, reverse)
        return RnnRun(parameters, reverse, "relu" if self.mode == "RNN_RELU" else "tanh")

    def _as_state(self, finals: list[Tensor]) -> State:
        return tuple(finals) if self.mode == "LSTM" else finals[0]

    def _check_input(self, input: Tensor, ndims: tuple[int, ...]) -> None:
        name = type(self).__name__
        if input.ndim not in ndims:
            raise ValueError(
                f"{name}: input of shape {input.shape}; it must have "
                f"{' or '.join(map(str, ndims))} axes"
            )
        if input.shape[-1] != self.input_size:
            axes = "(N, L, " if self.batch_first else "(L, N, "
            raise RuntimeError(
                f"{name}: input of shape {input.shape}; it must be "
                f"{axes}{self.input_size}) or (L, {self.input_size})"
            )
        if input.dtype.kind in "biu":
            raise TypeError(f"{name}: input is {input.dtype}: give input.float(), or embed it")

    def _initial(self, x: Tensor, batch: int, hx: State | None, batched: bool) -> Sequence[Tensor]:
        """The first state's parts, each (layers · directions, N, H); checked."""
        name = type(self).__name__
        layers = self.num_layers * (1 + self.bidirectional)
        shapes = [(layers, batch, self.proj_size or self.hidden_size)]
        if self.mode == "LSTM":
            shapes.append((layers, batch, self.hidden_size))
        if hx is None:
            backend = array_backend((x.array,))
            with backend.on(x.device):
                return [tensor_of(backend.xp.zeros(shape, x.dtype)) for shape in shapes]
        parts = [hx] if isinstance(hx, Tensor) else list(hx)
        if len(parts) == len(shapes) and any(part.ndim != 2 + batched for part in parts):
            axes = "3-D" if batched else "2-D"
            raise RuntimeError(
                f"{name}: for {'batched' if batched else 'unbatched'} input, hx should also be "
                f"{axes} but got {[part.ndim for part in parts]} axes"
            )
        if not batched:
            parts = [part.unsqueeze(1) for part in parts]
        given = [tuple(part.shape) for part in parts]
        if given != shapes:
            raise RuntimeError(
                f"{name}: a state of shapes {given}; it must be {len(shapes)} Tensors (layers · "
                f"directions, N, hidden_size) = {shapes}"
            )
        return parts

    def extra_repr(self) -> str:
        """Sizes, and the options that are not the defaults."""
        parts = [f"{self.input_size}, {self.hidden_size}"]
        defaults = {
            "proj_size": 0,
            "num_layers": 1,
            "bias": True,
            "batch_first": False,
            "dropout": 0,
            "bidirectional": False,
        }
        parts += [f"{n}={getattr(self, n)}" for n, d in defaults.items() if getattr(self, n) != d]
        return ", ".join(parts)


_GATES = {"LSTM": 4, "GRU": 3, "RNN_TANH": 1, "RNN_RELU": 1}


def _joined(outputs: list[Tensor]) -> Tensor:
    return outputs[0] if len(outputs) == 1 else cat(outputs, -1)


def _in_order(states: Tensor, indices: Tensor | None) -> Tensor:
    """The sequences of a batch, the second axis, in another order."""
    return states if indices is None else states[:, indices]


class RNN(RNNBase):
    """hₜ = tanh(W_ih xₜ + b_ih + W_hh hₜ₋₁ + b_hh), or relu of it [1]_.

    Shapes, and the attributes `weight_ih_l0` and so on, are those of `RNNBase`.


    Parameters
    ----------
    input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional
        As of `RNNBase`.
    nonlinearity : {"tanh", "relu"}
        Which function.

    Raises
    ------
    ValueError
        If `nonlinearity` is something else.

    References
    ----------
    .. [1] Elman, "Finding structure in time", Cognitive Science 14, 1990.

    Examples
    --------
    >>> output, h = nn.RNN(4, 5)(tl.zeros(7, 2, 4))
    >>> output.shape, h.shape
    ((7, 2, 5), (1, 2, 5))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"RNN: nonlinearity {nonlinearity!r} is not 'tanh' or 'relu'")
        self.nonlinearity = nonlinearity
        super().__init__(
            f"RNN_{nonlinearity.upper()}",
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            0,
            device,
            dtype,
        )


class LSTM(RNNBase):
    """Long short-term memory [1]_.

    With the gates i, f, g, o in this order in the parameters, σ the sigmoid, and each gate
    W_ih xₜ + b_ih + W_hh hₜ₋₁ + b_hh: cₜ = σ(f) cₜ₋₁ + σ(i) tanh(g) and hₜ = σ(o) tanh(cₜ), with
    `proj_size` W_hr times that [2]_.

    It returns ``output, (h, c)``; shapes, and the attributes `weight_ih_l0` and so on, are those of
    `RNNBase`.

    Parameters
    ----------
    input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, proj_size
        As of `RNNBase`.

    References
    ----------
    .. [1] Hochreiter and Schmidhuber, "Long short-term memory", Neural Computation 9, 1997.
    .. [2] Sak, Senior and Beaufays, "Long short-term memory based recurrent neural network
       architectures for large vocabulary speech recognition", arXiv:1402.1128, 2014.

    Examples
    --------
    >>> output, (h, c) = nn.LSTM(4, 5)(tl.zeros(7, 2, 4))
    >>> output.shape, h.shape, c.shape
    ((7, 2, 5), (1, 2, 5), (1, 2, 5))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            "LSTM",
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            proj_size,
            device,
            dtype,
        )


class GRU(RNNBase):
    """Gated recurrent unit [1]_.

    With the gates r, z, n in this order in the parameters and σ the sigmoid: r and z are σ of
    W_ih xₜ + b_ih + W_hh hₜ₋₁ + b_hh, n = tanh(W_ih xₜ + b_ih + r (W_hh hₜ₋₁ + b_hh)), and
    hₜ = (1 − z) n + z hₜ₋₁.

    Shapes, and the attributes `weight_ih_l0` and so on, are those of `RNNBase`.

    Parameters
    ----------
    input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional
        As of `RNNBase`.

    References
    ----------
    .. [1] Cho et al., "Learning phrase representations using RNN encoder-decoder", EMNLP 2014.

    Examples
    --------
    >>> output, h = nn.GRU(4, 5)(tl.zeros(7, 2, 4))
    >>> output.shape, h.shape
    ((7, 2, 5), (1, 2, 5))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            "GRU",
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            0,
            device,
            dtype,
        )
