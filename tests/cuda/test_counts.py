"""What a training step asks of the device, counted by the emulator."""

from __future__ import annotations

import json

import numpy as np
import pytest

import tensorlite as tl
from tensorlite.bench.counts import Counts, count, emulator
from tensorlite.bench.frameworks import Framework
from tensorlite.bench.steps import gpt, make_gpt, mlp
from tensorlite.cli import main
from tensorlite.optim import SGD, Adam, AdamW, Lion, RMSprop

pytestmark = [
    pytest.mark.skipif(emulator() is None, reason="counted by the emulator only"),
    pytest.mark.usefixtures("compiled"),
]


@pytest.fixture
def compiled():
    if tl.backend.backend_for("cuda").kernels is None:
        pytest.skip("counts are those of the compiled kernels")


@pytest.mark.parametrize("optimizer", [SGD, Adam, AdamW, Lion, RMSprop])
def test_an_update_is_one_launch_a_group(optimizer):
    def launches(groups: int, parameters: int) -> int:
        tensors = [
            [tl.ones(3, 5, device="cuda", requires_grad=True) for _ in range(parameters)]
            for _ in range(groups)
        ]
        update = optimizer([{"params": group} for group in tensors], lr=0.1)
        for group in tensors:
            for tensor in group:
                tensor.sum().backward()
        return count(update.step).launches

    assert [launches(1, 1), launches(1, 30), launches(3, 7)] == [1, 1, 3]


def test_the_least_an_update_moves_is_each_array_once_read_and_once_written():
    x = tl.ones(1000, device="cuda", requires_grad=True)
    update = Adam([x], lr=0.1)
    x.sum().backward()
    # p, m and v are updated in place, g and ten numbers of `hyper` are read.
    assert count(update.step).least == 4 * 1000 * (2 + 2 + 2 + 1) + 8 * 10


def test_adam_reads_and_writes_each_number_once():
    n = 64_000
    x = tl.ones(n, device="cuda", requires_grad=True)
    update = Adam([x])
    x.sum().backward()
    # Parameters, both moments and gradients are read, all but the last written.
    assert count(update.step).moved <= 1.05 * 4 * 7 * n


def test_a_step_that_reads_no_value_copies_none_and_never_waits():
    for build in (mlp, lambda framework: gpt(framework, layers=1, width=48, length=16)):
        counts = count(build(Framework("tensorlite", "cuda")))
        assert (counts.to_host, counts.waits) == (0, 0)


def test_a_layer_of_a_gpt_takes_at_most_forty_launches_and_calls():
    def asked(layers: int) -> Counts:
        # 512 rows: more than are summed in one pass.
        return count(gpt(Framework("tensorlite", "cuda"), layers, width=48, length=64))

    two, three = asked(2), asked(3)
    assert three.launches + three.library_calls - two.launches - two.library_calls <= 40


@pytest.mark.parametrize("short", [False, True], ids=["float32", "autocast"])
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_a_recurrent_layer_takes_as_many_launches_however_long_the_sequence_is(kind, short):
    """Of two layers: kernels of ours and CuPy's, then calls of cuBLASLt."""
    model = getattr(tl.nn, kind)(16, 16, num_layers=2).to("cuda")
    optimizer = SGD(model.parameters(), lr=0.1)  # gradients go to its arena

    def step(x: tl.Tensor) -> None:
        optimizer.zero_grad()
        with tl.autocast("cuda", dtype=tl.bfloat16, enabled=short):
            output, _ = model(x)
        output.backward(output.detach())

    asked = []
    for steps in (3, 20):
        x = tl.randn(steps, 4, 16, device="cuda")
        step(x), step(x)
        asked.append(count(lambda x=x: step(x)))
    assert asked[0].launches == asked[1].launches == LAUNCHES[kind][short]
    assert asked[0].library_calls == asked[1].library_calls == 7
    whole = [n for name, n in asked[0].kernels.items() if "_together" in name]
    assert whole == [2, 2]  # forward and backward, once a layer


LAUNCHES = {"LSTM": (10, 22), "GRU": (6, 10), "RNN": (8, 14)}


def test_a_layer_of_a_gpt_under_autocast_casts_nothing_but_its_weights_once():
    def asked(layers: int) -> Counts:
        framework = Framework("tensorlite", "cuda")
        model = make_gpt(framework, layers, width=48, length=64).to("cuda")
        optimizer = AdamW(model.parameters())
        x = framework.tensor(np.arange(512).reshape(8, 64) % 50)

        def step() -> None:
            optimizer.zero_grad()
            with tl.autocast("cuda", dtype=tl.bfloat16):
                logits = model(x)
                loss = tl.nn.functional.cross_entropy(logits.reshape(512, -1), x.reshape(-1))
            loss.backward()
            optimizer.step()

        step()  # the first block learns which parameters are wanted in 16 bits
        return count(step)

    two, three = asked(2), asked(3)
    # 12 products; 3 for attention and 2 for gelu; for each norm one forward and two backward, and
    # for what is added to the stream one forward and one backward; the gradient of queries, keys
    # and values is put together.
    assert three.library_calls - two.library_calls == 12
    assert three.launches - two.launches <= 3 + 2 + 2 * (3 + 2) + 3


def test_the_gradient_of_a_loss_is_not_read_again_unless_it_is_scaled():
    x = tl.randn(100, 640, device="cuda", requires_grad=True)
    labels = tl.zeros(100, dtype=tl.int64, device="cuda")

    def moved(factor: float) -> int:
        def step() -> None:
            x.grad = None
            loss = tl.nn.functional.cross_entropy(x * 1.0, labels)
            loss.backward(tl.tensor(factor, device="cuda"))

        return count(step).moved

    # In both cases the factor's four bytes are read, if by another number of threads.
    assert moved(2.0) - moved(1.0) > 1.9 * x.nbytes


def _fused():
    """Operations on rows, and the elements that each must read or write: (run, shape, elements)."""
    functional = tl.nn.functional
    wide, many = (64, 1000), (200_000, 32)
    n, rows, columns = 64_000, *many
    weight, bias = (tl.ones(columns, device="cuda", requires_grad=True) for _ in range(2))
    labels = tl.tensor(np.arange(64), device="cuda")
    # Norms read their parameters once a team, which counts for nothing where rows are many.
    return {
        "relu": (functional.relu, wide, 2 * n),
        "gelu": (functional.gelu, wide, 2 * n),
        "silu": (functional.silu, wide, 2 * n),
        "tanh": (tl.tanh, wide, 2 * n),
        "dropout": (lambda x: functional.dropout(x, 0.1), wide, 2 * n),
        "softmax": (lambda x: functional.softmax(x, -1), wide, 2 * n),
        "log_softmax": (lambda x: functional.log_softmax(x, -1), wide, 2 * n),
        "layer_norm": (
            lambda x: functional.layer_norm(x, (columns,), weight, bias),
            many,
            2 * rows * columns + 2 * rows + 2 * columns,
        ),
        "rms_norm": (
            lambda x: functional.rms_norm(x, (columns,), weight),
            many,
            2 * rows * columns + rows + columns,
        ),
        # All 64 lanes of a team ask for its row's label: one access a warp, but counted singly.
        "cross_entropy": (
            lambda x: functional.cross_entropy(x, labels),
            wide,
            2 * n + 64 * (64 * 2 + 1),
        ),
    }


@pytest.mark.parametrize("name", _fused() if emulator() is not None else [])
def test_a_fused_kernel_moves_what_it_must_and_little_more(name):
    run, shape, elements = _fused()[name]
    x = tl.rand(*shape, device="cuda").requires_grad_()
    assert count(lambda: run(x)).moved <= 1.05 * 4 * elements


def test_the_command_counts_and_shows_no_times(capsys, tmp_path):
    arguments = ["bench", "steps", "mlp", "--device", "cuda", "--out", str(tmp_path)]
    assert main(arguments) == 0
    table = capsys.readouterr().out
    assert "counts, not speeds" in table and "launches" in table and " ms" not in table
    counts = json.loads((tmp_path / "bench.json").read_text())["counts"]["mlp"]
    assert 0.9 < counts["moved"] / counts["least"] < 10


def test_counts_are_compared_with_nothing(capsys, monkeypatch):
    monkeypatch.setattr("tensorlite.cli.bench.check_installed", lambda peer: None)
    assert main(["bench", "steps", "mlp", "--device", "cuda", "--compare", "torch"]) == 2
    assert "leave out --compare" in capsys.readouterr().err
