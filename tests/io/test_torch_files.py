"""Files that torch wrote are read without torch; see ``torch_files/make.py``."""

import contextlib
import io
import os
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

import tensorlite as tl
from tensorlite.nn import Parameter

FILES = Path(__file__).parent / "torch_files"
VALUES = np.array([[0.0, 1.0, 2.0], [4.0, 8.0, 0.5]])


@pytest.mark.parametrize("form", ["", "_legacy"])
def test_every_dtype(form):
    loaded = tl.load(FILES / f"dtypes{form}.pt")
    assert len(loaded) == 20
    for name, tensor in loaded.items():
        assert tensor.dtype.name == name
        if name == "float8_e8m0fnu":  # has no 0
            assert tensor.array.astype(float)[:, 1:].tolist() == VALUES[:, 1:].tolist()
            continue
        expected = VALUES.astype(tensor.dtype)
        np.testing.assert_array_equal(tensor.array, expected, err_msg=name)


@pytest.mark.parametrize("form", ["", "_legacy"])
def test_nested_content_and_views(form):
    loaded = tl.load(FILES / f"nested{form}.pt")
    base = np.arange(12.0, dtype=np.float32).reshape(3, 4)
    for name, view in {
        "base": base,
        "row": base[1],
        "transposed": base.T,
        "every_second": base[:, ::2],
        "expanded": np.full((2, 3), 5.0),
        "conj": [1 - 2j],
        "number": 2.5,
        "empty": np.zeros((0, 3)),
        "frozen": [0.0],
    }.items():
        np.testing.assert_array_equal(loaded[name].detach().array, view, err_msg=name)
    loaded["base"].array[1, 1] = 100  # they share memory, as they did
    assert [loaded[n].array[i] for n, i in (("row", 1), ("transposed", (1, 1)))] == [100, 100]
    assert loaded["tied"] is loaded["parameter"]
    kinds = {n: (type(loaded[n]), loaded[n].requires_grad) for n in ("parameter", "frozen", "leaf")}
    assert kinds == {
        "parameter": (Parameter, True),
        "frozen": (Parameter, False),
        "leaf": (tl.Tensor, True),
    }
    assert type(loaded["ordered"]) is OrderedDict
    assert loaded["ordered"]["b"].tolist() == [1.0]
    assert (type(loaded["size"]), loaded["size"]) == (tl.Size, (2, 3))
    assert (loaded["dtype"], str(loaded["device"]), str(loaded["cuda"])) == (
        np.float16,
        "cpu",
        "cuda:1",
    )
    plain = [None, True, -1, 2**40, 1.5, "ä", b"\x00\xff", (1, [2]), {3}, {4: 5}, 1j]
    assert loaded["plain"] == plain
    half, seven, array = loaded["numpy"]
    assert (half, seven, array.dtype, array.tolist()) == (0.5, 7, "i2", [[0, 1, 2], [3, 4, 5]])


def test_a_model_and_its_optimizer_go_on():
    saved = tl.load(FILES / "training.pt", map_location="cpu", weights_only=True)
    model = tl.nn.Sequential(
        tl.nn.Linear(3, 4), tl.nn.BatchNorm1d(4), tl.nn.ReLU(), tl.nn.Linear(4, 2)
    )
    model.load_state_dict(saved["model"])
    model.eval()
    np.testing.assert_allclose(model(saved["x"]).detach().array, saved["y"].array, rtol=1e-5)
    assert sorted(saved["optimizer"]["state"]) == [0, 1, 2, 3, 4, 5]
    assert saved["optimizer"]["param_groups"][0]["betas"] == (0.9, 0.999)


def test_where_tensors_go():
    seen = []

    def place(tensor, where):
        seen.append((tensor.shape, where))
        return tensor

    tl.load(FILES / "training.pt", place)
    assert ((4, 3), "cpu") in seen
    for location in ("cpu", {"cpu": "cpu"}, {"cuda:0": "cpu"}, tl.device("cpu")):
        assert str(tl.load(FILES / "training.pt", location)["x"].device) == "cpu"


# --- what is refused --------------------------------------------------------------------------


def archive(data, **files):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as made:
        made.writestr("archive/data.pkl", data)
        for name, content in files.items():
            made.writestr(f"archive/{name}", content)
    stream.seek(0)
    return stream


class Evil:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def test_a_module_is_refused_by_name():
    for options in ({}, {"weights_only": False}):
        with pytest.raises(
            pickle.UnpicklingError,
            match=r"module\.pt cannot be loaded: it holds torch\.nn\.modules\.linear\.Linear",
        ):
            tl.load(FILES / "module.pt", **options)


@pytest.mark.parametrize("protocol", range(2, 6))
@pytest.mark.parametrize(
    ("function", "arguments", "name"),
    [
        (os.system, ("touch evil",), r"\w+\.system"),
        (eval, ("1",), r"\w*builtin\w*\.eval"),
        (getattr, ("", "join"), r"\w*builtin\w*\.getattr"),
        (io.open, ("evil", "w"), r"\w+\.open"),
        (OrderedDict.fromkeys, ("ab",), r"\w*builtin\w*\.getattr|collections.OrderedDict.fromkeys"),
        (np.load, ("evil",), r"numpy.*\.load"),
        (tl.Tensor, (3,), r"tensorlite\.tensor\.Tensor"),
    ],
)
def test_nothing_is_run(tmp_path, monkeypatch, function, arguments, name, protocol):
    monkeypatch.chdir(tmp_path)
    data = pickle.dumps({"a": Evil(function, *arguments)}, protocol)
    with pytest.raises(pickle.UnpicklingError, match=f"it holds {name}, which is neither"):
        tl.load(archive(data))
    legacy = b"".join(
        pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})
    )
    with pytest.raises(pickle.UnpicklingError, match=f"it holds {name}"):
        tl.load(io.BytesIO(legacy + data))
    with pytest.raises((pickle.UnpicklingError, ValueError)):
        tl.load(io.BytesIO(data))
    assert not os.listdir(tmp_path)


def test_a_pickle_cannot_change_classes():
    """The instruction BUILD sets attributes of what it is given, also of a class."""
    for module, name in (("torch", "Size"), ("collections", "Counter"), ("numpy", "dtype")):
        state = b"N}X\x05\x00\x00\x00numelK\x01s\x86b"  # (None, {"numel": 1}), BUILD
        with pytest.raises(ValueError, match="damaged"):
            tl.load(archive(b"\x80\x02c" + f"{module}\n{name}\n".encode() + state + b"."))
    assert tl.Size([2, 3]).numel() == 6


@pytest.mark.parametrize("file", ["dtypes.pt", "nested_legacy.pt", "training.pt"])
def test_damaged_files_are_named(tmp_path, file):
    whole = (FILES / file).read_bytes()
    path = tmp_path / "cut.pt"
    for size in (1, 3, 10, len(whole) // 3, len(whole) // 2, len(whole) - 3):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match=r"cut\.pt cannot be read"):
            tl.load(path)


def test_random_damage_never_does_more_than_raise(tmp_path):
    draw = np.random.default_rng(0)
    for file in ("nested_legacy.pt", "nested.pt"):
        whole = np.frombuffer((FILES / file).read_bytes(), np.uint8)
        for _ in range(150):
            damaged = whole.copy()
            damaged[draw.integers(0, whole.size, 3)] = draw.integers(0, 256, 3)
            with contextlib.suppress(ValueError, pickle.UnpicklingError, MemoryError):
                tl.load(io.BytesIO(damaged.tobytes()))


def test_other_archives_are_named():
    with pytest.raises(ValueError, match="TorchScript"):
        tl.load(archive(b"", **{"constants.pkl": b""}))
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as made:
        made.writestr("word/document.xml", "")
    stream.seek(0)
    with pytest.raises(ValueError, match="not one of torch"):
        tl.load(stream)


def test_tensors_outside_their_storage_are_refused():
    whole = zipfile.ZipFile(FILES / "dtypes.pt").read("dtypes/data.pkl")
    small = archive(whole, **{f"data/{i}": b"\x00" * 4 for i in range(20)})
    with pytest.raises(ValueError, match="too few"):
        tl.load(small)


def test_tied_tensors_stay_tied(tmp_path):
    w = tl.ones(3)
    tl.save({"a": w, "b": w.detach(), "c": tl.ones(3)}, tmp_path / "t.pt")
    loaded = tl.load(tmp_path / "t.pt")
    loaded["a"].array[0] = 7
    assert (loaded["b"].tolist(), loaded["c"].tolist()) == ([7, 1, 1], [1, 1, 1])


def test_torch_reads_what_we_write(tmp_path):
    torch = pytest.importorskip("torch")
    values = {
        "w": tl.arange(6.0).reshape(2, 3).mT,
        "p": Parameter(tl.ones(2)),
        "h": tl.ones(2).to("bfloat16"),
        "u": tl.tensor(np.arange(3, dtype=np.uint16)),
        "big": 2**80,
        "negative": -(2**40),
        "list": [1, (2.5, None), {"é": True}, {3: OrderedDict(x=1)}],
        "size": tl.Size([1]),
        "dtype": tl.float16,
        "device": tl.device("cpu"),
        "set": {1, 2},
    }
    tl.save(values, tmp_path / "ours.pt")
    loaded = torch.load(tmp_path / "ours.pt")
    assert loaded["w"].tolist() == values["w"].tolist()
    assert isinstance(loaded["p"], torch.nn.Parameter)
    assert (loaded["h"].dtype, loaded["u"].tolist()) == (torch.bfloat16, [0, 1, 2])
    for name in ("big", "negative", "list", "set"):
        assert loaded[name] == values[name]
    assert loaded["size"] == torch.Size([1])
    assert (loaded["dtype"], loaded["device"]) == (torch.float16, torch.device("cpu"))


@pytest.mark.parametrize("form", ["safetensors", "pt"])
def test_tensors_of_the_device_go_and_come_back(tmp_path, device, form):
    strided = tl.arange(6.0, device=device).reshape(2, 3).mT
    half = tl.ones(2, device=device).to("bfloat16")
    state = {"w": strided, "nested": [strided[1], {"h": half}]}
    tl.save(state, tmp_path / f"s.{form}")
    for location in (device, str(device), lambda tensor, where: str(device), {"cpu": device}):
        loaded = tl.load(tmp_path / f"s.{form}", map_location=location)
        tensors = [loaded["w"], loaded["nested"][0], loaded["nested"][1]["h"]]
        if form == "pt" or not isinstance(location, dict):
            assert {t.device for t in tensors} == {device}
        assert tensors[0].to("cpu").tolist() == [[0, 3], [1, 4], [2, 5]]
        assert tensors[2].dtype.name == "bfloat16"
    assert str(tl.load(tmp_path / f"s.{form}")["w"].device) == "cpu"
    there = tl.load(FILES / "nested.pt", map_location=device)
    assert {there[name].device for name in ("transposed", "parameter", "empty")} == {device}
