"""``evaluate``, ``predict``, ``env`` and ``data``."""

import subprocess
import sys

import numpy as np
import pytest
from commands import ROOT, on_cpu

import tensorlite
from tensorlite import data
from tensorlite.backend.kernels import cache
from tensorlite.backend.kernels.unavailable import KernelsUnavailable
from tensorlite.cli import cuda_state, main
from tensorlite.cli.curves import sparkline
from tensorlite.data.datasets import EMBEDDED


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """Short runs, made once."""
    folder = tmp_path_factory.mktemp("runs")
    for name, epochs in (("digits", "2"), ("diabetes", "15")):
        args = ["train", name, "--epochs", epochs, "--out", str(folder / name)]
        assert main(on_cpu(args)) == 0
    return folder


def test_evaluate_classification(tl, runs):
    status, out, _ = tl("evaluate", runs / "digits")
    assert status == 0
    assert "on 359 test samples of digits" in out
    rows = [line.split() for line in out.splitlines()[-10:]]
    counts = np.array([row[1:11] for row in rows], dtype=int)
    labels = data.digits().test.targets
    np.testing.assert_array_equal(counts.sum(axis=1), np.bincount(labels))
    assert f"accuracy   {counts.trace() / 359:.4f}" in out
    assert float(rows[3][11]) == pytest.approx(counts[3, 3] / counts[3].sum(), abs=5e-4)


def test_evaluate_regression_in_raw_units(tl, runs):
    status, out, _ = tl("evaluate", runs / "diabetes")
    assert status == 0
    rmse = float(out.split("root mean squared error")[1].split()[0])
    r2 = float(out.split("R²")[1].split()[0])
    splits = data.diabetes()
    raw = splits.target_scaling.invert(splits.test.targets)
    assert rmse == pytest.approx(raw.std() * (1 - r2) ** 0.5, rel=1e-3)


def test_predict_takes_raw_samples_of_any_form(tl, runs, tmp_path):
    with np.load(EMBEDDED / "digits.npz") as arrays:
        images = arrays["images"][:3].astype(float)
    titles = ",".join(f"p{i}" for i in range(64))
    np.save("images.npy", images)  # (3, 8, 8)
    np.savez("one.npz", images[:, None])  # (3, 1, 8, 8)
    np.savez("named.npz", features=images, other=np.ones(2))
    np.savetxt("rows.csv", images.reshape(3, 64), delimiter=",")
    np.savetxt("titles.csv", images.reshape(3, 64), delimiter=",", header=titles, comments="")
    files = ("images.npy", "one.npz", "named.npz", "rows.csv", "titles.csv")
    outputs = {tl("predict", runs / "digits", file)[1] for file in files}
    (out,) = outputs
    assert len(out.splitlines()) == 3
    index, likeliest, p = out.splitlines()[1].split()[:3]
    assert (index, likeliest) == ("1:", "1")
    assert 0.3 < float(p) <= 1
    np.save("single.npy", images[1])
    assert (
        tl("predict", runs / "digits", "single.npy")[1].split()[1:]
        == (out.splitlines()[1].split()[1:])
    )


def test_predict_gives_regression_back_in_raw_units(tl, runs):
    with np.load(EMBEDDED / "diabetes.npz") as arrays:
        features, targets = arrays["features"], arrays["target"]
    np.save("patients.npy", features)
    _, out, _ = tl("predict", runs / "diabetes", "patients.npy")
    predicted = np.array([float(line.split()[1]) for line in out.splitlines()])
    assert np.corrcoef(predicted, targets)[0, 1] > 0.5
    assert abs(predicted.mean() - targets.mean()) < targets.std() / 2


def test_data_lists_every_dataset(tl):
    status, out, _ = tl("data")
    assert status == 0
    assert [line.split()[0] for line in out.splitlines()[1:]] == list(data.names())


def test_env_says_what_is_there_and_compiles_nothing(process, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    result = process("env", before="import sys; sys.modules['cupy'] = None")
    assert result.returncode == 0, result.stderr
    assert not (tmp_path / "cache").exists()
    parts = ("BLAS", "kernels", "CuPy", "CPUs usable", "MPI")
    for shown in (tensorlite.__version__, np.__version__, *parts):
        assert shown in result.stdout


def test_env_names_what_is_wrong(tl, monkeypatch, tmp_path):
    def missing():
        raise KernelsUnavailable("no C++ compiler; install g++")

    (tmp_path / "file").touch()
    monkeypatch.setattr(cache, "place", missing)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    status, out, _ = tl("env")
    assert status == 0
    assert "problem: compiled kernels are off, NumPy runs in their place: no C++ compiler" in out
    assert f"problem: the data cache cannot be written: {tmp_path / 'file'}" in out


DRIVER = cuda_state.Driver((12, 4), ["H100"])


@pytest.mark.parametrize(
    ("packages", "nvrtc", "driver", "expected"),
    [
        ({}, {}, None, []),
        ({"cupy-cuda12x": "14.2"}, {"nvidia-cuda-nvrtc-cu12": "12.9.1"}, DRIVER, []),
        (
            {"cupy-cuda12x": "14.2", "cupy-cuda13x": "14.2"},
            {"nvidia-cuda-nvrtc-cu12": "12.9.1"},
            DRIVER,
            ["overwrite each other"],
        ),
        ({"cupy-cuda12x": "14.2"}, {}, DRIVER, ["no CUDA headers"]),
        (
            {"cupy-cuda12x": "14.2"},
            {"nvidia-cuda-nvrtc-cu12": "12.9.1"},
            None,
            ["no NVIDIA driver"],
        ),
        (
            {"cupy-cuda12x": "14.2"},
            {"nvidia-cuda-nvrtc-cu12": "12.9.1"},
            cuda_state.Driver((12, 4), []),
            ["finds no device"],
        ),
        (
            {"cupy-cuda13x": "14.2"},
            {"nvidia-cuda-nvrtc": "13.0.1"},
            DRIVER,
            ["CUDA 13 libraries are installed, the driver is for CUDA 12"],
        ),
        (  # another package brought a newer compiler
            {"cupy-cuda12x": "14.2"},
            {"nvidia-cuda-nvrtc-cu12": "12.9.1", "nvidia-cuda-nvrtc": "13.1.0"},
            DRIVER,
            ["CUDA 13 libraries are installed"],
        ),
    ],
)
def test_diagnosis_of_cuda(monkeypatch, tmp_path, packages, nvrtc, driver, expected):
    monkeypatch.setattr(cuda_state, "installed", nvrtc.get)
    monkeypatch.setattr(cuda_state, "TOOLKIT", tmp_path / "none")
    monkeypatch.delenv("CUDA_PATH", raising=False)
    found = cuda_state.problems(packages, driver)
    assert len(found) == len(expected)
    for problem, part in zip(found, expected, strict=True):
        assert part in problem


def test_version_and_help(tl):
    assert tl("--version")[1] == f"tensorlite {tensorlite.__version__}\n"
    assert "--batch-size" in tl("train", "--help")[1]


def test_a_reader_that_leaves_early(process, monkeypatch):
    code = "import subprocess, sys; from tensorlite.cli import main; sys.exit(main(['data']))"
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    command = f'{sys.executable} -c "{code}" | true'
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert result.stderr == ""


def test_sparkline():
    assert sparkline([1.0, 1.0]) == "▁▁"
    assert sparkline([100.0, 10.0, 1.0]) == "█▅▁"  # logarithmic
    assert sparkline([-1.0, 0.0, 1.0]) == "▁▅█"
    assert len(sparkline(list(range(1, 500)))) == 60
