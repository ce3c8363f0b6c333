"""``new_NAME``: a kernel's whole call makes the outputs that its declaration names, or declines."""

from __future__ import annotations

import numpy as np
import pytest

from tensorlite.backend.kernels import declarations
from tensorlite.backend.kernels.entry import Entry, slots_of

NAMES = [
    kernel.name for of in declarations.families("cpu").values() for kernel in of if slots_of(kernel)
]
KERNELS = {kernel.name: kernel for of in declarations.families("cpu").values() for kernel in of}
SHAPE = (2, 3, 4)
SCALARS = {"Index": 1, "int": 2, "double": 0.5, "float": 0.5}


@pytest.fixture
def both(backend, kernels):
    """A kernel's entry, and what Python says that it does."""
    return lambda name: (
        getattr(kernels, f"new_{name}"),
        Entry(KERNELS[name], kernels, backend.xp.ndarray),
    )


def _right(name, xp, dtype="f"):
    """Arguments for an entry: the first array of `SHAPE`."""
    kernel = KERNELS[name]
    rng = np.random.default_rng(3)
    first = next(p for p in kernel.parameters if p.type in kernel.types)
    factors = first.count.split(" * ")
    sizes = {
        1: (24,),
        2: (6, 4),
        3: (2, 3, 4),
    }[len(factors)]
    lengths = dict(zip(factors, sizes, strict=True))
    arguments = []
    for p in kernel.parameters:
        if p.is_array and p.is_input:
            wide = "d" if dtype == "d" else "f"
            own = wide if p.type.startswith("Acc<") else dtype
            if p.type not in kernel.types and not p.type.startswith("Acc<"):
                own = {"uint8_t": "B", "Index": "q"}[p.type]
            size = {first.count: SHAPE, "1": (), "rows": (*SHAPE[:-1], 1)}.get(p.count)
            if size is None:
                size = eval(p.count, {}, dict(lengths))
            arguments.append(xp.asarray(rng.uniform(0.1, 0.9, size).astype(own)))
        elif not p.is_array and p.name not in lengths and p.name != "parts":
            arguments.append(SCALARS[p.type])
    return arguments


def _outcome(call, arguments):
    try:
        made = call(*arguments)
    except Exception as error:
        return type(error), str(error)
    if made is NotImplemented:
        return made
    made = made if isinstance(made, tuple) else (made,)
    return [(a.shape, a.dtype, a.astype("d").tolist()) for a in made]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", ["e", "f", "d"])
def test_an_entry_does_what_python_says(name, dtype, both, backend):
    compiled, plain = both(name)
    xp = backend.xp
    right = _right(name, xp, dtype)
    assert _outcome(compiled, right) == _outcome(plain, right)
    if dtype == "e":
        return
    assert _outcome(plain, right) is not NotImplemented
    assert _outcome(compiled, right[:-1]) == _outcome(plain, right[:-1])
    assert _outcome(compiled, [*right, 1]) == _outcome(plain, [*right, 1])
    for i, value in enumerate(right):
        others = [None, "x"]
        if isinstance(value, xp.ndarray):
            others += [
                3.5,
                value.reshape(-1)[:0],
                value.astype("e" if dtype == "f" else "f"),
                value.astype("q"),
                value.reshape(-1),
                value.reshape(1, *value.shape),
                value.reshape(*value.shape, 1),
                value.reshape(value.shape[::-1]),
                value.reshape(-1)[:1],
                xp.repeat(value.reshape(*value.shape, 1), 2, -1)[..., 0],  # with gaps
                value.T.copy().T,
                np.ones(3, dtype) if xp is not np else [1.0],
            ]
        for other in others:
            arguments = [*right[:i], other, *right[i + 1 :]]
            found, wanted = _outcome(compiled, arguments), _outcome(plain, arguments)
            assert found == wanted, (i, other)


REFUSED = {
    "bias_add": {1: [(1, 4), (4, 1), (2, 2)]},
    "scale_by": {1: [(1,), (1, 1, 1)]},
    "layer_norm": {1: [(1, 4), (2, 2)], 2: [(1, 4), (4, 1)]},
    "layer_norm_backward": {2: [(6,), (2, 3), (3, 2, 1), (6, 1)], 3: [(6,)], 4: [(1, 4)]},
    "rms_norm_backward": {2: [(6,), (2, 3)], 3: [(2, 2)]},
}


@pytest.mark.parametrize("name", REFUSED)
def test_as_many_elements_in_another_shape_are_declined(name, both, backend):
    """Per column is one axis, per row the shape with 1 as its last axis, a number has no axes."""
    right = _right(name, backend.xp)
    for call in both(name):
        assert call(*right) is not NotImplemented
        for i, shapes in REFUSED[name].items():
            for shape in shapes:
                wrong = [*right[:i], right[i].reshape(shape), *right[i + 1 :]]
                assert call(*wrong) is NotImplemented, (i, shape)


def test_outputs_are_what_the_declaration_says(kernels, backend):
    x = backend.asarray(np.ones((5, 3, 4), np.float32))
    y, mean, rstd = kernels.new_layer_norm(x, None, None, 1e-5)
    assert (y.shape, mean.shape, rstd.shape) == ((5, 3, 4), (5, 3, 1), (5, 3, 1))
    dx, dweight, dbias = kernels.new_layer_norm_backward(x, x, mean, rstd, None)
    assert (dx.shape, dweight.shape, dbias.shape) == ((5, 3, 4), (4,), (4,))
    assert dbias.tolist() == [15.0] * 4
    half = x.astype(np.float16)
    y, mean, _ = kernels.new_layer_norm(half, None, None, 1e-5)
    assert (y.dtype, mean.dtype) == (np.float16, np.float32)


def test_a_word_for_an_unknown_parameter_is_an_error():
    source = "template <typename T>\nEACH(n)\nvoid f(const T* x OF(n), T* y LIKE(z), Index n) {"
    with pytest.raises(ValueError, match="no parameter z stands before it"):
        declarations.parse(source, "test")
