"""A model of one's own, options in a file, the learning-rate finder, and sweeps."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from commands import content

import tensorlite as tl_
from tensorlite import nn
from tensorlite.cli import sweep
from tensorlite.data import DataLoader, TensorDataset
from tensorlite.nn import functional as F
from tensorlite.training.lr_finder import find_lr

NET = """
from tensorlite import nn

class Net(nn.Module):
    def __init__(self):
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.Tanh(), nn.Linear(16, 10))
    def forward(self, x):
        return self.body(x)

def fitted(problem):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, problem.outputs))

def narrow(problem):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 3))

def nothing():
    return 5

def other():
    return nn.Linear(7, 10)
"""


@pytest.fixture
def net(folder):
    (folder / "net.py").write_text(NET)
    return "net.py"


def summary(out):
    return json.loads(Path(out, "summary.json").read_text())


def refused(tl, args, *messages):
    before = content(".")
    status, _, err = tl(*args)
    assert status in (1, 2)
    assert err.count("\n") == 1, err
    for message in messages:
        assert message in err
    assert content(".") == before
    assert not Path("runs").exists()


@pytest.mark.parametrize("name", ["Net", "fitted"])
def test_a_model_of_ones_own(tl, net, name):
    status, out, err = tl("train", "--model", f"{net}:{name}", "--epochs", 3, "--out", "run")
    assert (status, err) == (0, "")
    assert summary("run")["test_accuracy"] > 0.5
    assert f"test accuracy {summary('run')['test_accuracy']:.4f}" in out
    _, out, _ = tl("evaluate", "run")
    assert f"accuracy   {summary('run')['test_accuracy']:.4f}" in out
    assert tl("train", "--resume", "run", "--epochs", 4)[0] == 0
    assert summary("run")["epochs"] == 4
    tl("train", "--model", f"{net}:{name}", "--epochs", 1)
    assert Path(f"runs/digits-{name}/best.safetensors").is_file()


def test_models_that_do_not_fit(tl, net):
    refused(tl, ["train", "--model", "no.py:Net"], "there is no file no.py")
    refused(tl, ["train", "--model", f"{net}:Nat"], "no 'Nat' to call; the file has Net")
    refused(tl, ["train", "--model", f"{net}:nothing"], "it makes int, not a Module")
    refused(tl, ["train", "--model", f"{net}:narrow"], "returns (2, 3)", "digits needs (2, 10)")
    refused(
        tl, ["train", "--model", f"{net}:other"], "given samples of shape (2, 1, 8, 8) it raised"
    )
    Path("broken.py").write_text("import nowhere_to_be_found")
    refused(tl, ["train", "--model", "broken.py:Net"], "broken.py raised ModuleNotFoundError")


def test_a_checkpoint_of_another_architecture(tl, net):
    tl("train", "--model", f"{net}:Net", "--epochs", 1, "--out", "run")
    Path(net).write_text(NET.replace("16", "24"))
    status, _, err = tl("evaluate", "run")
    assert (status, err.count("\n")) == (1, 1)
    assert "does not fit the model it names" in err


def test_options_in_a_file(tl, net):
    Path("run.toml").write_text(
        f'dataset = "digits"\nmodel = "{net}:Net"\nepochs = 3\nbatch_size = 64\nlr = 0.01\n'
    )
    status, out, _ = tl("train", "--config", "run.toml", "--epochs", 1, "--out", "run")
    assert status == 0
    assert "learning rate 0.01" in out
    assert "batches of 64" in out
    assert summary("run")["epochs"] == 1  # what is typed goes before
    tl("train", "diabetes", "--config", "two.toml")
    Path("two.toml").write_text('dataset = "digits"\nepochs = 1\n')
    tl("train", "diabetes", "--config", "two.toml", "--out", "other")
    assert summary("other")["dataset"] == "diabetes"


def test_files_of_options_that_are_wrong(tl):
    Path("bad.toml").write_text("epochs = ")
    Path("key.toml").write_text("epochz = 3")
    Path("value.toml").write_text("epochs = 0")
    Path("kind.toml").write_text("epochs = {a = 1}")
    refused(tl, ["train", "--config", "no.toml"], "--config no.toml: No such file")
    refused(tl, ["train", "--config", "bad.toml"], "bad.toml is not TOML")
    refused(
        tl, ["train", "--config", "key.toml"], "unknown option 'epochz'", "did you mean 'epochs'"
    )
    refused(tl, ["train", "--config", "value.toml"], "--epochs: '0' is not a whole number")
    refused(tl, ["train", "--config", "kind.toml"], "epochs must be a number or a text")


def test_a_sweep_is_a_table_with_the_best_first(tl):
    status, out, _ = tl(
        *("sweep", "--out", "all", "diabetes", "--lr", "1e-3,1e-5", "--model=linear,mlp"),
        *("--epochs", 2, "--device", "cpu"),
    )
    assert status == 0
    rows = list(csv.DictReader(Path("all/sweep.csv").read_text().splitlines()))
    assert {(row["lr"], row["model"]) for row in rows} == {
        (lr, model) for lr in ("1e-3", "1e-5") for model in ("linear", "mlp")
    }
    losses = [float(row["val_loss"]) for row in rows]
    assert losses == sorted(losses)
    for row in rows:
        result = summary(f"all/lr={row['lr']},model={row['model']}")
        assert (result["model"], result["val_loss"]) == (row["model"], float(row["val_loss"]))
    assert out.splitlines()[-1] == "written to all: sweep.csv and a folder for each run"
    assert out.count("--- ") == 4


def test_sweeps_that_are_refused_and_a_run_that_fails(tl):
    refused(tl, ["sweep", "digits", "--lr", "0.1"], "give an option several values")
    refused(tl, ["sweep", "digits", "--lr", "0.1,fast"], "'fast' is not a number")
    refused(tl, ["sweep", "digits", "--lr", "0.1,0.2", "--resume", "x"], "--resume is not for")
    status, out, _ = tl(
        *("sweep", "--out", "all", "digits", "--model", "linear,gpt"),
        *("--epochs", 1, "--device", "cpu"),
    )
    assert status == 0
    assert "failed: model 'gpt' does not fit digits" in out
    assert list(csv.DictReader(Path("all/sweep.csv").read_text().splitlines()))[1]["val_loss"] == ""


def test_how_options_are_split():
    fixed, axes = sweep.split(["h.csv", "--drop", "a,b", "--lr=1,2", "--target", "y"])
    assert fixed == ["h.csv", "--drop", "a,b", "--target", "y"]
    assert axes == {"--lr": ["1", "2"]}


def test_the_finder_on_the_command_line(tl):
    status, out, err = tl("train", "digits", "--find-lr", "--out", "run")
    assert (status, err) == (0, "")
    assert "the loss falls fastest at --lr " in out
    assert not Path("run").exists()
    assert Path("run-find-lr.png").read_bytes().startswith(b"\x89PNG")


def test_the_finder_finds_a_rate_that_learns_and_leaves_all_as_it_was(device):
    tl_.manual_seed(0)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(256, 8)).astype(np.float32)
    y = (x @ rng.normal(size=8)).astype(np.float32)
    loader = DataLoader(TensorDataset(x, y), 32, device=device)
    model = nn.Sequential(nn.Linear(8, 1), nn.Flatten(0)).to(device)
    optimizer = tl_.optim.SGD(model.parameters(), lr=0.123)
    before = {name: value.cpu().numpy().copy() for name, value in model.state_dict().items()}
    curve = find_lr(model, optimizer, F.mse_loss, loader)
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value.cpu().numpy(), before[name])
    assert optimizer.param_groups[0]["lr"] == 0.123
    assert len(curve.rates) == len(curve.losses) < 100  # it ended where the loss had grown
    assert curve.losses[-1] > 4 * curve.losses.min()
    assert 1e-3 < curve.suggestion < 0.5
    optimizer.param_groups[0]["lr"] = curve.suggestion
    for _ in range(3):
        for inputs, target in loader:
            loss = F.mse_loss(model(inputs), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    assert loss.item() < 0.2 * float((y**2).mean())


def test_the_finder_refuses(device):
    model = nn.Linear(2, 1).to(device)
    optimizer = tl_.optim.SGD(model.parameters(), lr=0.1)
    for options in ({"lowest": 1.0, "highest": 0.1}, {"steps": 3}, {"lowest": 0.0}):
        with pytest.raises(ValueError, match="find_lr: needs 0 < lowest < highest"):
            find_lr(model, optimizer, F.mse_loss, [], **options)
    with pytest.raises(ValueError, match="the loader has no batches"):
        find_lr(model, optimizer, F.mse_loss, [])
    nan = tl_.full((4, 2), float("nan"), device=device)
    with pytest.raises(ValueError, match="the loss is not finite at a learning rate of 1e-06"):
        find_lr(model, optimizer, F.mse_loss, [(nan, tl_.zeros(4, 1, device=device))])
    assert np.isfinite(model.weight.cpu().detach().numpy()).all()
