"""Settings of a run: the options given, and defaults that suit the model and the data."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from tensorlite import data
from tensorlite.cli import own_model
from tensorlite.cli.errors import UsageError, usage
from tensorlite.cli.models import MODELS
from tensorlite.data.own import is_own
from tensorlite.suggest import choose

BY_MODEL: dict[str, dict[str, Any]] = {
    "linear": {"epochs": 50, "lr": 1e-2},
    "mlp": {"epochs": 40, "lr": 2e-3},
    "cnn": {"epochs": 20, "lr": 1e-3},
    "gpt": {
        "epochs": 2,
        "batch_size": 16,
        "lr": 4e-3,
        "weight_decay": 0.1,
        "schedule": "one-cycle",
        "val_fraction": 0.05,
    },
}
BY_DATA: dict[tuple[str, str], dict[str, Any]] = {
    ("mnist1d", "cnn"): {"epochs": 10, "batch_size": 64, "lr": 4e-3},
    ("diabetes", "mlp"): {"epochs": 60, "lr": 1e-3, "weight_decay": 0.1, "val_fraction": 0.2},
}
LARGE = ("mnist", "fashion-mnist", "cifar10")  # tens of thousands of images
BY_MODEL_LARGE: dict[str, dict[str, Any]] = {
    "linear": {"epochs": 10, "batch_size": 128, "lr": 2e-3},
    "mlp": {"epochs": 10, "batch_size": 128, "lr": 2e-3},
    "cnn": {"epochs": 5, "batch_size": 128, "lr": 2e-3},
}
RATE_BESIDE_ADAM = {"sgd": 25.0, "adagrad": 5.0, "rmsprop": 0.5, "lion": 0.3}  # rules of thumb
DECOUPLED = ("adamw", "lion")  # only theirs is decay; in the others it adds to the gradient

FREE = ("epochs", "save_every")  # may change when a run is resumed

NO_TEXT = {  # by the ends of names: learning their characters is not what anybody means
    "a table": "csv tsv arff parquet feather arrow orc xls xlsx ods db",
    "a file of arrays": "npy npz mat h5 hdf5 safetensors pt pth bin onnx pkl",
    "an archive": "zip tar gz tgz bz2 xz zst 7z rar",
    "an image": "png jpg jpeg gif bmp tif tiff webp svg",
    "a document": "pdf doc docx ppt pptx epub",
    "a recording": "wav mp3 flac ogg mp4 avi mkv mov",
}


@dataclass(frozen=True)
class Settings:
    """Everything that a run's numbers depend on, but for the device. Kept in checkpoints."""

    dataset: str
    model: str
    epochs: int
    lr: float
    batch_size: int = 32
    optimizer: str = "adamw"
    momentum: float | None = None
    weight_decay: float = 0.01
    schedule: str = "cosine"
    seed: int = 0
    val_fraction: float = 0.1
    patience: int | None = 10
    target_loss: float | None = None
    save_every: int | str = 500
    target: str | None = None
    drop: str | None = None
    task: str | None = None
    size: int | None = None
    accumulate: int = 1
    autocast: str | None = None
    ema: float | None = None
    shards: int = 1

    @property
    def label(self) -> str:
        """A short name of the run."""
        return f"{Path(self.dataset).stem}-{self.model.rpartition(':')[2]}"


def given(args: Namespace) -> dict[str, Any]:
    """The settings that the command line names."""
    names = [field.name for field in fields(Settings)]
    named = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    if "dataset" in named:
        with usage():
            named["dataset"] = _dataset(named["dataset"])
    if named.get("target", "").endswith(".npy"):
        named["target"] = str(Path(named["target"]).resolve())
    if "model" in named:
        with usage():
            own = own_model.is_own(named["model"])
            known = own_model.resolved if own else lambda name: choose("model", name, MODELS)
            named["model"] = known(named["model"])
    return named


def complete(asked: dict[str, Any]) -> Settings:
    """Fill in defaults for the settings that were not given."""
    dataset = asked.get("dataset", "digits")
    text = dataset == "text" or (dataset not in data.names() and not is_own(dataset))
    model = asked.get("model", "gpt" if text else "mlp")
    values = dict(BY_MODEL.get(model) or BY_MODEL["gpt" if text else "cnn"])
    if dataset in LARGE:
        values |= BY_MODEL_LARGE.get(model, {})
    values |= BY_DATA.get((dataset, model), {})
    optimizer = asked.get("optimizer", "adamw")
    values["lr"] *= RATE_BESIDE_ADAM.get(optimizer, 1.0)
    if optimizer not in DECOUPLED:
        values["weight_decay"] = 0.0
    if optimizer == "sgd":
        values["momentum"] = 0.9
    elif "momentum" in asked:
        raise UsageError(f"--momentum belongs to sgd; {optimizer} has betas of its own")
    return Settings(**{**values, "dataset": dataset, "model": model, **asked})


def restore(state: dict[str, Any], asked: dict[str, Any]) -> Settings:
    """The settings of a checkpoint, with the epochs that were given now if those are more.

    How often checkpoints are saved may change as well: no result depends on it.

    Raises
    ------
    UsageError
        If another setting differs from the run's own, since the run would not be the same.
    ValueError
        If they are not those of a run.
    """
    settings = of_state(state)
    own = asdict(settings)
    for name, value in asked.items():
        if name == "epochs" and value < own[name]:
            raise UsageError(f"--epochs {value} is less than the run's {own[name]}: ask for more")
        if name not in FREE and own[name] != value:
            flag = "DATASET" if name == "dataset" else "--" + name.replace("_", "-")
            raise UsageError(
                f"{flag} {value} differs from the run's {own[name]}: a resumed run keeps its "
                "settings; leave it out, or start a new run"
            )
    return replace(settings, **{name: asked[name] for name in FREE if name in asked})


def of_state(state: Any) -> Settings:
    """The settings that a checkpoint holds.

    Raises
    ------
    ValueError
        If they are damaged, or those of another version.
    """
    wanted = {field.name for field in fields(Settings)}
    if not isinstance(state, dict) or state.keys() != wanted:
        raise ValueError("the run's settings are damaged, or those of another version")
    for field in fields(Settings):
        value, kinds = state[field.name], str(field.type).replace("None", "NoneType").split(" | ")
        if type(value).__name__ not in (*kinds, *(["int"] if "float" in kinds else [])):
            raise ValueError(f"the run's settings are damaged: {field.name} is {value!r}")
    return Settings(**state)


def _suffix(name: str) -> str:
    return Path(name).suffix.lower().removeprefix(".")


def _dataset(name: str) -> str:
    """A dataset's name, or the whole path of a text file or of data that `from_path` reads."""
    if is_own(name) and name not in data.names():
        return str(Path(name).resolve())
    if name.lower().replace("_", "-") not in data.names() and Path(name).is_file():
        kind = next((kind for kind, ends in NO_TEXT.items() if _suffix(name) in ends.split()), None)
        if kind is not None:
            raise ValueError(
                f"{name} is {kind}: train reads the names of datasets (see tensorlite data), .csv "
                "and .tsv tables, .npz and .npy arrays, folders of images by class, or a text "
                "file, whose characters it learns to continue"
            )
        return str(Path(name).resolve())
    return choose("dataset", name, data.names())
