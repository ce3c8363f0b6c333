"""The arena: parameters, gradients and optimizer state in flat arrays.

Parameters of one group that share a device and a dtype lie one after another in one array, and so
do their gradients and each kind of state. A step is then one kernel launch, zeroing is nothing, a
norm is one reduction, and data parallelism one all-reduce, however many parameters there are.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

from tensorlite.backend import Array, array_backend
from tensorlite.tensor import Tensor, tensor_of

_by_gradient: WeakValueDictionary[int, Arena] = WeakValueDictionary()  # by id of the flat array
_ALIGN = 16  # elements: every parameter starts on a 64-byte line, or a 32-byte one in half floats


class Place(NamedTuple):
    """A parameter's place in an arena."""

    name: str
    parameter: Tensor
    start: int
    stop: int
    data: Array  # view of the arena, of the parameter's shape
    grad: Array


class Arena:
    """Flat storage of parameters on one device, of one dtype.

    From now on each parameter's ``data`` is a view of the arena, and its gradient will be
    accumulated there.

    Attributes
    ----------
    data, grad : array, shape (n,)
        All parameters, and their gradients. Gaps between parameters stay zero.
    state : dict of str to array
        Optimizer state by torch's names ("exp_avg" …), each of shape (n,).
    steps : list of int
        How many updates each parameter has had.
    skipped : array or None
        How many of them a gradient scaler turned into nothing; on the device, with no axes.
    hyper : tuple or None
        What the last update was told, and the array that holds it.
    """

    def __init__(self, named_parameters: list[tuple[str, Tensor]], state: tuple[str, ...]) -> None:
        parameters = [parameter for _, parameter in named_parameters]
        first = parameters[0].array
        self.backend = array_backend((first,))
        starts, size = [], 0
        for parameter in parameters:
            starts.append(size)
            size += -(-parameter.numel() // _ALIGN) * _ALIGN
        xp = self.backend.xp
        with self.backend.on(parameters[0].device):
            self.data = xp.zeros(size, first.dtype)
            self.grad = xp.zeros(size, first.dtype)
            self.state = {name: xp.zeros(size, first.dtype) for name in state}
        self.bounds = self.backend.byte_bounds(self.data)
        self.steps = [0] * len(parameters)
        self.skipped: Array | None = None
        self.hyper: tuple[list, Array] | None = None
        self._part_of: tuple[int, int] | None = None
        self._part: tuple = ()
        self.places = []
        for (name, parameter), start in zip(named_parameters, starts, strict=True):
            stop = start + parameter.numel()
            place = Place(
                name,
                parameter,
                start,
                stop,
                self.data[start:stop].reshape(parameter.shape),
                self.grad[start:stop].reshape(parameter.shape),
            )
            self.places.append(place)
            with self.backend.on(parameter.device):
                self._adopt(place)
        _by_gradient[id(self.grad)] = self

    def _adopt(self, place: Place) -> None:
        """Bring a parameter's values here and bind it to its place."""
        parameter = place.parameter
        if parameter.array.dtype != place.data.dtype or type(parameter.array) is not type(
            self.data
        ):
            raise RuntimeError(
                f"parameter {place.name!r} moved to {parameter.dtype} on {parameter.device} after "
                "the optimizer was made: move the model first, then make the optimizer"
            )
        place.data[...] = parameter.array
        parameter.array = place.data
        parameter.grad_buffer = tensor_of(place.grad)

    def advance(self) -> list[tuple[int, int, int]]:
        """Count a step; return the runs of neighbours that have gradients: (start, stop, step).

        Puts back what somebody rebound meanwhile, and leaves out parameters without a gradient,
        as torch does.
        """
        runs: list[tuple[int, int, int]] = []
        steps = self.steps
        begin = end = count = 0  # of the run at hand; none has had 0 steps
        for i, (_, parameter, start, stop, data, own_grad) in enumerate(self.places):
            if parameter.array is not data:
                self._adopt(self.places[i])
            grad = parameter.grad
            if grad is not None:
                if grad.array is not own_grad:
                    own_grad[...] = grad.array
                step = steps[i] = steps[i] + 1
                if step == count:
                    end = stop
                    continue
            if count:
                runs.append((begin, end, count))
            begin, end, count = start, stop, 0 if grad is None else step
        if count:
            runs.append((begin, end, count))
        return runs

    def part(self, start: int, stop: int) -> tuple[Array, Array, dict[str, Array]]:
        """Parameters, gradients and state from `start` to `stop`; mostly asked for once more."""
        if self._part_of != (start, stop):
            state = {name: array[start:stop] for name, array in self.state.items()}
            self._part_of = (start, stop)
            self._part = (self.data[start:stop], self.grad[start:stop], state)
        return self._part

    def state_of(self, index: int) -> dict[str, Any]:
        """One parameter's step count and state, as views of its shape."""
        place = self.places[index]
        shape = place.data.shape
        views = {n: a[place.start : place.stop].reshape(shape) for n, a in self.state.items()}
        skipped = 0 if self.skipped is None else int(self.skipped)
        return {"step": self.steps[index] - skipped, **views}


def flat_gradients(parameters: Tensor | Iterable[Tensor]) -> list[Array]:
    """The gradients in as few arrays as can be: an arena's in one, where all of them are meant.

    An arena's gaps are zero, which changes no norm.
    """
    if isinstance(parameters, Tensor):
        parameters = [parameters]
    grads = [p.grad.array for p in parameters if p.grad is not None]
    meant: dict[int, list[Array]] = {}
    for grad in grads:
        meant.setdefault(id(grad if grad.base is None else grad.base), []).append(grad)
    result = []
    for key, views in meant.items():
        arena = _by_gradient.get(key)
        whole = arena is not None and len(views) == len(arena.places)
        result.extend([arena.grad] if whole else views)
    return result
