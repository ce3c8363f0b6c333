"""tl.save and tl.load: what is written comes back, or nothing is written."""

import gc
import io
import json
import math
import os
import subprocess
import sys
import weakref
from collections import OrderedDict

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import tensorlite as tl
from tensorlite.io import load, safetensors, save, write_atomically
from tensorlite.tensor import Tensor, tensor_of

DTYPES = [
    *(np.float16, np.float32, np.float64, np.bool_, np.complex64),
    *(np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64),
    *(ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2),
]
FORMS = ["safetensors", "pt"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3)])
def test_every_dtype_and_shape_comes_back(tmp_path, dtype, shape, form):
    array = np.arange(math.prod(shape)).reshape(shape).astype(dtype)
    save({"a": array}, tmp_path / f"a.{form}")
    loaded = load(tmp_path / f"a.{form}")["a"]
    assert isinstance(loaded, Tensor)
    assert loaded.dtype == dtype
    assert loaded.shape == shape
    assert loaded.array.tobytes() == array.tobytes()
    assert loaded.array.flags.writeable
    assert loaded.array.flags.aligned


@pytest.mark.parametrize("form", FORMS)
def test_views_in_any_memory_order_come_back(tmp_path, form):
    """safetensors issue 825: it would write a transposed array's memory as if it were in order."""
    w = np.arange(24.0).reshape(2, 3, 4)
    views = {"T": w.T, "step": w[:, ::2], "flip": w[::-1], "fortran": np.asfortranarray(w[0])}
    views["big_endian"] = w.astype(">f8")
    save(views, tmp_path / f"w.{form}")
    loaded = load(tmp_path / f"w.{form}")
    for name, view in views.items():
        np.testing.assert_array_equal(loaded[name].array, view)


NESTED = {
    "model": OrderedDict({"0.weight": tensor_of(np.ones((2, 2), np.float32))}),
    "groups": [{"lr": 0.1, "betas": (0.9, 0.999), "nesterov": False}],
    "state": {0: {"step": 3}, 1: {"step": -(2**70)}},
    "best": math.inf,
    "note": None,
    "count": np.int64(3),
    "empty": {},
    "ids": {1, 2},
    "size": tl.Size([2, 3]),
    "dtype": np.dtype("float16"),
    "device": tl.device("cpu"),
}


@pytest.mark.parametrize("form", FORMS)
def test_nested_state_comes_back(tmp_path, form):
    save(NESTED, tmp_path / f"s.{form}")
    loaded = load(tmp_path / f"s.{form}")
    model = loaded.pop("model")
    assert type(model) is OrderedDict
    np.testing.assert_array_equal(model["0.weight"].array, np.ones((2, 2)))
    assert loaded == {key: value for key, value in NESTED.items() if key != "model"}
    assert list(map(type, loaded["groups"][0]["betas"])) == [float, float]
    assert isinstance(loaded["groups"][0]["betas"], tuple)
    assert isinstance(loaded["size"], tl.Size)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "value",
    [3, [1, (2,)], (), {}, {0: 1}, {"$tensor": 1}, {"$x": {"$y": 2}}, "text", {(1, 2): [None]}],
    ids=repr,
)
def test_any_object_comes_back(tmp_path, value, form):
    save(value, tmp_path / f"o.{form}")
    assert load(tmp_path / f"o.{form}") == value


@pytest.mark.parametrize("value", [b"\x00\xff", 1 + 2j], ids=repr)
def test_more_objects_come_back(tmp_path, value):
    save(value, tmp_path / "o")
    assert load(tmp_path / "o") == value


@pytest.mark.parametrize("form", FORMS)
def test_a_tensor_alone_comes_back(tmp_path, form):
    save(tl.tensor([1.5, 2.5]), tmp_path / f"t.{form}")
    assert load(tmp_path / f"t.{form}").tolist() == [1.5, 2.5]
    save([tl.tensor([1.0]), tl.tensor([2])], tmp_path / f"t.{form}")
    assert [t.tolist() for t in load(tmp_path / f"t.{form}")] == [[1.0], [2]]


def test_names_that_the_format_uses_are_no_obstacle(tmp_path):
    ones = np.ones(1)
    state = {"__metadata__": ones, "a.b": ones * 2, "a": {"b": ones * 3}, "tensor": ones * 4}
    save(state, tmp_path / "n")
    loaded = load(tmp_path / "n")
    assert list(loaded) == list(state)
    assert [loaded["__metadata__"].item(), loaded["a.b"].item(), loaded["tensor"].item()] == [
        1,
        2,
        4,
    ]
    assert loaded["a"]["b"].item() == 3
    save({"__metadata__": ones}, tmp_path / "n")
    assert load(tmp_path / "n")["__metadata__"].item() == 1


def test_other_libraries_read_ours_and_we_read_theirs(tmp_path):
    arrays = {"layer.weight": np.arange(6.0).reshape(2, 3), "odd": np.ones(3, bool)}
    arrays["layer.bias"] = np.zeros(2, np.float32)
    save(arrays, tmp_path / "ours.safetensors")
    save_file(arrays, tmp_path / "theirs.safetensors", {"format": "pt"})
    for loaded in (
        load_file(tmp_path / "ours.safetensors"),
        load(tmp_path / "theirs.safetensors"),
    ):
        assert sorted(loaded) == sorted(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(np.asarray(loaded[name]), array)
    assert list(load(tmp_path / "ours.safetensors")) == list(arrays)


def test_open_files(tmp_path):
    buffer = io.BytesIO()
    save({"a": tl.tensor([1.0])}, buffer)
    buffer.seek(0)
    assert load(buffer)["a"].tolist() == [1.0]
    with open(tmp_path / "f", "wb") as file:
        save([1, 2], file)
    with open(tmp_path / "f", "rb") as file:
        assert load(file) == [1, 2]
    with open(tmp_path / "g", "wb") as file:
        file.write(b"12345")
        save([1, 2], file)
    with open(tmp_path / "g", "rb") as file:
        file.seek(5)
        assert load(file) == [1, 2]


def test_arguments_the_wrong_way_round_are_named(tmp_path):
    for wrong in (lambda: save(tmp_path / "a", {"x": 1}), lambda: save({"x": 1}, {"y": 2})):
        with pytest.raises(TypeError, match="the object comes first, then the file"):
            wrong()
    with pytest.raises(TypeError, match=r"a dict has no read\(\)"):
        load({"x": 1})


def test_floats_become_what_is_asked_for(tmp_path):
    state = {"a": np.ones(3, ml_dtypes.bfloat16), "n": np.arange(3), "b": np.ones(2) / 3}
    for form in FORMS:
        save(state, tmp_path / f"s.{form}")
        loaded = load(tmp_path / f"s.{form}", dtype="float32")
        assert [str(t.dtype) for t in loaded.values()] == ["float32", "int64", "float32"]
        assert loaded["a"].tolist() == [1, 1, 1]
        assert load(tmp_path / f"s.{form}", dtype="bfloat16")["b"].dtype.name == "bfloat16"


def test_bfloat16_in_a_fresh_process(tmp_path):
    save({"a": np.full(2, 1.5, ml_dtypes.bfloat16)}, tmp_path / "b")
    script = """
import sys
import weakref
if "without" in sys.argv: sys.modules["ml_dtypes"] = None
import tensorlite as tl
if "float32" in sys.argv:
    print(tl.load(sys.argv[1], dtype="float32")["a"].tolist())
else:
    print(tl.load(sys.argv[1])["a"])
"""

    def run(*options):
        return subprocess.run(
            [sys.executable, "-c", script, str(tmp_path / "b"), *options],
            capture_output=True,
            text=True,
            check=False,
        )

    assert run().stdout == "tensor([1.5, 1.5], dtype=bfloat16)\n"
    assert run("without", "float32").stdout == "[1.5, 1.5]\n"
    last = run("without").stderr.splitlines()[-1]
    assert last.endswith(': bfloat16 needs ml_dtypes: pip install "tensorlite[bf16]"')


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"model": {"f": math.sin}}, r"model\.f is a builtin_function"),
        ({"state": {object: 1}}, r"state.*type"),
        ({"a": np.array(["x"])}, r"a has the dtype (<U1|str)"),
        ({"a": np.array([{}])}, r"a has the dtype object"),
        ({"m": tl.nn.Linear(1, 1)}, r"m is a Linear, which cannot be saved"),
    ],
)
def test_what_cannot_be_saved_is_refused_and_the_old_file_stays(tmp_path, state, message, form):
    path = tmp_path / f"s.{form}"
    path.write_text("old")
    with pytest.raises(TypeError, match=message):
        save(state, path)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("size", [0, 4, 30, -1])
def test_truncated_file_is_named(tmp_path, size):
    path = tmp_path / "cut.safetensors"
    save({"a": np.ones(100)}, path)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(
        ValueError,
        match=r"cut\.safetensors cannot be read: it is truncated, damaged or not a safetensors",
    ):
        load(path)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("[]", "table of contents"),
        ('{"a"', "damaged"),
        ('{"a": 3}', "entry of tensor 'a'"),
        ('{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 9]}}', "place of tensor 'a'"),
        ('{"a": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}}', "place of tensor 'a'"),
        ('{"a": {"dtype": "X9", "shape": [2], "data_offsets": [0, 8]}}', "dtype 'X9', unknown"),
        ('{"a": {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]}}', "shape"),
        ('{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}', "8 bytes of tensors"),
    ],
)
def test_damaged_tables_are_named(tmp_path, table, message):
    text = table.encode()
    path = tmp_path / "bad"
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(8))
    with pytest.raises(ValueError, match=message):
        load(path)


def test_other_bad_files_are_named(tmp_path):
    (tmp_path / "text").write_text("these are words, not tensors")
    with pytest.raises(
        ValueError, match="text cannot be read: it is truncated, damaged or not a safetensors file"
    ):
        load(tmp_path / "text")
    with pytest.raises(FileNotFoundError, match="nowhere: there is no such file"):
        load(tmp_path / "nowhere")
    with pytest.raises(IsADirectoryError, match="is a folder, and no checkpoint is in it"):
        load(tmp_path)
    with open(tmp_path / "odd", "wb") as file:
        safetensors.write(file, {"a": np.ones(1)}, {"tensorlite": json.dumps({"$tensor": "b"})})
    with pytest.raises(ValueError, match="odd: what its tensors belong to is damaged"):
        load(tmp_path / "odd")


@pytest.mark.parametrize("nested", [True, False])
def test_a_file_whose_digest_is_not_found_is_refused(tmp_path, nested):
    path = tmp_path / "f"
    save({"a": np.ones(1), **({"b": [1]} if nested else {})}, path)
    content = path.read_bytes()
    assert content.count(b"tensorlite.digest") == 1
    path.write_bytes(content.replace(b"tensorlite.digest", b"tensorlite.digess"))
    with pytest.raises(ValueError, match=r"and no 'tensorlite\.digest', with which it was written"):
        load(path)


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


@pytest.mark.parametrize("umask", [0o022, 0o002, 0o077])
def test_files_are_readable_as_any_other(tmp_path, umask):
    before = os.umask(umask)
    try:
        (tmp_path / "plain").touch()
        save({"a": np.ones(1)}, tmp_path / "f")
        save({"a": np.ones(1)}, tmp_path / "f.pt")
    finally:
        os.umask(before)
    expected = (tmp_path / "plain").stat().st_mode
    assert (tmp_path / "f").stat().st_mode == expected
    assert (tmp_path / "f.pt").stat().st_mode == expected
    (tmp_path / "f").chmod(0o640)
    save({"a": np.ones(2)}, tmp_path / "f")
    assert (tmp_path / "f").stat().st_mode & 0o777 == 0o640


def test_links_stay_links(tmp_path):
    save({"a": np.ones(1)}, tmp_path / "target")
    (tmp_path / "link").symlink_to("target")
    save({"a": np.zeros(1)}, tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert load(tmp_path / "target")["a"].tolist() == [0]


# --- folders of Hugging Face ------------------------------------------------------------------


def sharded(folder):
    parts = {
        "model-1.safetensors": {"b": np.ones(2, ml_dtypes.bfloat16)},
        "model-2.safetensors": {"a": np.zeros(3, np.float32), "c": np.arange(2)},
    }
    for name, part in parts.items():
        save(part, folder / name)
    places = {"a": "model-2.safetensors", "b": "model-1.safetensors", "c": "model-2.safetensors"}
    index = {"metadata": {"total_size": 24}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def test_sharded_checkpoints(tmp_path):
    sharded(tmp_path)
    for path in (tmp_path, tmp_path / "model.safetensors.index.json"):
        loaded = load(path, dtype="float32")
        assert list(loaded) == ["a", "b", "c"]
        assert [str(t.dtype) for t in loaded.values()] == ["float32", "float32", "int64"]


def test_a_folder_with_one_file(tmp_path):
    save({"a": tl.ones(2)}, tmp_path / "model.safetensors")
    assert load(tmp_path)["a"].tolist() == [1, 1]
    os.remove(tmp_path / "model.safetensors")
    save({"a": tl.zeros(2)}, tmp_path / "pytorch_model.bin")
    assert load(tmp_path)["a"].tolist() == [0, 0]


def test_a_damaged_index_is_named(tmp_path):
    sharded(tmp_path)
    index = tmp_path / "model.safetensors.index.json"
    text = index.read_text()
    os.rename(tmp_path / "model-1.safetensors", tmp_path / "elsewhere")
    with pytest.raises(FileNotFoundError, match=r"model-1\.safetensors: there is no such file"):
        load(tmp_path)
    index.write_text(text.replace('"a": "model-2', '"z": "model-2').replace("model-1", "model-2"))
    with pytest.raises(ValueError, match=r"says that .* holds 'z', which it does not"):
        load(tmp_path)
    for bad in (text.replace("model-2", "../model-2"), "{}", "no JSON"):
        index.write_text(bad)
        with pytest.raises(ValueError, match="is no index of a checkpoint"):
            load(tmp_path)


def test_what_was_loaded_goes_when_nobody_holds_it(tmp_path):
    tl.save({"w": tl.ones(3), "nested": [tl.ones(2)]}, tmp_path / "s.safetensors")
    gc.collect()
    gc.disable()
    try:
        state = tl.load(tmp_path / "s.safetensors")
        kept = [weakref.ref(state["w"]), weakref.ref(state["nested"][0])]
        del state
        assert [each() for each in kept] == [None, None]
    finally:
        gc.enable()
