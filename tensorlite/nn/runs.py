"""Runs: one direction of one recurrent layer, over whole sequences or packed ones.

A run is ``run(x, state) -> (output, state)`` with x (steps, batch, features), the state a tuple of
Tensors (batch, hidden) and the output (steps, batch, hidden). Its ``project`` and ``step`` are its
two halves: the input's part of all gates in one product, and what goes on in time.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from tensorlite.nn import functional as F
from tensorlite.ops.joining import cat, stack
from tensorlite.ops.recurrent import gru_layer, gru_sequence, lstm_layer, lstm_sequence
from tensorlite.ops.shape import split_at
from tensorlite.tensor import Tensor

State = Any  # a tuple of Tensors: h of a GRU or plain layer, h and c of an LSTM


class Run:
    """One direction of one layer."""

    bias_ih: Any
    bias_hh: Any
    weight_ih: Any
    weight_hh: Any
    weight_hr: Any

    def __init__(self, parameters: Sequence[Tensor | None], reverse: bool) -> None:
        self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh, self.weight_hr = parameters
        self.reverse = reverse

    @property
    def bias(self) -> Tensor | None:
        """The sum of both biases: nothing else depends on them."""
        return None if self.bias_ih is None else self.bias_ih + self.bias_hh

    def __call__(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Read whole sequences."""
        return self.step(self.project(x), state)

    def project(self, x: Tensor) -> Tensor:
        """The input's part of all gates; any axes before the last."""
        return F.linear(x, self.weight_ih, self.bias)

    def step(self, projected: Tensor, state: State) -> tuple[Tensor, State]:
        """Read sequences that are projected already."""
        raise NotImplementedError

    def _cut(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """All states, the first among them, as the outputs and the last."""
        if self.reverse:
            return states[:-1], states[0]
        return states[1:], states[-1]


class LstmRun(Run):
    """An LSTM's."""

    def __call__(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Read whole sequences."""
        return lstm_layer(x, *state, self.weight_ih, self.weight_hh, self.bias, self.reverse)  # type: ignore[call-arg]  # *state is as many as it takes

    def step(self, projected: Tensor, state: State) -> tuple[Tensor, State]:
        """Read sequences that are projected already."""
        h, c, _ = lstm_sequence(projected, *state, self.weight_hh, self.reverse, False)
        output, last = self._cut(h)
        return output, (last, self._cut(c)[1].astype(h.dtype))


class ProjectedLstmRun(Run):
    """An LSTM's whose h is projected, step by step."""

    def step(self, projected: Tensor, state: State) -> tuple[Tensor, State]:
        """Read sequences that are projected already."""
        h, c = state
        outputs = []
        times = range(projected.shape[0])
        for t in reversed(times) if self.reverse else times:
            gates = projected[t] + F.linear(h, self.weight_hh)
            i, f, g, o = split_at(gates, _cuts(gates.shape[-1], 4), 1)
            c = F.sigmoid(f) * c + F.sigmoid(i) * F.tanh(g)
            h = F.linear(F.sigmoid(o) * F.tanh(c), self.weight_hr)
            outputs.append(h)
        return stack(outputs[::-1] if self.reverse else outputs), (h, c)


def _cuts(length: int, parts: int) -> tuple[int, ...]:
    """Where to cut an axis into equal parts."""
    return tuple(length // parts * i for i in range(1, parts))


class GruRun(Run):
    """A GRU's."""

    def __call__(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Read whole sequences."""
        biases = (self.bias_ih, self.bias_hh)
        output, h = gru_layer(x, *state, self.weight_ih, self.weight_hh, *biases, self.reverse)  # type: ignore[call-arg]  # *state is as many as it takes
        return output, (h,)

    def project(self, x: Tensor) -> Tensor:
        """The input's part of all gates; any axes before the last."""
        return F.linear(x, self.weight_ih, self.bias_ih)

    def step(self, projected: Tensor, state: State) -> tuple[Tensor, State]:
        """Read sequences that are projected already."""
        h, _, _ = gru_sequence(
            projected, *state, self.weight_hh, self.bias_hh, reverse=self.reverse, overwrite=False
        )
        output, last = self._cut(h)
        return output, (last,)


class RnnRun(Run):
    """A plain one's."""

    def __init__(self, parameters: Sequence[Any], reverse: bool, nonlinearity: str) -> None:
        super().__init__(parameters, reverse)
        self.nonlinearity = nonlinearity

    def step(self, projected: Tensor, state: State) -> tuple[Tensor, State]:
        """Read sequences that are projected already."""
        output, h = F.rnn(projected, *state, self.weight_hh, self.nonlinearity, self.reverse)  # type: ignore[call-arg]  # *state is as many as it takes
        return output, (h,)


def over_packed(run: Run, data: Tensor, state: State, sizes: list[int]) -> tuple[Tensor, State]:
    """Read a packed batch: stretches of steps that the same sequences take part in.

    `data` has all steps one after another, ``sizes[t]`` rows for step t, the longest sequence
    first. Only steps of the sequences are computed and count in gradients: there is no padding.
    """
    stretches = [(size, len(list(same))) for size, same in itertools.groupby(sizes)]
    projected = run.project(data)
    ends = itertools.accumulate(size * steps for size, steps in stretches)
    cuts = tuple(ends)[:-1]
    parts = split_at(projected, cuts, 0) if cuts else (projected,)
    parts = [
        part.reshape(steps, size, projected.shape[-1])
        for part, (size, steps) in zip(parts, stretches, strict=True)
    ]
    outputs: list[Tensor] = []
    if run.reverse:
        current = tuple(part[:0] for part in state)
        for part in reversed(parts):
            size, started = part.shape[1], current[0].shape[0]
            joining = [first[started:size] for first in state]
            current = tuple(
                cat([now, new]) if started else new
                for now, new in zip(current, joining, strict=True)
            )
            output, current = run.step(part, current)
            outputs.insert(0, output)
        final = current
    else:
        current, ended = state, []
        for part in parts:
            size = part.shape[1]
            if size < current[0].shape[0]:
                ended.append(tuple(now[size:] for now in current))
                current = tuple(now[:size] for now in current)
            output, current = run.step(part, current)
            outputs.append(output)
        pieces = [current, *reversed(ended)]
        final = tuple(cat(list(part)) for part in zip(*pieces, strict=True)) if ended else current
    rows = [output.reshape(-1, output.shape[-1]) for output in outputs]
    return (cat(rows) if len(rows) > 1 else rows[0]), final
