"""Modules as scikit-learn's estimators, by skorch's habits: ``from tensorlite import sklearn``."""

from collections.abc import Callable
from typing import Any

import numpy as np

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.utils.validation import check_array, check_consistent_length, check_is_fitted
except ImportError as error:
    raise ModuleNotFoundError(
        'tensorlite.sklearn needs scikit-learn: pip install "tensorlite[sklearn]"', name=error.name
    ) from error

from tensorlite.data import DataLoader, TensorDataset
from tensorlite.nn import Module
from tensorlite.nn import functional as F
from tensorlite.ops import tensor
from tensorlite.optim import AdamW
from tensorlite.random import get_rng_state, manual_seed, set_rng_state
from tensorlite.training import Trainer
from tensorlite.training.evaluation import predict

DEFAULTS = {"optimizer": AdamW, "lr": 1e-3, "epochs": 20, "batch_size": 32, "device": "auto"}
DEFAULTS["random_state"] = 0
ANY: dict[str, Any] = {"dtype": np.float32, "ensure_2d": False, "allow_nd": True}  # of any shape


class Estimator(BaseEstimator):
    """What a `Classifier` and a `Regressor` share.

    Parameters
    ----------
    module : callable
        Makes the Module; ``module__hidden=64`` is its parameter `hidden`.
    **parameters
        Those in `DEFAULTS` (``random_state`` seeds weights, dropout and the order of samples), and
        of the parts: ``optimizer__momentum=0.9``, ``trainer__ema=0.99``.
    """

    def __init__(self, module: Callable[..., Module], **parameters: Any) -> None:
        self.set_params(module=module, **(DEFAULTS | parameters))

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """All parameters."""
        return {k: v for k, v in vars(self).items() if not k.startswith("_") and k[-1] != "_"}

    def set_params(self, **parameters: Any) -> Any:
        """Set parameters, for the next `fit`."""
        for name, value in parameters.items():
            own, parts = ("module", *DEFAULTS), ("module", "optimizer", "trainer")
            if name not in own and name.partition("__")[0] not in parts:
                raise ValueError(f"no parameter {name!r}: {', '.join(own)}, or {parts[0]}__NAME")
            setattr(self, name, value)
        return self

    def _of(self, part: str) -> dict[str, Any]:
        return {k[len(part) + 2 :]: v for k, v in vars(self).items() if k.startswith(f"{part}__")}

    def _fit(self, X: Any, targets: np.ndarray, loss: Callable[..., Any]) -> Any:
        inputs = check_array(X, **ANY)
        check_consistent_length(inputs, targets)
        before = get_rng_state()
        manual_seed(self.random_state)
        try:
            model = self.module(**self._of("module"))
            rest = {"lr": self.lr} | self._of("optimizer")
            optimizer = self.optimizer(model.named_parameters(), **rest)
            rest = {"callbacks": (), "device": self.device} | self._of("trainer")
            trainer = Trainer(model, optimizer, loss, **rest)
            loader = DataLoader(TensorDataset(inputs, targets), self.batch_size, shuffle=True)
            self.history_ = trainer.fit(loader, epochs=self.epochs)
        finally:
            set_rng_state(before)
        self.module_ = model if trainer.averaged is None else trainer.averaged.model
        return self

    def _outputs(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        return predict(self.module_, check_array(X, **ANY))


class Classifier(ClassifierMixin, Estimator):
    """A Module whose outputs are scores (N, classes), by cross-entropy; see `Estimator`."""

    def fit(self, X: Any, y: Any) -> "Classifier":
        """Train anew on samples (N, …) and their classes (N,), numbers or words."""
        self.classes_, targets = np.unique(np.asarray(y), return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"y holds one class, {self.classes_}: there is nothing to learn")
        return self._fit(X, targets.astype(np.int64), F.cross_entropy)

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities (N, classes), in the order of ``classes_``."""
        return F.softmax(tensor(self._outputs(X)), 1).numpy()

    def predict(self, X: Any) -> np.ndarray:
        """The likeliest class of each sample (N,)."""
        best = self._outputs(X).argmax(1)
        return self.classes_[best]


class Regressor(RegressorMixin, Estimator):
    """A Module whose outputs are numbers (N, K), by mean squared error; see `Estimator`."""

    def fit(self, X: Any, y: Any) -> "Regressor":
        """Train anew on samples (N, …) and numbers, (N,) or (N, K)."""
        targets = check_array(y, **ANY)
        self.flat_ = targets.ndim == 1
        return self._fit(X, targets.reshape(len(targets), -1), F.mse_loss)

    def predict(self, X: Any) -> np.ndarray:
        """What is predicted for each sample, of the shape that `y` had."""
        found = self._outputs(X)
        return found[:, 0] if self.flat_ else found
