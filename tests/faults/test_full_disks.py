"""Every write cut at every 4 KB: an error that says what and where, and the old file as it was.

The system's limit of a file's length does what a full disk does, at a place that can be chosen.
"""

import contextlib
import errno
import itertools
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from runs import LEFT, left_in, state_of

import tensorlite as tl
from tensorlite import nn
from tensorlite.data import DataLoader, TensorDataset
from tensorlite.training import RunFolder, Trainer

PAGE = 4096


@contextlib.contextmanager
def longest(size):
    """Let no file grow beyond `size` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def state(seed, size=20000):
    rng = np.random.default_rng(seed)
    return {"weight": tl.tensor(rng.normal(size=size)), "step": seed, "name": "x" * 3000}


@pytest.mark.parametrize("name", ["a.safetensors", "a.pt"])
def test_a_save_cut_at_every_page(name, tmp_path, record_property):
    path = tmp_path / name
    tl.save(state(0), path)
    old = path.read_bytes()
    for cut in itertools.count():
        try:
            with longest(cut * PAGE):
                tl.save(state(1), path)
            break
        except OSError as error:
            assert error.errno == errno.EFBIG
            assert f"{path} cannot be written" in str(error)
            assert "free in" in str(error)
        assert path.read_bytes() == old
        assert left_in(tmp_path) == {name}
    assert cut == -(-path.stat().st_size // PAGE) > 30
    assert tl.load(path)["step"] == 1
    record_property(f"write of {name} cut at every 4 KB", f"{cut} cuts, 0 lost")


ON_A_SMALL_DISK = """
import errno, os, subprocess, sys
import numpy as np, tensorlite as tl
folder, name = sys.argv[1], sys.argv[2]

def disk(pages):
    subprocess.run(["mount", "-o", f"remount,size={pages * 4096}", folder], check=True)

subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder], check=True)
path = os.path.join(folder, name)
draw = [np.random.default_rng(i).normal(size=20000) for i in (0, 1)]
state = [{"weight": tl.tensor(draw[i]), "step": i} for i in (0, 1)]
tl.save(state[0], path)
old = open(path, "rb").read()
statistics = os.statvfs(folder)
used = statistics.f_blocks - statistics.f_bfree
cuts = 0
while True:
    disk(used + cuts)
    try:
        tl.save(state[1], path)
        break
    except OSError as error:
        assert error.errno == errno.ENOSPC, error
        assert "the disk is full; it needs 160.0 kB, and" in str(error) or name == "a.pt", error
        assert f"{path} cannot be written: the disk is full" in str(error), error
    assert open(path, "rb").read() == old
    assert os.listdir(folder) == [name]
    cuts += 1
assert tl.load(path)["step"] == 1
print(cuts)
"""
ALONE = ["unshare", "--user", "--map-root-user", "--mount"]


@pytest.mark.skipif(
    shutil.which("unshare") is None
    or subprocess.run([*ALONE, "true"], capture_output=True, check=False).returncode != 0,
    reason="this user may mount nothing",
)
@pytest.mark.parametrize("name", ["a.safetensors", "a.pt"])
def test_a_disk_that_is_full_at_every_page(name, tmp_path, record_property):
    """A disk of its own in memory, larger by a page every time."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = [*ALONE, sys.executable, "-c", ON_A_SMALL_DISK, str(disk), name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) > 30
    record_property(f"{name} on a full tmpfs", f"{int(done.stdout)} cuts, 0 lost")


def test_a_full_disk_says_how_much_is_missing():
    for name in ("/dev/full",):
        with pytest.raises(OSError, match=r"/dev/full cannot be written: the disk is full") as said:
            tl.save(state(0), name)
        assert said.value.errno == errno.ENOSPC
        assert "it needs 160.0 kB, and" in str(said.value)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    for name in ("a.safetensors", "a.pt"):
        path = tmp_path / "nowhere" / name
        with pytest.raises(FileNotFoundError, match=f"there is no folder {path.parent}"):
            tl.save(state(0), path)
        with pytest.raises(IsADirectoryError, match="it is a folder"):
            tl.save(state(0), tmp_path if name == "a.safetensors" else _folder(tmp_path / "b.pt"))


def _folder(path):
    path.mkdir(exist_ok=True)
    return path


def test_an_earlier_error_is_not_taken_for_the_saves_own(tmp_path):
    try:
        raise OSError(errno.ENOSPC, "something else")
    except OSError:
        with pytest.raises(TypeError, match="cannot be saved"):
            tl.save({"a": object()}, tmp_path / "a.pt")


def fit(out, resume=False):
    tl.manual_seed(1)
    rng = np.random.default_rng(0)
    data = TensorDataset(rng.normal(size=(40, 6)).astype(np.float32), np.arange(40) % 2)
    model = nn.Sequential(nn.Linear(6, 150), nn.ReLU(), nn.Dropout(0.3), nn.Linear(150, 2))
    optimizer = tl.optim.Adam(model.named_parameters(), lr=0.01)
    trainer = Trainer(
        model, optimizer, nn.functional.cross_entropy, callbacks=(), device="cpu", out=out,
        save_every=2,
    )  # fmt: skip
    return trainer.fit(DataLoader(data, 8, shuffle=True), epochs=2, resume=resume)


def test_a_run_cut_at_every_page_goes_on_to_the_same_bits(tmp_path, record_property):
    fit(tmp_path / "whole")
    expected = state_of(tmp_path / "whole")
    cuts = 0
    for cut in itertools.count():
        out = tmp_path / f"cut-{cut}"
        try:
            with longest(cut * PAGE):
                fit(out)
            break
        except OSError as error:
            assert error.errno == errno.EFBIG
            assert str(out) in str(error)
        cuts += 1
        if (out / "last.safetensors").exists():
            fit(out, resume=True)
        else:
            RunFolder(out).check_free()
            fit(out)
        assert state_of(out) == expected
        assert left_in(out) == LEFT
    assert cuts >= 4
    record_property("run cut at every 4 KB", f"{cuts} cuts, 0 lost")


def test_a_history_that_is_cut_is_an_error_and_made_whole(tmp_path):
    out = tmp_path / "run"
    fit(out)
    history = (out / "history.jsonl").read_bytes()
    folder = RunFolder(out)
    with longest(len(history) + 10), pytest.raises(OSError, match=r"history\.jsonl cannot be"):
        folder._append({"epoch": 3, "train_loss": 0.25})
    assert (out / "history.jsonl").read_bytes().startswith(history)
    fit(out, resume=True)
    assert (out / "history.jsonl").read_bytes() == history


def test_a_folder_that_vanishes_is_made_again(tmp_path, capfd):
    class Vanish(tl.training.Callback):
        def on_epoch_begin(self, trainer):
            if trainer.epoch == 1:
                trainer._saver.finish()
                for file in out.iterdir():
                    file.unlink()
                out.rmdir()

    out = tmp_path / "run"
    data = TensorDataset(np.ones((8, 2), np.float32), np.arange(8) % 2)
    model = nn.Linear(2, 2)
    trainer = Trainer(
        model, tl.optim.SGD(model.named_parameters(), lr=0.1), nn.functional.cross_entropy,
        callbacks=[Vanish()], device="cpu", out=out,
    )  # fmt: skip
    trainer.fit(DataLoader(data, 4), epochs=3)
    assert f"{out} was removed while the run went on; it is made again" in capfd.readouterr().err
    assert len((out / "history.jsonl").read_text().splitlines()) == 3
    assert left_in(out) == LEFT
    assert Path(out / "last.safetensors").exists()
