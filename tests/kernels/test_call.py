"""The call of a primitive in C++ does what the text in `tensorlite.call` does."""

from __future__ import annotations

import numpy as np
import pytest

import tensorlite as tl
from tensorlite.call import declined
from tensorlite.nn import functional as F
from tensorlite.ops.losses.cross_entropy import cross_entropy_rows
from tensorlite.ops.row_norm import layer_norm_rows
from tensorlite.tape import OutputNode
from tensorlite.tensor import tensor_of


@pytest.fixture(autouse=True)
def there_are_kernels(host_kernels):
    """Skip where there are none."""


def leaf(*shape: int, requires_grad: bool = True) -> tl.Tensor:
    values = np.random.default_rng(len(shape)).normal(size=shape).astype(np.float32)
    return tensor_of(values, requires_grad=requires_grad)


X, W, B = leaf(4, 6), leaf(3, 6), leaf(3)
LABELS = np.array([0, 1, 2, 0])
LOSS = {"ignore_index": -100, "label_smoothing": 0.1, "mean": True, "with_gradient": True}

CASES = {
    "all inputs need gradients": (F.linear, (X, W, B), {}),
    "one does": (F.linear, (X.array, W, None), {}),
    "none does": (F.linear, (X.detach(), W.detach()), {}),
    "raw arrays": (F.linear, (X.array, W.array, B.array), {}),
    "a number": (tl.add, (2.0, X), {}),
    "an inner node": (tl.exp, (X * 2,), {}),
    "a shape is saved": (tl.reshape, (X, (-1, 3)), {}),
    "several outputs": (cross_entropy_rows, (X, LABELS), LOSS),
    "auxiliary outputs": (layer_norm_rows, (X, None, None), {"eps": 1e-5}),
    "no gradient": (tl.argmax, (X,), {}),
    "too small for the kernel": (tl.sub, (X, X), {}),
}


def same(one, other) -> bool:
    """Whether two results, residuals or parents are alike; what lasts must be the same object."""
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    return one is other or (one == other and not isinstance(one, tl.Tensor))


def same_nodes(one, other) -> bool:
    """Whether two nodes, of several outputs too, or None twice, hold the same."""
    if one is None or isinstance(one, OutputNode):
        return type(one) is type(other) and (
            one is None
            or (
                (one.position, one.shape, one.dtype) == (other.position, other.shape, other.dtype)
                and same_nodes(*one.parents, *other.parents)
            )
        )
    return all(
        same(getattr(one, name), getattr(other, name))
        for name in ("plan", "parents", "saved", "shape", "dtype")
    )


@pytest.mark.parametrize("recording", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_it_records_what_the_text_records(case, recording, monkeypatch):
    call, args, static = CASES[case]
    names = call.__globals__
    call(*args, **static)  # by which the text is written, if it was not
    assert names["_compiled"] is not declined
    with tl.set_grad_enabled(recording):
        compiled = call(*args, **static)
        monkeypatch.setitem(names, "_compiled", declined)
        written = call(*args, **static)
    assert type(compiled) is type(written)
    several = isinstance(compiled, tuple)
    for one, other in zip(
        compiled if several else (compiled,), written if several else (written,), strict=True
    ):
        if not isinstance(one, tl.Tensor):
            assert same(one, other)
            continue
        assert same(one.array, other.array)
        assert one.requires_grad == other.requires_grad
        assert same_nodes(one.node, other.node)
        if one.node is not None:
            assert one.node.index < other.node.index
            assert (one.node.hooks, one.node.source) == (None, None)


def test_what_is_wrong_is_said_by_the_text(monkeypatch):
    messages = []
    for _ in range(2):
        with pytest.raises(ValueError, match="linear: input of shape") as raised:
            F.linear(X, leaf(3, 5))
        messages.append(str(raised.value))
        monkeypatch.setitem(F.linear.__globals__, "_compiled", declined)
    assert messages[0] == messages[1]


@pytest.mark.parametrize("mean", [True, False, 1, 0])
def test_cross_entropy_takes_truth_of_any_kind(mean, monkeypatch):
    static = LOSS | {"mean": mean}
    compiled = cross_entropy_rows(X, LABELS, **static)
    monkeypatch.setitem(cross_entropy_rows.__globals__, "_compiled", declined)
    written = cross_entropy_rows(X, LABELS, **static)
    for one, other in zip(compiled, written, strict=True):
        np.testing.assert_array_equal(one.array, other.array)


def test_a_kernel_given_later_is_used():
    @tl.primitive
    def twice(xp, x):
        return x + x

    assert twice(np.ones(1)) == 2

    @twice.kernel
    def kernel(k, x):
        return x * 3

    assert twice(np.ones(1)) == 3


def test_more_parameters_than_there_is_room_for():
    names = [f"p{i}" for i in range(17)]
    namespace = {}
    exec(f"def many(xp, x, *, {', '.join(f'{n}=1' for n in names)}): return x + p16", namespace)
    many = tl.primitive(namespace["many"])
    assert many(np.ones(1), p16=2) == 3
    assert many.__globals__["_compiled"] is declined


@pytest.mark.parametrize(("returned", "error"), [((), ValueError), ((np.ones(1),), IndexError)])
def test_missing_auxiliary_arrays(returned, error):
    @tl.primitive(aux=("half",))
    def forgets(xp, x, *, save):
        return returned

    forgets.defvjp(x=lambda g, half: g * half)
    with pytest.raises(error):
        forgets(leaf(1))


class Foreign:
    """An array of another library, which takes over what it meets."""

    def __array_ufunc__(self, *args, **kwargs):
        return self


def test_what_another_library_returns_is_left_to_the_text(monkeypatch):
    @tl.primitive
    def plus(xp, x, y):
        return xp.add(x, Foreign())

    found = []
    for _ in range(2):
        y = plus(X, 1)
        found.append((type(y), type(y.array), y.shape, y.dtype, y.requires_grad))
        monkeypatch.setitem(plus.__globals__, "_compiled", declined)
    assert found[0] == found[1]


def test_a_tensor_without_data_is_refused():
    with pytest.raises(AttributeError):
        tl.exp(tl.Tensor.__new__(tl.Tensor))


@pytest.mark.parametrize("told", [(), ((), 1, 0, False), ((None,) * 10, 1, 0, False)])
def test_what_is_no_primitive_is_refused(told, host_kernels):
    with pytest.raises(TypeError, match="compiled_call"):
        host_kernels.compiled_call(*told)


def test_what_is_no_node_is_not_walked_from(host_kernels):
    with pytest.raises(TypeError, match="walk"):
        host_kernels.walk(X, X.array, None, False, -1, (None,) * 6, None)
