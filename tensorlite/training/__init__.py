"""Training: the `Trainer`, its callbacks and metrics, and the files of a run."""

from tensorlite.training.callbacks import Callback, Report
from tensorlite.training.diagnosis import Finding, diagnose
from tensorlite.training.evaluation import evaluate, predict
from tensorlite.training.folder import RunFolder, load_checkpoint
from tensorlite.training.interruption import Stopped
from tensorlite.training.lr_finder import LRCurve, find_lr
from tensorlite.training.metrics import (
    R2,
    Accuracy,
    ConfusionMatrix,
    MeanAbsoluteError,
    MeanSquaredError,
    Metric,
)
from tensorlite.training.progress import NotebookProgress
from tensorlite.training.trackers import MLflow, TensorBoard
from tensorlite.training.trainer import Trainer

__all__ = [
    "R2",
    "Accuracy",
    "Callback",
    "ConfusionMatrix",
    "Finding",
    "LRCurve",
    "MLflow",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "Metric",
    "NotebookProgress",
    "Report",
    "RunFolder",
    "Stopped",
    "TensorBoard",
    "Trainer",
    "diagnose",
    "evaluate",
    "find_lr",
    "load_checkpoint",
    "predict",
]
