"""Batches on CUDA are the batches on the CPU."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

import tensorlite as tl
from tensorlite.data import DataLoader, TensorDataset


@pytest.mark.parametrize("prefetch", [0, 2])
def test_batches(prefetch):
    x = np.arange(60, dtype=np.float32).reshape(20, 3)
    y = np.arange(20)
    loaders = [
        DataLoader(
            TensorDataset(x, y, x.astype(ml_dtypes.bfloat16)),
            batch_size=6,
            shuffle=True,
            generator=tl.Generator(3),
            device=device,
            prefetch=prefetch,
        )
        for device in ("cpu", "cuda")
    ]
    for _ in range(2):
        for here, there in zip(*loaders, strict=True):
            for a, b in zip(here, there, strict=True):
                assert (str(b.device), b.dtype) == ("cuda:0", a.dtype)
                np.testing.assert_array_equal(b.to("cpu").numpy(), a.numpy())


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_dataset_that_is_on_the_device(device):
    x, y = np.arange(10.0).reshape(5, 2), np.arange(5)
    dataset = TensorDataset(tl.tensor(x, device="cuda"), y)
    batches = list(DataLoader(dataset, batch_size=2, device=device))
    assert {str(part.device).split(":")[0] for batch in batches for part in batch} == {device}
    for i, whole in enumerate((x, y)):
        parts = [batch[i].to("cpu").numpy() for batch in batches]
        np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_nested_batches():
    def collate(samples):
        return {"x": [np.stack([s[0] for s in samples])], "n": len(samples)}

    x = np.arange(10.0).reshape(5, 2)
    loader = DataLoader(TensorDataset(x), batch_size=2, collate_fn=collate, device="cuda")
    batches = list(loader)
    assert [batch["n"] for batch in batches] == [2, 2, 1]
    found = np.concatenate([batch["x"][0].to("cpu").numpy() for batch in batches])
    np.testing.assert_array_equal(found, x)


def test_resuming_in_mid_epoch():
    x = np.arange(40.0)
    first = DataLoader(TensorDataset(x), batch_size=4, shuffle=True, device="cuda")
    batches = iter(first)
    next(batches)
    next(batches)
    second = DataLoader(TensorDataset(x), batch_size=4, shuffle=True, device="cuda")
    second.load_state_dict(first.state_dict())
    rest = [batch[0].to("cpu").numpy() for batch in second]
    np.testing.assert_array_equal(rest, [batch[0].to("cpu").numpy() for batch in batches])


def _left_by_dropping(loader):
    return next(iter(loader))


def _left_by_break(loader):
    for batch in loader:
        kept = batch
        break
    return kept


def _left_by_an_error(loader):
    with pytest.raises(KeyError):
        for batch in loader:
            kept = batch
            raise KeyError
    return kept


@pytest.mark.parametrize("leave", [_left_by_dropping, _left_by_break, _left_by_an_error])
def test_copies_under_way_do_not_write_to_memory_of_others(leave):
    """Catches the fault where work is put off: CUDA_EMULATOR_ASYNC=lazy, or a GPU that is busy."""
    rows = 2048
    x = np.arange(8.0 * rows, dtype=np.float32).reshape(8, rows)
    batch = leave(DataLoader(TensorDataset(x), batch_size=1, device="cuda"))
    others = [tl.zeros((rows,), device="cuda") for _ in range(8)]
    tl.cuda.synchronize()
    for other in others:
        np.testing.assert_array_equal(other.to("cpu").numpy(), np.zeros(rows))
    np.testing.assert_array_equal(batch[0].to("cpu").numpy(), x[:1])


def test_workers_make_batches_for_the_device():
    x = np.arange(60000, dtype=np.float32).reshape(20, 3000)
    options = {"batch_size": 6, "num_workers": 2, "device": "cuda"}
    for _ in range(2):
        batches = list(DataLoader([(row, i) for i, row in enumerate(x)], **options))
        found = np.concatenate([rows.to("cpu").numpy() for rows, _ in batches])
        np.testing.assert_array_equal(found, x)
        assert str(batches[0][1].device) == "cuda:0"
