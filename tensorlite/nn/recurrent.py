"""Recurrent networks of several layers and two directions."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tensorlite.backend import array_backend
from tensorlite.nn import functional as F
from tensorlite.nn import init
from tensorlite.nn.module import Module
from tensorlite.nn.parameter import empty
from tensorlite.ops.recurrent import gru_layer, lstm_layer
from tensorlite.ops.shape import concat, stack
from tensorlite.tensor import Tensor, tensor_of

State = Tensor | tuple[Tensor, ...]


class Recurrent(Module):
    """What `RNN`, `LSTM` and `GRU` share.

    Parameters
    ----------
    input_size, hidden_size : int
        Features of the input, and of the state of each layer and direction.
    num_layers : int
        Layers, each of which reads the outputs of the one before.
    bias : bool
        Whether there are biases.
    batch_first : bool
        Whether the batch is the first axis (N, L, …), not the second (L, N, …).
    dropout : float
        Probability of zeroing an output between two layers in training.
    bidirectional : bool
        Whether each layer reads the sequence from its end too; outputs are joined.

    Attributes
    ----------
    weight_ih_l0 : Parameter, shape (gates · hidden_size, input_size)
    weight_hh_l0 : Parameter, shape (gates · hidden_size, hidden_size)
    bias_ih_l0, bias_hh_l0 : Parameter, shape (gates · hidden_size,), or None
        Of layer 0; of others "l1" and so on, of the other direction "l0_reverse". All are drawn
        from ±1 / √hidden_size.
    """

    _gates: int
    _parts: int = 1  # Tensors that make up the state

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
    ) -> None:
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = dropout
        self.bidirectional = bidirectional
        self._suffixes = [
            f"l{layer}{reverse}"
            for layer in range(num_layers)
            for reverse in ("", "_reverse")[: 1 + bidirectional]
        ]
        rows = self._gates * hidden_size
        for suffix in self._suffixes:
            first = suffix.startswith("l0")
            columns = input_size if first else hidden_size * (1 + bidirectional)
            self.register_parameter(f"weight_ih_{suffix}", empty(rows, columns))
            self.register_parameter(f"weight_hh_{suffix}", empty(rows, hidden_size))
            self.register_parameter(f"bias_ih_{suffix}", empty(rows) if bias else None)
            self.register_parameter(f"bias_hh_{suffix}", empty(rows) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the initial values anew."""
        bound = 1 / math.sqrt(max(self.hidden_size, 1))
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Read a batch of sequences, or one.

        Parameters
        ----------
        x : Tensor, shape (L, N, input_size), with `batch_first` (N, L, input_size), or \
(L, input_size)
        state : Tensor, shape (num_layers · directions, N, hidden_size), optional
            The first state, of an LSTM the two Tensors (h, c); zeros by default. Without N where
            `x` has none.

        Returns
        -------
        output : Tensor, shape (L, N, directions · hidden_size)
            The last layer's states h, with axes as those of `x`.
        state : Tensor or tuple, as `state`
            After the last step that each layer and direction read.
        """
        batched = x.ndim == 3
        self._check_input(x)
        if not batched:
            x = x.unsqueeze(1)
        elif self.batch_first:
            x = x.swapaxes(0, 1)
        states = self._initial(x, state, batched)  # of each part (layers · directions, N, H)
        directions = 1 + self.bidirectional
        outputs, finals = [], []
        for i, suffix in enumerate(self._suffixes):
            reverse = i % directions == 1
            if i and not reverse:  # the next layer
                x = F.dropout(self._joined(outputs), self.dropout, self.training)
                outputs = []
            parameters = [
                getattr(self, f"{kind}_{suffix}")
                for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            ]
            output, final = self._read(x, [part[i] for part in states], parameters, reverse)
            outputs.append(output)
            finals.append(final)
        x = self._joined(outputs)
        states = tuple(stack(parts) for parts in zip(*finals, strict=True))
        if not batched:
            x, states = x[:, 0], tuple(part[:, 0] for part in states)
        elif self.batch_first:
            x = x.swapaxes(0, 1)
        return x, states if self._parts > 1 else states[0]

    def _read(
        self, x: Tensor, state: Sequence[Tensor], parameters: Sequence, reverse: bool
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Run one direction of one layer: outputs, and the state's parts after the last step."""
        raise NotImplementedError

    @staticmethod
    def _joined(outputs: list[Tensor]) -> Tensor:
        return outputs[0] if len(outputs) == 1 else concat(outputs, axis=-1)

    def _check_input(self, x: Tensor) -> None:
        if x.ndim not in (2, 3) or x.shape[-1] != self.input_size:
            axes = "(N, L, " if self.batch_first else "(L, N, "
            raise ValueError(
                f"{type(self).__name__}: input of shape {x.shape}; it must be "
                f"{axes}{self.input_size}) or (L, {self.input_size})"
            )

    def _initial(self, x: Tensor, state: State | None, batched: bool) -> Sequence[Tensor]:
        """The first state's parts, each (layers · directions, N, hidden_size); checked."""
        shape = (len(self._suffixes), x.shape[1], self.hidden_size)
        if state is None:
            backend = array_backend((x.array,))
            with backend.on(x.device):
                return [tensor_of(backend.xp.zeros(shape, x.dtype))] * self._parts
        parts = [state] if isinstance(state, Tensor) else list(state)
        if not batched:
            parts = [part.unsqueeze(1) for part in parts]
        shapes = [part.shape for part in parts]
        if shapes != [shape] * self._parts:
            raise ValueError(
                f"{type(self).__name__}: a state of shapes {shapes}; it must be {self._parts} "
                f"Tensors (layers · directions, N, hidden_size) = {shape}"
            )
        return parts


class RNN(Recurrent):
    """hₜ = tanh(W_ih xₜ + b_ih + W_hh hₜ₋₁ + b_hh), or relu of it [1]_.

    Parameters are `Recurrent`'s, and between `num_layers` and `bias` there is ``nonlinearity``,
    "tanh" or "relu".

    References
    ----------
    .. [1] Elman, "Finding structure in time", Cognitive Science 14, 1990.
    """

    _gates = 1

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
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"RNN: nonlinearity {nonlinearity!r} is not 'tanh' or 'relu'")
        self.nonlinearity = nonlinearity
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional
        )

    def _read(
        self, x: Tensor, state: Sequence[Tensor], parameters: Sequence, reverse: bool
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        weight_ih, weight_hh, bias_ih, bias_hh = parameters
        bias = None if bias_ih is None else bias_ih + bias_hh
        projected = F.linear(x, weight_ih, bias)
        output, h = F.rnn(projected, *state, weight_hh, self.nonlinearity, reverse)
        return output, (h,)


class LSTM(Recurrent):
    """Long short-term memory [1]_; parameters are `Recurrent`'s.

    With the gates i, f, g, o in this order in the parameters, σ the sigmoid, and each gate
    W_ih xₜ + b_ih + W_hh hₜ₋₁ + b_hh: cₜ = σ(f) cₜ₋₁ + σ(i) tanh(g) and hₜ = σ(o) tanh(cₜ).

    References
    ----------
    .. [1] Hochreiter and Schmidhuber, "Long short-term memory", Neural Computation 9, 1997.
    """

    _gates = 4
    _parts = 2

    def _read(
        self, x: Tensor, state: Sequence[Tensor], parameters: Sequence, reverse: bool
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        weight_ih, weight_hh, bias_ih, bias_hh = parameters
        bias = None if bias_ih is None else bias_ih + bias_hh
        return lstm_layer(x, *state, weight_ih, weight_hh, bias, reverse)


class GRU(Recurrent):
    """Gated recurrent unit [1]_; parameters are `Recurrent`'s.

    With the gates r, z, n in this order in the parameters and σ the sigmoid: r and z are σ of
    W_ih xₜ + b_ih + W_hh hₜ₋₁ + b_hh, n = tanh(W_ih xₜ + b_ih + r (W_hh hₜ₋₁ + b_hh)), and
    hₜ = (1 − z) n + z hₜ₋₁.

    References
    ----------
    .. [1] Cho et al., "Learning phrase representations using RNN encoder-decoder", EMNLP 2014.
    """

    _gates = 3

    def _read(
        self, x: Tensor, state: Sequence[Tensor], parameters: Sequence, reverse: bool
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        weight_ih, weight_hh, bias_ih, bias_hh = parameters
        output, h = gru_layer(x, *state, weight_ih, weight_hh, bias_ih, bias_hh, reverse)
        return output, (h,)
