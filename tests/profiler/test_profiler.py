"""The profiler: what it sees of eager and of captured steps, and how it tells."""

import json
import threading

import numpy as np
import pytest

import tensorlite as tl
from tensorlite import nn
from tensorlite.backend import HOST
from tensorlite.profiler import ProfilerAction, ProfilerActivity, profile, record_function, schedule

needs_kernels = pytest.mark.skipif(HOST.kernels is None, reason="capture needs compiled kernels")


def _step(device="cpu"):
    tl.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.GELU(), nn.Linear(8, 3)).to(device)
    optimizer = tl.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    rng = np.random.default_rng(0)
    x = tl.tensor(rng.standard_normal((5, 6)).astype(np.float32), device=device)
    y = tl.tensor(rng.integers(0, 3, 5), device=device)

    def step():
        with record_function("forward"):
            loss = nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return model, step


def _rows(prof, **how):
    return {row.key: row for row in prof.key_averages(**how)}


def test_operations_and_their_rules_are_counted():
    _, step = _step()
    with profile() as prof:
        for _ in range(3):
            step()
    rows = _rows(prof)
    assert rows["linear"].count == 6
    assert rows["gelu"].count == rows["gelu_backward"].count == rows["cross_entropy"].count == 3
    assert rows["forward"].count == rows["SGD.step"].count == 3
    assert rows["gelu"].nbytes == 3 * 2 * 5 * 8 * 4
    assert all(row.self_cpu_time_total > 0 for row in rows.values())


def test_a_block_has_what_is_inside_in_its_total_alone():
    x = tl.ones(4)
    with profile() as prof, record_function("outer"), record_function("inner"):
        x.add(x)
    outer, inner, add = prof.events()
    assert [event.name for event in (outer, inner, add)] == ["outer", "inner", "add"]
    assert outer.start <= inner.start <= add.start <= add.end <= inner.end <= outer.end
    spent = sum(event.self_cpu_time_total for event in (outer, inner, add))
    assert spent == pytest.approx(outer.cpu_time_total)
    assert outer.annotation
    assert not add.annotation


def test_results_are_the_same_and_nothing_stays_switched_on():
    plain, step = _step()
    losses = [step().item() for _ in range(3)]
    watched, step = _step()
    with profile(with_stack=True, record_shapes=True):
        assert [step().item() for _ in range(3)] == losses
    for p, q in zip(plain.parameters(), watched.parameters(), strict=True):
        np.testing.assert_array_equal(p.detach().numpy(), q.detach().numpy())
    from tensorlite.tape import mode

    assert mode.switches.profile is None
    assert mode.switches.trace is None
    assert not mode.switches.special


def test_lines_and_shapes_tell_calls_apart():
    x, y = tl.ones((2, 3), requires_grad=True), tl.ones(3)
    with profile(with_stack=True, record_shapes=True) as prof:
        x.exp().sum().backward()
        y.exp()
    by_line = [row for row in prof.key_averages(group_by_stack_n=1) if row.key == "exp"]
    assert len(by_line) == 2
    assert all("test_profiler.py:" in row.stack[0] for row in by_line)
    by_shape = [row for row in prof.key_averages(group_by_input_shape=True) if row.key == "exp"]
    assert [row.input_shapes for row in by_shape] == [[(2, 3)], [(3,)]]
    assert next(row for row in prof.key_averages() if row.key == "exp").count == 2
    rule = next(event for event in prof.events() if event.name == "exp_backward")
    assert rule.source == by_line[0].stack[0]  # the line of the operation, not of backward()


@needs_kernels
def test_captured_steps_are_seen_kernel_by_kernel():
    model, step = _step()
    twin, same = _step()
    captured = tl.capture(step)
    for _ in range(3):
        captured()
        same()
    captured.wait()
    with profile() as prof:
        losses = [captured().item() for _ in range(4)]
    assert losses == [same().item() for _ in range(4)]
    rows = _rows(prof, group_by_stack_n=1)
    assert rows["replay of step"].count == 4
    (recording,) = captured.recordings
    events = [event for event in prof.events() if not event.name.startswith("replay")]
    assert [event.name for event in events] == 4 * [line.name for line in recording.lines()]
    assert all(event.nbytes > 0 for event in events)
    assert "test_profiler.py:" in rows["gelu"].stack[0]
    whole = rows["replay of step"]
    assert whole.cpu_time_total >= sum(event.cpu_time_total for event in events)
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        np.testing.assert_array_equal(p.detach().numpy(), q.detach().numpy())


def test_a_trace_is_what_viewers_read(tmp_path):
    _, step = _step()
    with profile(with_stack=True, record_shapes=True) as prof:
        step()
    prof.export_chrome_trace(tmp_path / "trace.json")
    trace = json.loads((tmp_path / "trace.json").read_text())
    rows = trace["traceEvents"]
    assert len(rows) == len(prof.events())
    assert all(row["ph"] == "X" and row["dur"] >= 0 and row["ts"] > 0 for row in rows)
    linear = next(row for row in rows if row["name"] == "linear")
    assert linear["cat"] == "cpu_op"
    assert linear["args"]["Input Dims"] == [[5, 6], [8, 6], [8]]
    assert "test_profiler.py" in linear["args"]["Source"]
    assert next(row for row in rows if row["name"] == "forward")["cat"] == "user_annotation"


def test_a_table_is_sorted_and_cut():
    x = tl.ones(4)
    with profile(with_stack=True) as prof:
        for _ in range(3):
            x.exp()
        x.log()
    table = prof.key_averages(group_by_stack_n=1).table(
        sort_by="count", row_limit=1, header="four calls", max_src_column_width=12
    )
    lines = table.splitlines()
    assert lines[1] == "four calls"
    assert lines[3].split()[0] == "Name"
    assert "Source Location" in lines[3]
    row = lines[5].split()
    assert (row[0], row[6]) == ("exp", "3")
    assert row[-1].startswith("...")
    assert len(row[-1]) == 12
    assert not any(line.startswith("log") for line in lines)
    assert "Self CPU time total: " in table
    with pytest.raises(ValueError, match="sort_by='speed'"):
        prof.key_averages().table(sort_by="speed")
    assert prof.key_averages().total_average().count == 4


def test_a_schedule_looks_at_some_steps():
    when = schedule(wait=1, warmup=1, active=2, repeat=2, skip_first=1)
    names = "NONE NONE WARMUP RECORD RECORD_AND_SAVE NONE WARMUP RECORD RECORD_AND_SAVE NONE NONE"
    assert [when(i) for i in range(11)] == [ProfilerAction[name] for name in names.split()]
    ready = []
    x = tl.ones(4)
    with profile(schedule=when, on_trace_ready=lambda p: ready.append(p.events())) as prof:
        for _ in range(11):
            x.exp()
            prof.step()
    assert [[e.name for e in events] for events in ready] == [
        ["ProfilerStep#3", "exp", "ProfilerStep#4", "exp"],
        ["ProfilerStep#7", "exp", "ProfilerStep#8", "exp"],
    ]
    with pytest.raises(ValueError, match="active must be positive"):
        schedule(wait=1, warmup=0, active=0)


def test_other_threads_are_left_alone():
    with profile() as prof:
        thread = threading.Thread(target=lambda: tl.ones(3).exp())
        thread.start()
        thread.join()
    assert not prof.events()


def test_an_error_leaves_everything_usable():
    x = tl.ones(3)
    with (
        pytest.raises(ValueError, match="broadcast"),
        profile() as prof,
        record_function("block"),
    ):
        x.add(tl.ones(4))
    assert [event.name for event in prof.events()] == ["block", "add"]
    with profile() as again:
        x.exp()
        with pytest.raises(RuntimeError, match="open in this thread"), profile():
            pass
    assert [event.name for event in again.events()] == ["exp"]


def test_a_named_function_and_a_block_without_a_profile():
    @record_function("named")
    def double(x):
        return x * 2

    assert double(tl.ones(1)).item() == 2
    with profile(activities=[ProfilerActivity.CPU]) as prof:
        double(tl.ones(1))
    assert prof.events()[0].name == "named"
    assert double.__name__ == "double"
    with pytest.raises(TypeError, match="ProfilerActivity"):
        profile(activities=["cpu"])


def test_time_on_a_gpu_is_measured_there(device):
    _, step = _step(device)
    step()
    with profile() as prof:
        step()
    rows = _rows(prof)
    on_device = [rows[name].device_time_total for name in ("linear", "gelu", "gelu_backward")]
    if device.type == "cpu":
        assert on_device == [0, 0, 0]
        return
    assert min(on_device) > 0
    assert "Self CUDA" in prof.key_averages().table()
    forward = rows["forward"]
    assert forward.self_device_time_total == 0
    assert forward.device_time_total >= rows["linear"].device_time_total


@needs_kernels
def test_a_captured_step_on_a_gpu_is_one_launch(device):
    if device.type == "cpu":
        pytest.skip("test_captured_steps_are_seen_kernel_by_kernel has it on the CPU")
    double = tl.capture(lambda x: (x * 2).exp())
    x = tl.ones(8, device=device)
    for _ in range(3):
        double(x)
    with profile() as prof:
        y = double(x)
    (row,) = [row for row in prof.key_averages() if row.key.startswith("replay of")]
    assert row.count == 1
    assert row.device_time_total > 0
    np.testing.assert_allclose(y.cpu().numpy(), np.exp(2), rtol=1e-5)
