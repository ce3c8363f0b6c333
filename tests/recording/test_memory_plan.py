"""The memory plan of a recording: what it spares, and that it changes no bit."""

import numpy as np
import pytest
from captured import assert_same, training

import tensorlite as tl
import tensorlite.nn.functional as F
from tensorlite import nn, optim
from tensorlite.backend.kernels.declarations import families

pytestmark = pytest.mark.usefixtures("host")
RNG = np.random.default_rng(0)
MAPS = [kernel for family in families("cpu").values() for kernel in family if kernel.mapped]


@pytest.mark.parametrize("kernel", MAPS, ids=lambda k: k.name)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_a_map_may_write_over_any_of_its_inputs(kernel, dtype):
    if dtype is np.float16 and not kernel.widened:
        pytest.skip("the kernel has no 16-bit floats")
    k = tl.backend.HOST.kernels
    n = 1003
    inputs = [RNG.uniform(0.1, 0.9, n).astype(dtype) for _ in range(kernel.mapped)]
    numbers = [2 if p.type in ("int", "bool", "Index") else 0.5 for p in kernel.parameters]
    numbers = numbers[kernel.mapped + 2 :]
    run = getattr(k, kernel.name)
    expected, other = np.zeros(n, dtype), np.ones(n, dtype)
    run(*inputs, expected, n, *numbers)
    run(*inputs, other, n, *numbers)
    if other.tobytes() != expected.tobytes():
        return  # it reads what was there: an output of a plan's call is new
    for i in range(kernel.mapped):
        given = [x.copy() for x in inputs]
        run(*given, given[i], n, *numbers)
        assert given[i].tobytes() == expected.tobytes()


def lines(step):
    return step.recordings[-1].lines()


@pytest.mark.parametrize("kind", ["mlp", "gpt"])
def test_gradients_are_computed_where_the_optimizer_reads_them(kind):
    _, _, step, data = training(kind, captured=True)
    rng = np.random.default_rng(0)
    for _ in range(3):
        step(*map(tl.tensor, data(rng)))
    assert [line.name for line in lines(step) if line.operation == "gradient"] == []


class Wide(nn.Module):
    """Activations that are worth computing again, and products that need scratch memory."""

    def __init__(self):
        super().__init__()
        blocks = [(nn.LayerNorm(256), nn.Linear(256, 512), nn.GELU(), nn.Linear(512, 256))]
        blocks += [(nn.LayerNorm(256), nn.Linear(256, 512), nn.SiLU(), nn.Linear(512, 256))] * 2
        self.blocks = nn.ModuleList([nn.Sequential(*block) for block in blocks])

    def forward(self, x):
        for block in self.blocks:
            x = x + F.dropout(block(x), 0.1)
        return x


def wide_run(captured, threads=()):
    tl.manual_seed(0)
    model = Wide()
    optimizer = optim.Adam(model.parameters(), lr=1e-2)

    def step(x):
        loss = (model(x) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    step = tl.capture(step) if captured else step
    rng = np.random.default_rng(1)
    losses = []
    for i in range(6):
        if i < len(threads):
            tl.set_num_threads(threads[i])
        losses.append(step(tl.tensor(rng.normal(size=(512, 256)).astype(np.float32))).item())
    state = {name: value.numpy() for name, value in model.state_dict().items()}
    return losses, state, optimizer.state_dict(), step


@pytest.fixture
def threads():
    before = tl.get_num_threads()
    yield (2, 2, 2, 1, 2, 1)
    tl.set_num_threads(before)


def test_what_is_computed_again_and_scratch_memory_have_the_same_bits(threads):
    eager, captured = wide_run(False), wide_run(True, threads)
    assert_same(eager, captured)
    recording = captured[3].recordings[0]
    again = [line.name for line in recording.lines() if line.operation.endswith(", again")]
    assert {"gelu", "silu", "layer_norm"} & {*again}
    before, after = recording.memory
    assert after < before / 2
    assert ", again" in str(recording)
    with tl.profiler.profile() as profile:
        captured[3](tl.ones(512, 256))
    assert any(event.operation.endswith(", again") for event in profile.events())


def test_an_output_takes_the_place_of_an_input():
    @tl.capture(fuse=False)
    def call(x):
        for _ in range(10):
            x = tl.tanh(tl.exp(x))
        return x.sum()

    for i in range(4):
        call(tl.full((100_000,), 0.1 * i))
    before, after = call.recordings[0].memory
    assert before >= 19 * 400_000
    assert after < 2 * 400_000


def test_a_slice_of_a_slice_is_filled_where_it_belongs():
    @tl.capture
    def call(x):
        x = x.detach().requires_grad_()
        F.relu(x * 2)[1:][5:9].sum().backward()
        return x.grad

    eager = call.function
    for i in range(5):
        x = tl.arange(60_000.0).reshape(60, 1000) + i
        np.testing.assert_array_equal(call(x).numpy(), eager(x).numpy())
    assert [line.name for line in lines(call)].count("copy") == 1


def test_what_is_read_later_is_not_overwritten():
    @tl.capture
    def call(x):
        a = tl.exp(x)
        b = tl.tanh(a)
        c = b * 2.0
        return (a + b).sum() + c.sum(), tl.cat([a, b]) + tl.cat([b, a])

    for i in range(5):
        x = tl.tensor(RNG.normal(size=70_000).astype(np.float32)) + i
        for found, expected in zip(call(x), call.function(x), strict=True):
            np.testing.assert_array_equal(found.numpy(), expected.numpy())


def test_what_nobody_wants_of_a_recorded_call_goes_back_to_the_system(host):
    k = tl.backend.HOST.kernels
    log = k.log_open()
    k.log_enter(log)
    try:
        x, y = np.empty(1 << 18), np.empty(1 << 18)
        x.fill(7), y.fill(8)
    finally:
        k.log_enter(None)
    k.log_spend(log, 0, 1)
    blocks = [k.bytes_at(*k.log_block(log, i)[:2]) for i in range(2)]
    assert [b[: x.nbytes].view(float).sum() for b in blocks] == [x.sum(), y.sum()]
    del x, y
    spent, kept = (b[: 8 << 18].view(float) for b in blocks)
    assert (kept == 8).all()
    assert (spent[[0, -1000]] == 7).all()  # its ends stay
    assert (spent[1 << 15 : -1 << 15] == 0).all()


def test_large_constants_are_there_at_every_replay(host):
    @tl.capture
    def call(x):
        return x + tl.ones(300, 1000).triu().cumsum(0) * 2

    for i in range(5):
        x = tl.full((300, 1000), float(i))
        np.testing.assert_array_equal(call(x).numpy(), call.function(x).numpy())
    assert [line.name for line in lines(call)] == ["axpy"]


def test_the_gradient_of_a_part_lies_as_the_whole_does():
    x = tl.zeros(3, 4, requires_grad=True)
    turned = x.T
    turned.retain_grad()
    turned[1:].sum().backward()
    assert turned.grad.stride() == turned.stride()
    np.testing.assert_array_equal(x.grad.numpy(), [[0, 1, 1, 1]] * 3)
