"""Bad input: one message, no traceback, an exit status, and files left as they were."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from commands import content, on_cpu

from tensorlite.io import load, save


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A finished run on digits, made once."""
    from tensorlite.cli import main

    out = tmp_path_factory.mktemp("runs") / "digits"
    assert main(on_cpu(["train", "--epochs", "1", "--out", out])) == 0
    return out


@pytest.fixture
def run(trained, folder):
    shutil.copytree(trained, folder / "run")
    return Path("run")


def refused(tl, args, status, *messages):
    before = content(".")
    code, _, err = tl(*args)
    assert code == status, err
    assert "Traceback" not in err
    assert err.startswith("tensorlite")
    assert err.count("\n") == 1, err
    for message in messages:
        assert message in err
    assert content(".") == before
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("args", "messages"),
    [
        ("digts", ["unknown dataset 'digts'", "did you mean 'digits'", "fashion-mnist"]),
        ("digits --model cmn", ["unknown model 'cmn'", "did you mean 'cnn'", "linear, mlp"]),
        ("diabetes --model cnn", ["'cnn' needs signals or images", "shape (10,)", "linear or mlp"]),
        ("digits --model gpt", ["'gpt' does not fit digits", "linear, mlp or cnn"]),
        ("text --model mlp", ["'mlp' does not fit text", "use gpt"]),
        ("digits --batch-size 5000", ["--batch-size 5000 is larger", "1295 samples"]),
        ("diabetes --val-fraction 0.001", ["leaves none for validation"]),
        ("digits --epochs 0", ["--epochs", "'0' is not a whole number of at least 1"]),
        ("digits --lr fast", ["--lr", "'fast' is not a number above 0"]),
        ("digits --lr nan", ["--lr", "'nan' is not a number"]),
        ("digits --seed -1", ["--seed", "'-1' is not a whole number"]),
        ("digits --val-fraction 1", ["--val-fraction", "from 0 to below 1"]),
        ("digits --optimizer adamm", ["--optimizer", "invalid choice: 'adamm'", "adamw"]),
        ("digits --optimizer adam --momentum 0.9", ["--momentum belongs to sgd"]),
        ("digits --epochz 3", ["unrecognized arguments: --epochz 3"]),
        ("--resume", ["no run under runs/ to resume"]),
    ],
)
def test_usage(tl, args, messages):
    refused(tl, ["train", *args.split()], 2, *messages)


def test_unknown_command(tl):
    refused(tl, ["trian"], 2, "invalid choice: 'trian'", "train")


def test_unknown_device(tl):
    refused(tl, ["train", "--device", "gpu"], 1, "unknown device 'gpu'", "'cuda:1'")


def test_folders_that_cannot_be_written(tl, run):
    Path("file").write_text("mine")
    Path("mine").mkdir()
    Path("mine/notes").write_text("precious")
    refused(tl, ["train", "--out", "file/run"], 1, "file is a file")
    refused(tl, ["train", "--out", "mine"], 1, "mine is not empty")
    refused(tl, ["train", "--out", "run"], 1, "run holds a run already", "resume it")


def test_a_folder_without_permission(tl, monkeypatch):
    """Root may write anywhere, so what the system says is put on."""
    monkeypatch.setattr("os.access", lambda path, mode: False)
    refused(tl, ["train", "--out", "locked"], 1, "no permission to write")


@pytest.mark.parametrize("flags", ["--lr 0.5", "--model cnn", "--seed 7", "--patience 3"])
def test_resuming_with_other_settings(tl, run, flags):
    name, value = flags.split()
    refused(tl, ["train", "--resume", run, name, value], 2, f"{name} {value} differs from the run")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("sheet.xlsx", "a table"),
        ("TABLE.PARQUET", "a table"),
        ("weights.safetensors", "a file of arrays"),
        ("text.txt.gz", "an archive"),
        ("texts.zip", "an archive"),
        ("photo.JPEG", "an image"),
        ("book.pdf", "a document"),
    ],
)
def test_files_that_are_no_text(tl, name, kind):
    Path(name).write_text("a,b\n1,2\n" * 1000)
    refused(tl, ["train", name], 2, f"{name} is {kind}", "names of datasets", "a text file")


def test_resuming_with_another_dataset_or_folder(tl, run):
    refused(tl, ["train", "diabetes", "--resume", run], 2, "DATASET diabetes differs", "digits")
    refused(tl, ["train", "--resume", run, "--out", "else"], 2, "name two folders")


def damage_truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


def damage_foreign(path):
    save({"weight": np.ones(3)}, path)


def damage_text(path):
    path.write_text("not tensors at all")


def damage_library(path):
    """A checkpoint of a hand-written Trainer."""
    save({**load(path), "metadata": {}}, path)


DAMAGES = {
    damage_truncate: "cannot be read: it is truncated, damaged or not a safetensors file",
    damage_foreign: "is a safetensors file, but not a checkpoint of tensorlite",
    damage_text: "cannot be read: it is truncated, damaged or not a safetensors file",
    damage_library: "was not written by tensorlite train",
    Path.unlink: "no run was saved there",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_checkpoints(tl, run, damage):
    damage(run / "last.safetensors")
    refused(tl, ["train", "--resume", run], 1, "run", DAMAGES[damage])
    if damage is not Path.unlink:
        damage(run / "best.safetensors")
        Path("x.npy").write_bytes(b"")
        refused(tl, ["evaluate", run], 1, "best.safetensors", DAMAGES[damage])
        refused(tl, ["predict", run, "x.npy"], 1, "best.safetensors", DAMAGES[damage])


def test_a_folder_that_is_no_run(tl):
    refused(tl, ["evaluate", "nowhere"], 1, "nowhere is not a folder")
    Path("empty").mkdir()
    refused(tl, ["evaluate", "empty"], 1, "empty holds no best.safetensors")


def test_weights_of_another_model(tl, run):
    checkpoint = load(run / "best.safetensors")
    checkpoint["model"]["1.weight"] = np.ones((3, 64), np.float32)
    save(checkpoint, run / "best.safetensors")
    code, _, err = tl("evaluate", run)
    assert code == 1
    assert "best.safetensors does not fit the model it names" in err
    assert "1.weight: shape (3, 64), but the module has (256, 64)" in err
    assert "Traceback" not in err


def test_samples_that_do_not_fit(tl, run):
    np.save("wide.npy", np.ones((2, 9, 9)))
    np.save("nan.npy", np.where(np.arange(64) == 5, np.nan, 1.0)[None])
    np.save("words.npy", np.array(["a", "b"]))
    np.save("none.npy", np.ones((0, 64)))
    np.savez("two.npz", a=np.ones(64), b=np.ones(64))
    Path("short.npy").write_bytes(Path("wide.npy").read_bytes()[:-8])
    Path("ragged.csv").write_text("1,2,3\n4,5\n")
    Path("empty.csv").write_text("")
    Path("picture.png").write_bytes(b"\x89PNG")
    Path("notes.md").write_text("no numbers")
    for file, message in {
        "wide.npy": "shape (2, 9, 9); the model takes samples of shape (1, 8, 8)",
        "nan.npy": "nan.npy holds 1 NaN or infinite values",
        "words.npy": "holds values of dtype <U1, not numbers",
        "none.npy": "there are no samples",
        "two.npz": "holds the arrays ['a', 'b']: call the samples 'features'",
        "short.npy": "short.npy cannot be read as npy",
        "ragged.csv": "ragged.csv cannot be read as csv",
        "empty.csv": "it has no rows of numbers",
        "picture.png": "picture.png is no image that can be read",
        "notes.md": "samples are read from .npy, .npz and .csv files, and images",
        "nowhere.npy": "nowhere.npy: there is no such file",
    }.items():
        refused(tl, ["predict", run, file], 1, message)


def test_a_text_that_is_too_short(tl):
    Path("short.txt").write_text("hello, this is text " * 3)
    refused(tl, ["train", "short.txt"], 1, "short.txt", "use a longer text")
    Path("binary.txt").write_bytes(bytes(range(128, 256)))
    refused(tl, ["train", "binary.txt"], 1, "is not UTF-8 text")


def test_divergence(tl):
    code, _, err = tl("train", "diabetes", "--lr", 1e30, "--optimizer", "sgd", "--out", "run")
    assert code == 1
    assert err.count("\n") == 1
    assert "the loss became" in err
    assert "in batch" in err
    assert "Try a learning rate" in err


def test_debug_shows_the_traceback(tl):
    with pytest.raises(FileNotFoundError, match="nowhere is not a folder"):
        tl("evaluate", "nowhere", "--debug")


def test_python_m_tensorlite_and_one_line_from_a_process(process):
    result = process("evaluate", "nowhere")
    assert result.returncode == 1
    assert (
        result.stderr == "tensorlite evaluate: nowhere is not a folder: name one that train wrote\n"
    )
