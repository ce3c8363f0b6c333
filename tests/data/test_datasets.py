"""The named datasets: shapes, splits, formats, and what is refused."""

import hashlib
import io
import struct
import subprocess
import sys
import tarfile

import numpy as np
import pytest

from tensorlite import data
from tensorlite.data import datasets, sources
from tensorlite.data.formats import decode_cifar10, decode_idx
from tensorlite.data.sources import FileSet
from tensorlite.random import Generator

NO_SERVER = "http://127.0.0.1:9/"  # the discard port, where nobody listens


def test_digits():
    splits = data.digits()
    assert splits.task == "classification"
    assert len(splits.classes) == 10
    for split, size in ((splits.train, 1438), (splits.test, 359)):
        assert split.features.shape == (size, 1, 8, 8)
        assert split.features.dtype == np.float32
        assert split.targets.dtype == np.int64
        assert split.features.min() == 0
        assert split.features.max() == 1
    train, test = (np.bincount(split.targets) for split in (splits.train, splits.test))
    assert np.abs(test / (train + test) - 0.2).max() < 0.01, "stratified"


def test_splits_share_no_sample_and_lose_none():
    splits = data.digits()
    rows = np.concatenate([splits.train.features, splits.test.features]).reshape(1797, -1)
    with np.load(datasets.EMBEDDED / "digits.npz") as arrays:
        original = arrays["images"].reshape(1797, -1) / np.float32(16)
    assert np.array_equal(
        np.sort(rows.view("V256").ravel()), np.sort(original.view("V256").ravel())
    )


@pytest.mark.parametrize("name", ["digits", "diabetes", "mnist1d"])
def test_a_split_is_the_same_every_time(name):
    first, second = data.load(name), data.load(name)
    for a, b in zip(first.train + first.test, second.train + second.test, strict=True):
        assert np.array_equal(a, b)


def test_diabetes_is_standardised_by_its_training_samples():
    splits = data.diabetes()
    assert splits.train.features.shape == (354, 10)
    assert splits.test.features.shape == (88, 10)
    for values in splits.train:
        assert values.dtype == np.float32
        np.testing.assert_allclose(values.mean(axis=0), 0, atol=1e-5)
        np.testing.assert_allclose(values.std(axis=0), 1, atol=1e-5)
    raw = splits.target_scaling.invert(splits.test.targets)
    with np.load(datasets.EMBEDDED / "diabetes.npz") as arrays:
        assert np.isin(np.round(raw), arrays["target"]).all()
    np.testing.assert_allclose(splits.target_scaling.apply(raw), splits.test.targets, atol=1e-5)


def test_diabetes_is_learnable_by_ridge_regression():
    train, test = (split for split in (data.diabetes().train, data.diabetes().test))
    gram = train.features.T @ train.features + np.eye(10)
    weights = np.linalg.solve(gram, train.features.T @ train.targets)
    residual = test.targets - test.features @ weights
    r2 = 1 - (residual**2).sum() / ((test.targets - test.targets.mean()) ** 2).sum()
    assert 0.3 < r2 < 0.6


def test_mnist1d():
    splits = data.mnist1d()
    assert splits.train.features.shape == (4000, 1, 40)
    assert splits.test.features.shape == (1000, 1, 40)
    everything = np.concatenate([splits.train.features, splits.test.features])
    assert everything.dtype == np.float32
    np.testing.assert_allclose([everything.mean(), everything.std()], [0, 1], atol=1e-4)
    labels = np.concatenate([splits.train.targets, splits.test.targets])
    assert np.bincount(labels).tolist() == [500] * 10


def test_mnist1d_hides_the_class_from_a_linear_model():
    """The paper's logistic regression reaches 0.32: far above chance, far below a network."""
    splits = data.mnist1d()
    x, y = splits.train.features[:, 0], np.eye(10, dtype=np.float32)[splits.train.targets]
    weights = np.linalg.lstsq(np.c_[x, np.ones(len(x))], y, rcond=None)[0]
    test = np.c_[splits.test.features[:, 0], np.ones(1000)] @ weights
    accuracy = (test.argmax(axis=1) == splits.test.targets).mean()
    assert 0.2 < accuracy < 0.45


def test_mnist1d_without_noise_is_its_glyphs(monkeypatch):
    """With every deformation off, a sample is its glyph, stretched and read at 40 points."""
    from tensorlite.data import glyphs

    for constant in ("SCALE", "CORRELATED_NOISE", "WHITE_NOISE", "SHEAR"):
        monkeypatch.setattr(glyphs, constant, 0.0)
    monkeypatch.setattr(glyphs, "TRANSLATION", 1)
    monkeypatch.setattr(glyphs, "PADDING", (60, 60))
    signals, labels = glyphs.generate(20, Generator(1))
    canvas = np.zeros((10, glyphs.CANVAS))
    canvas[:, : glyphs.GLYPH_LENGTH] = glyphs.GLYPHS - 5
    canvas /= glyphs.GLYPHS.std(axis=1, keepdims=True)
    points = np.linspace(0, glyphs.CANVAS - 1, 40)
    expected = np.stack([np.interp(points, np.arange(glyphs.CANVAS), canvas[k]) for k in labels])
    expected = (expected - expected.mean()) / expected.std()
    np.testing.assert_allclose(signals, expected, atol=1e-5)


def idx(array):
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def test_idx_round_trip():
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    assert np.array_equal(decode_idx(idx(array)), array)


@pytest.mark.parametrize(
    "content", [b"", b"\x1f\x8b\x08\x00", b"\x00\x00\x0d\x01\x00\x00\x00\x00", b"\x00\x00\x08"]
)
def test_idx_refuses_another_format(content):
    with pytest.raises(ValueError, match="IDX"):
        decode_idx(content)


@pytest.mark.parametrize("change", [lambda c: c[:-1], lambda c: c + b"\x00", lambda c: c[:6]])
def test_idx_refuses_another_length(change):
    with pytest.raises(ValueError, match="IDX file"):
        decode_idx(change(idx(np.zeros((4, 5), np.uint8))))


def fake_mnist(rng):
    arrays = [
        rng.integers(0, 256, (30, 28, 28), dtype=np.uint8),
        rng.integers(0, 10, 30, dtype=np.uint8),
        rng.integers(0, 256, (7, 28, 28), dtype=np.uint8),
        rng.integers(0, 10, 7, dtype=np.uint8),
    ]
    return dict(zip(datasets.IDX_FILES, arrays, strict=True))


def installed(tmp_path, monkeypatch, name, content):
    """A set of files in $TENSORLITE_DATA, with the checksums of these files."""
    monkeypatch.setenv("TENSORLITE_DATA", str(tmp_path))
    (tmp_path / name).mkdir()
    for file, data_ in content.items():
        (tmp_path / name / file).write_bytes(data_)
    checksums = {file: hashlib.sha256(data_).hexdigest() for file, data_ in content.items()}
    return FileSet(name, checksums, ())


def test_mnist_from_files(tmp_path, monkeypatch):
    arrays = fake_mnist(np.random.default_rng(0))
    files = installed(tmp_path, monkeypatch, "mnist", {f: idx(a) for f, a in arrays.items()})
    monkeypatch.setattr(datasets, "MNIST", files)
    splits = data.load("mnist")
    assert splits.location == str(tmp_path / "mnist")
    assert splits.train.features.shape == (30, 1, 28, 28)
    assert splits.test.features.dtype == np.float32
    np.testing.assert_array_equal(
        np.round(splits.test.features[:, 0] * 255), arrays["t10k-images-idx3-ubyte"]
    )
    np.testing.assert_array_equal(splits.train.targets, arrays["train-labels-idx1-ubyte"])
    assert splits.train.targets.dtype == np.int64


def cifar_archive(batches):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in batches.items():
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def test_cifar10_from_files(tmp_path, monkeypatch):
    records = np.random.default_rng(0).integers(0, 256, (6, 4, 3073), dtype=np.uint8)
    records[..., 0] %= 10
    batches = {f"data_batch_{i + 1}.bin": records[i].tobytes() for i in range(5)}
    archive = cifar_archive(
        {"readme.html": b"<html>", "test_batch.bin": records[5].tobytes(), **batches}
    )
    files = installed(tmp_path, monkeypatch, "cifar10", {datasets.CIFAR10_ARCHIVE: archive})
    monkeypatch.setattr(datasets, "CIFAR10", files)
    splits = data.load("cifar10")
    assert splits.train.features.shape == (20, 3, 32, 32)
    assert splits.test.features.shape == (4, 3, 32, 32)
    np.testing.assert_array_equal(splits.train.targets, records[:5, :, 0].ravel())
    np.testing.assert_array_equal(
        np.round(splits.train.features[5] * 255).ravel(), records[1, 1, 1:]
    )


def test_cifar10_refuses_a_cut_record():
    with pytest.raises(ValueError, match="multiple of 3073"):
        decode_cifar10(cifar_archive({"test_batch.bin": bytes(3072)}))


@pytest.mark.skipif(
    not (sources.SYSTEM_FOLDER / "fashion-mnist").is_dir(),
    reason="Debian's package dataset-fashion-mnist is not installed",
)
def test_fashion_mnist_as_debian_installs_it(monkeypatch):
    monkeypatch.delenv("TENSORLITE_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/nowhere")
    splits = data.fashion_mnist()
    assert splits.train.features.shape == (60_000, 1, 28, 28)
    assert splits.test.features.shape == (10_000, 1, 28, 28)
    assert splits.train.features.min() == 0
    assert splits.train.features.max() == 1
    assert np.bincount(splits.train.targets).tolist() == [6000] * 10


def test_an_absent_dataset_is_an_error(tmp_path, monkeypatch):
    monkeypatch.delenv("TENSORLITE_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(datasets, "MNIST", FileSet("mnist", datasets.MNIST.sha256, (NO_SERVER,)))
    with pytest.raises(FileNotFoundError, match="mnist is not on this machine"):
        data.mnist()


def test_text_of_python():
    splits = data.text()
    assert splits.task == "language"
    assert len(splits.train.features) > 100_000
    assert np.array_equal(splits.train.features[1:], splits.train.targets[:-1])
    assert splits.train.features.max() < len(splits.classes)


def test_text_of_a_file(tmp_path):
    path = tmp_path / "poem.txt"
    path.write_text("naïve café\n" * 20, encoding="utf-8")
    splits = data.load("text", path=path)
    vocabulary = data.Vocabulary(splits.classes)
    assert vocabulary.decode(splits.train.features[:11]) == "naïve café\n"
    assert np.array_equal(vocabulary.encode("café"), splits.train.features[6:10])
    assert len(splits.train.features) + len(splits.test.features) == 220 - 2
    with pytest.raises(ValueError, match=r"\['x'\] are not among"):
        vocabulary.encode("fax")


def test_text_refuses_what_is_no_text(tmp_path):
    path = tmp_path / "file"
    with pytest.raises(FileNotFoundError, match="file"):
        data.text(path)
    path.write_bytes(b"short")
    with pytest.raises(ValueError, match="5 characters: too short"):
        data.text(path)
    path.write_bytes(b"\xff\xfe" * 100)
    with pytest.raises(ValueError, match="not UTF-8"):
        data.text(path)


def test_unknown_names_get_suggestions():
    with pytest.raises(ValueError, match=r"'fashon_mnist': did you mean 'fashion-mnist'"):
        data.load("fashon_mnist")
    with pytest.raises(ValueError, match=r"unknown dataset 'zebra': there are digits, diabetes"):
        data.load("zebra")


def test_describe_tells_what_is_there(tmp_path, monkeypatch):
    monkeypatch.setenv("TENSORLITE_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(sources, "SYSTEM_FOLDER", tmp_path / "system")
    rows = {row.name: row for row in data.describe()}
    assert tuple(rows) == data.names()
    assert rows["digits"].present
    assert rows["mnist"] == (
        "mnist",
        "classification",
        "60,000 + 10,000 images, 1×28×28, 10 classes",
        "download from https://ossci-datasets.s3.amazonaws.com/mnist/",
        False,
    )
    (tmp_path / "mnist").mkdir()
    for file in datasets.IDX_FILES:
        (tmp_path / "mnist" / f"{file}.gz").touch()
    row = next(row for row in data.describe() if row.name == "mnist")
    assert row.present
    assert row.where == str(tmp_path / "mnist")


@pytest.mark.parametrize("name", ["digits", "diabetes", "mnist1d"])
def test_described_sizes_are_true(name):
    splits = data.load(name)
    row = next(row for row in data.describe() if row.name == name)
    assert row.task == splits.task
    assert row.size.startswith(f"{len(splits.train.targets):,} + {len(splits.test.targets):,} ")
    data.check_split(*splits.train, classes=len(splits.classes) or None)


def test_importing_data_imports_no_network():
    code = "import sys, tensorlite.data; print({'urllib.request', 'tarfile'} & set(sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "set()"
