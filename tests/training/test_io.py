"""tl.save and tl.load: what is written comes back, or nothing is written."""

import json
import math
import os

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import tensorlite as tl
from tensorlite.io import load, save, write_atomically
from tensorlite.tensor import Tensor

DTYPES = [np.float16, np.float32, np.float64, np.int64, np.uint8, np.bool_, ml_dtypes.bfloat16]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3)])
def test_every_dtype_and_shape_comes_back(tmp_path, dtype, shape):
    array = np.arange(math.prod(shape)).reshape(shape).astype(dtype)
    save(tmp_path / "a.safetensors", {"a": array})
    loaded = load(tmp_path / "a.safetensors")["a"]
    assert isinstance(loaded, Tensor)
    assert loaded.dtype == dtype
    assert loaded.shape == shape
    assert loaded.array.tobytes() == array.tobytes()


def test_views_in_any_memory_order_come_back(tmp_path):
    """safetensors issue 825: it would write a transposed array's memory as if it were in order."""
    w = np.arange(24.0).reshape(2, 3, 4)
    views = {"T": w.T, "step": w[:, ::2], "flip": w[::-1], "fortran": np.asfortranarray(w[0])}
    save(tmp_path / "w.safetensors", views)
    loaded = load(tmp_path / "w.safetensors")
    for name, view in views.items():
        np.testing.assert_array_equal(loaded[name].array, view)


def test_nested_state_comes_back(tmp_path):
    state = {
        "model": {"0.weight": np.ones((2, 2), np.float32)},
        "groups": [{"lr": 0.1, "betas": (0.9, 0.999), "nesterov": False}],
        "best": math.inf,
        "note": None,
        "count": np.int64(3),
        "empty": {},
    }
    save(tmp_path / "s.safetensors", state)
    loaded = load(tmp_path / "s.safetensors")
    np.testing.assert_array_equal(loaded.pop("model")["0.weight"].array, np.ones((2, 2)))
    groups = [{"lr": 0.1, "betas": [0.9, 0.999], "nesterov": False}]
    assert loaded == {"groups": groups, "best": math.inf, "note": None, "count": 3, "empty": {}}


def test_other_libraries_read_ours_and_we_read_theirs(tmp_path):
    arrays = {"layer.weight": np.arange(6.0).reshape(2, 3), "layer.bias": np.zeros(2)}
    save(tmp_path / "ours.safetensors", arrays)
    save_file(arrays, tmp_path / "theirs.safetensors", {"format": "pt"})
    for loaded in (
        load_file(tmp_path / "ours.safetensors"),
        load(tmp_path / "theirs.safetensors"),
    ):
        assert sorted(loaded) == sorted(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(np.asarray(loaded[name]), array)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"model": {"f": math.sin}}, r"model\.f is a builtin_function"),
        ({"state": {0: 1}}, r"state has the key 0"),
        ({"a.b": np.ones(1), "a": {"b": np.ones(1)}}, r"two tensors have the path 'a\.b'"),
    ],
)
def test_what_cannot_be_saved_is_refused_and_the_old_file_stays(tmp_path, state, message):
    path = tmp_path / "s.safetensors"
    path.write_text("old")
    with pytest.raises((TypeError, ValueError), match=message):
        save(path, state)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("size", [0, 4, 30, -1])
def test_truncated_file_is_named(tmp_path, size):
    path = tmp_path / "cut.safetensors"
    save(path, {"a": np.ones(100)})
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(
        ValueError, match=r"cut\.safetensors cannot be read: it is truncated or not a safetensors"
    ):
        load(path)


def test_other_bad_files_are_named(tmp_path):
    (tmp_path / "text").write_text("these are words, not tensors")
    with pytest.raises(
        ValueError, match="text cannot be read: it is truncated or not a safetensors file"
    ):
        load(tmp_path / "text")
    with pytest.raises(FileNotFoundError, match="nowhere: there is no such file"):
        load(tmp_path / "nowhere")
    with pytest.raises(IsADirectoryError, match="is a folder"):
        load(tmp_path)
    save_file({"a": np.ones(1)}, tmp_path / "odd", {"tensorlite": json.dumps({"$tensor": "b"})})
    with pytest.raises(ValueError, match="odd: what its tensors belong to is damaged"):
        load(tmp_path / "odd")


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "f"
    path.write_text("old")

    def write(name):
        with open(name, "w") as file:
            file.write("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, write)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["f"]


def test_they_are_public():
    assert (tl.save, tl.load) == (save, load)


def test_files_are_readable_as_any_other(tmp_path):
    path = tmp_path / "f"
    (tmp_path / "plain").touch()
    write_atomically(path, lambda name: open(name, "w").close())
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode
