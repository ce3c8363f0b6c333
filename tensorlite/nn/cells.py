"""Single steps of recurrent networks."""

from __future__ import annotations

import math
from typing import Any

from tensorlite.backend import array_backend
from tensorlite.nn import functional as F
from tensorlite.nn import init
from tensorlite.nn.module import Module
from tensorlite.nn.parameter import empty
from tensorlite.tensor import Tensor, tensor_of


class RNNCellBase(Module):
    """What the cells share.

    Parameters
    ----------
    input_size, hidden_size : int
        Features of the input and of the state.
    bias : bool
        Whether there are biases.
    num_chunks : int
        Number of gates; the subclasses know it.
    device, dtype
        Of the parameters.

    Attributes
    ----------
    weight_ih : Parameter, shape (gates · hidden_size, input_size)
    weight_hh : Parameter, shape (gates · hidden_size, hidden_size)
    bias_ih, bias_hh : Parameter, shape (gates · hidden_size,), or None
        All are drawn from ±1 / √hidden_size.

    Examples
    --------
    >>> nn.RNNCellBase(4, 5, bias=True, num_chunks=3).weight_ih.shape
    (15, 4)

    >>> nn.RNNCellBase(4, 5, bias=True, num_chunks=3).reset_parameters()
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool,
        num_chunks: int,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        rows = num_chunks * hidden_size
        kind = {"device": device, "dtype": dtype}
        self.weight_ih = empty(rows, input_size, **kind)
        self.weight_hh = empty(rows, hidden_size, **kind)
        for name in ("bias_ih", "bias_hh"):
            self.register_parameter(name, empty(rows, **kind) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the initial values anew."""
        bound = 1 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def _batch(self, input: Tensor, hx: Any, parts: int) -> tuple[Tensor, Any, bool]:
        """The input and the state's parts as batches, checked, and whether they came as such."""
        name = type(self).__name__
        if input.ndim not in (1, 2):
            raise ValueError(
                f"{name}: Expected input to be 1D or 2D, got {input.ndim}D instead: shape "
                f"{input.shape}"
            )
        batched = input.ndim == 2
        x = input if batched else input.unsqueeze(0)
        if x.shape[1] != self.input_size:
            raise RuntimeError(
                f"{name}: input of shape {input.shape}; its last axis must have length "
                f"{self.input_size}"
            )
        if hx is None:
            backend = array_backend((x.array,))
            with backend.on(x.device):
                zeros = backend.xp.zeros((x.shape[0], self.hidden_size), x.dtype)
            return x, [tensor_of(zeros)] * parts, batched
        given = [hx] if isinstance(hx, Tensor) else list(hx)
        for part in given:
            if part.ndim not in (1, 2):
                raise ValueError(
                    f"{name}: Expected hx to be 1D or 2D, got {part.ndim}D instead: shape "
                    f"{part.shape}"
                )
        states = [part if part.ndim == 2 else part.unsqueeze(0) for part in given]
        shapes = [tuple(state.shape) for state in states]
        wanted = [(x.shape[0], self.hidden_size)] * parts
        if shapes != wanted:
            raise RuntimeError(f"{name}: a state of shapes {shapes}; it must be {wanted}")
        return x, states, batched

    def _project(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """The input's part of all gates as a sequence of one step."""
        return F.linear(x, self.weight_ih, bias).unsqueeze(0)

    def _bias(self) -> Tensor | None:
        return None if self.bias_ih is None else self.bias_ih + self.bias_hh

    def extra_repr(self) -> str:
        """Sizes, and the options that are not the defaults."""
        text = f"{self.input_size}, {self.hidden_size}"
        if self.bias is not True:
            text += f", bias={self.bias}"
        if getattr(self, "nonlinearity", "tanh") != "tanh":
            text += f", nonlinearity={self.nonlinearity}"
        return text


class RNNCell(RNNCellBase):
    """One step of `RNN`: tanh, or relu, of W_ih x + b_ih + W_hh h + b_hh.

    Input (N, input_size) or (input_size,), state (N, hidden_size) or (hidden_size,), zeros by
    default; output as the state.

    Parameters
    ----------
    input_size, hidden_size : int
        Features of the input and of the state.
    bias : bool
        Whether there are biases.
    nonlinearity : {"tanh", "relu"}
        Which function.

    Raises
    ------
    ValueError
        If `nonlinearity` is something else.

    Examples
    --------
    >>> nn.RNNCell(4, 5)(tl.zeros(2, 4)).shape
    (2, 5)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """Map (N, input_size) and the state (N, hidden_size) to the next state."""
        if self.nonlinearity not in ("tanh", "relu"):
            raise RuntimeError(f"Unknown nonlinearity: {self.nonlinearity}")
        x, states, batched = self._batch(input, hx, 1)
        projected = self._project(x, self._bias())
        _, h = F.rnn(projected, *states, self.weight_hh, self.nonlinearity)  # type: ignore[call-arg]  # *states are as many as it takes
        return h if batched else h[0]


class LSTMCell(RNNCellBase):
    """One step of `LSTM`.

    Input (N, input_size) or (input_size,), state a pair (h, c) of (N, hidden_size) or
    (hidden_size,), zeros by default; output such a pair.

    Parameters
    ----------
    input_size, hidden_size : int
        Features of the input and of the state.
    bias : bool
        Whether there are biases.

    Examples
    --------
    >>> h, c = nn.LSTMCell(4, 5)(tl.zeros(2, 4))
    >>> h.shape, c.shape
    ((2, 5), (2, 5))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def forward(
        self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Map (N, input_size) and (h, c), each (N, hidden_size), to the next (h, c)."""
        x, states, batched = self._batch(input, hx, 2)
        _, (h, c) = F.lstm(self._project(x, self._bias()), *states, self.weight_hh)  # type: ignore[call-arg]  # *states are as many as it takes
        return (h, c) if batched else (h[0], c[0])


class GRUCell(RNNCellBase):
    """One step of `GRU`.

    Input (N, input_size) or (input_size,), state (N, hidden_size) or (hidden_size,), zeros by
    default; output as the state.

    Parameters
    ----------
    input_size, hidden_size : int
        Features of the input and of the state.
    bias : bool
        Whether there are biases.

    Examples
    --------
    >>> nn.GRUCell(4, 5)(tl.zeros(2, 4)).shape
    (2, 5)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """Map (N, input_size) and the state (N, hidden_size) to the next state."""
        x, states, batched = self._batch(input, hx, 1)
        _, h = F.gru(self._project(x, self.bias_ih), *states, self.weight_hh, self.bias_hh)  # type: ignore[call-arg]  # *states are as many as it takes
        return h if batched else h[0]
