"""TensorBoard and MLflow read what the callbacks wrote."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

import tensorlite as tl
from tensorlite import nn
from tensorlite.data import DataLoader, TensorDataset
from tensorlite.training import MLflow, TensorBoard, Trainer


def trained(out, callbacks, epochs=3, resume=False):
    tl.manual_seed(0)
    x = tl.randn(32, 4)
    data = TensorDataset(x, x.sum(dim=1, keepdim=True))
    model = nn.Linear(4, 1)
    optimizer = tl.optim.SGD(model.named_parameters(), lr=0.05)
    trainer = Trainer(
        model,
        optimizer,
        nn.functional.mse_loss,
        callbacks=callbacks,
        out=out,
        metadata={"settings": {"seed": 0, "dataset": "made"}},
    )
    trainer.fit(DataLoader(data, 8), DataLoader(data, 16), epochs=epochs, resume=resume)
    return trainer


@pytest.fixture
def events():
    """Read what TensorBoard makes of a folder."""
    pytest.importorskip("tensorboardX", reason="tensorboardX is not installed")
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator",
        reason="tensorboard is not installed",
    )

    def read(folder):
        found = accumulator.EventAccumulator(str(folder))
        found.Reload()
        return found

    return read


def test_tensorboard_shows_the_history(tmp_path, events):
    trainer = trained(tmp_path / "run", [TensorBoard(histograms=True)])
    found = events(tmp_path / "run")
    losses = [(e.step, e.value) for e in found.Scalars("loss/val")]
    wanted = [(r["epoch"], r["val_loss"]) for r in trainer.history]
    assert [step for step, _ in losses] == [1, 2, 3]
    np.testing.assert_allclose([v for _, v in losses], [v for _, v in wanted], rtol=1e-6)
    assert {"loss/train", "loss/val", "lr", "samples_per_second"} <= set(found.Tags()["scalars"])
    assert {"weight", "bias"} <= set(found.Tags()["histograms"])
    text = found.Tensors("settings/text_summary")[0].tensor_proto.string_val[0].decode()
    assert "| optimizer | SGD |" in text
    assert "| dataset | made |" in text


def test_a_resumed_run_goes_on_in_the_same_curve(tmp_path, events):
    trained(tmp_path / "run", [TensorBoard(tmp_path / "board")], epochs=2)
    trained(tmp_path / "run", [TensorBoard(tmp_path / "board")], epochs=4, resume=True)
    assert [e.step for e in events(tmp_path / "board").Scalars("loss/val")] == [1, 2, 3, 4]


def test_tensorboard_needs_a_folder():
    pytest.importorskip("tensorboardX", reason="tensorboardX is not installed")
    with pytest.raises(ValueError, match="say where to write"):
        trained(None, [TensorBoard()])


def test_mlflow_has_settings_numbers_and_checkpoints(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # MLflow 3 asks for a data base else
    mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed")
    mlflow.set_tracking_uri((tmp_path / "mlruns").as_uri())
    trainer = trained(tmp_path / "run", [MLflow("made", run_name="first")])
    client = mlflow.tracking.MlflowClient()
    (run,) = client.search_runs([client.get_experiment_by_name("made").experiment_id])
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "first"
    assert run.data.params["optimizer"] == "SGD"
    assert run.data.params["dataset"] == "made"
    assert run.data.tags["stopped_by"] == "epochs"
    found = [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, "val_loss")]
    assert found == [(r["epoch"], pytest.approx(r["val_loss"])) for r in trainer.history]
    kept = {f.path for f in client.list_artifacts(run.info.run_id)}
    assert {"best.safetensors", "last.safetensors", "history.jsonl"} <= kept
    history = mlflow.artifacts.download_artifacts(
        run_id=run.info.run_id, artifact_path="history.jsonl", dst_path=str(tmp_path)
    )
    with open(history) as file:
        assert [json.loads(line)["epoch"] for line in file] == [1, 2, 3]


def test_a_run_of_mlflow_that_is_active_stays_open(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed")
    mlflow.set_tracking_uri((tmp_path / "mlruns").as_uri())
    mlflow.set_experiment("another")
    with mlflow.start_run() as run:
        trained(None, [MLflow(artifacts=False)])
        assert mlflow.active_run().info.run_id == run.info.run_id


@pytest.mark.parametrize(("kind", "package"), [(TensorBoard, "tensorboardX"), (MLflow, "mlflow")])
def test_what_is_missing_is_named(kind, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=rf"pip install \"tensorlite\[{kind.__name__.lower()}\]"):
        kind()
