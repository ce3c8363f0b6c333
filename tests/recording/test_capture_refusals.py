"""What cannot be captured is refused, and leaves everything usable."""

import numpy as np
import pytest
from captured import here, pair, training, words

import tensorlite as tl
from tensorlite import nn
from tensorlite.recording import CaptureError


@pytest.mark.parametrize(
    "ask",
    [
        lambda t: t.sum().item(),
        lambda t: float(t.sum()),
        lambda t: bool(t.sum()),
        repr,
        lambda t: t.numpy(),
        lambda t: t.tolist(),
    ],
)
def test_asking_for_values_is_refused_with_the_line(ask):
    def call(x):
        y = x * 2
        ask(y)
        return y

    with pytest.raises(CaptureError, match=r"test_capture_refusals\.py:\d+"):
        tl.capture(call)(tl.ones(3))
    with pytest.raises(CaptureError, match="made to its end"):
        tl.capture(call)(tl.ones(3))
    lenient = tl.capture(call, strict=False)
    assert lenient(tl.ones(3)).tolist() == [2, 2, 2]
    assert "test_capture_refusals.py" in lenient.reason


def test_a_number_that_changes_is_refused():
    count = [0]

    @tl.capture
    def call(x):
        count[0] += 1
        return tl.clamp(x, max=float(count[0]))

    with pytest.raises(CaptureError, match="changes from call to call"):
        for _ in range(8):
            call(tl.ones(600))


def test_what_numpy_made_of_an_input_is_noticed_when_the_input_changes(host):
    @tl.capture
    def call(x, y):
        return x + y, tl.tensor(np.sqrt(y.array))  # of y alone, and no operation reads it

    for _ in range(5):
        call(tl.rand(3), tl.ones(3))
    assert call.recordings[0].replays
    with pytest.raises(CaptureError, match="outside of all operations"):
        for i in range(9):
            _, root = call(tl.rand(3), tl.full((3,), float(i)))
            np.testing.assert_array_equal(root.numpy(), np.full(3, i**0.5, np.float32))


def test_tensors_made_inside_may_require_grad():
    weight = tl.ones(3)

    @tl.capture
    def slope(x):
        x = x.detach().requires_grad_()
        w = weight.detach().requires_grad_()
        ((x**3) * w).sum().backward()
        return x.grad, w.grad

    for i in range(6):
        if i == 4:
            weight.data = tl.full((3,), 2.0)
        dx, dw = slope(tl.full((3,), float(i)))
        np.testing.assert_array_equal(dx.numpy(), 3.0 * i**2 * weight.numpy())
        np.testing.assert_array_equal(dw.numpy(), 3 * [i**3])
    assert [recording.replays for recording in slope.recordings] == [2, 1]


def test_a_tensor_that_is_made_and_kept_is_refused():
    kept = []

    def call(x):
        kept.append(x.detach().requires_grad_())
        return kept[-1] * 2

    with pytest.raises(CaptureError, match=r"makes a Tensor of shape \(3,\) .* and keeps it"):
        captured = tl.capture(call)
        for _ in range(6):
            captured(tl.ones(3))


def test_padding_that_no_recorded_batch_had_gets_no_gradient():
    words = nn.Embedding(6, 4, padding_idx=2)

    @tl.capture
    def step(ids):
        words.weight.grad = None
        words(ids).sum().backward()
        return words.weight.grad

    for ids in ([0, 1], [1, 3], [4, 5], [2, 2], [2, 1]):
        grad = step(here(ids)).numpy()
        expected = np.zeros((6, 4))
        np.add.at(expected, [i for i in ids if i != 2], 1)
        np.testing.assert_array_equal(grad, expected)


def test_numbers_around_the_function_are_seen():
    factor = 2.0

    @tl.capture
    def call(x):
        return x * factor

    seen = []
    for factor in (2.0, 2.0, 2.0, 3.0, 3.0, 3.0, 2.0):  # noqa: B007
        seen.append(call(tl.ones(2))[0].item())
    assert seen == [2, 2, 2, 3, 3, 3, 2]


def test_an_error_in_the_function_leaves_everything_usable():
    model, _optimizer, step, batches = pair()
    calls = [0]

    def failing(x, y):
        calls[0] += 1
        if calls[0] == 2:
            model(x)
            raise KeyError("in the middle")
        return step(x, y)

    captured = tl.capture(failing)
    captured(*batches[0])
    with pytest.raises(KeyError):
        captured(*batches[1])
    for batch in batches:
        captured(*batch)
    assert captured.recordings[0].replays
    assert tl.ones(3).sum().item() == 3


def test_a_wrong_label_is_named_before_anything_changes(host):
    model, _optimizer, step, batches = pair()
    step = tl.capture(step)
    for batch in batches[:5]:
        step(*batch)
    before = [p.detach().numpy().copy() for p in model.parameters()]
    x, y = batches[5]
    wrong = y.clone()
    wrong[3] = 77
    with pytest.raises(IndexError, match="77"):
        step(x, wrong)
    for p, q in zip(model.parameters(), before, strict=True):
        np.testing.assert_array_equal(p.detach().numpy(), q)
    step(x, y)


def test_hooks_and_attributes_of_modules_are_refused():
    class Keeps(nn.Module):
        def forward(self, x):
            self.last = x * 2
            return self.last

    with pytest.raises(CaptureError, match=r"Keeps\.last is set"):
        tl.capture(Keeps())(tl.ones(2))
    layer = nn.Linear(2, 2)
    layer.register_forward_hook(lambda *args: None)
    with pytest.raises(CaptureError, match="hooks"):
        tl.capture(lambda x: layer(x))(tl.ones(1, 2))


def test_a_wrong_word_is_named_before_anything_changes(host):
    _model, optimizer, step, _ = training("gpt", captured=True)
    rng = np.random.default_rng(0)
    for _ in range(4):
        x, y = map(here, words(rng))
        step(x, y)
    steps = optimizer.state_dict()["state"][0]["step"]
    offset = tl.get_rng_state().tolist()
    x[1, 2] = 30
    with pytest.raises(IndexError, match="30"):
        step(x, y)
    assert optimizer.state_dict()["state"][0]["step"] == steps
    assert tl.get_rng_state().tolist() == offset
