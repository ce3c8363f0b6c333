"""Modules as scikit-learn's estimators: in its pipelines, searches, clones and scores."""

import pickle

import numpy as np
import pytest

import tensorlite as tl
from tensorlite import nn

sklearn = pytest.importorskip("sklearn")
from sklearn.base import clone  # noqa: E402
from sklearn.datasets import load_diabetes, load_digits  # noqa: E402
from sklearn.exceptions import NotFittedError  # noqa: E402
from sklearn.model_selection import GridSearchCV, cross_val_score  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402

from tensorlite.sklearn import Classifier, Regressor  # noqa: E402


class Net(nn.Sequential):
    def __init__(self, inputs=64, hidden=32, outputs=10):
        super().__init__(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))


DIGITS = load_digits(return_X_y=True)


def test_in_a_pipeline():
    X, y = DIGITS
    pipeline = make_pipeline(StandardScaler(), Classifier(Net, lr=5e-3, epochs=8))
    pipeline.fit(X[:1400], y[:1400])
    assert pipeline.score(X[1400:], y[1400:]) > 0.9
    shares = pipeline.predict_proba(X[1400:])
    np.testing.assert_allclose(shares.sum(1), 1, rtol=1e-5)
    np.testing.assert_array_equal(shares.argmax(1), pipeline.predict(X[1400:]))
    again = pickle.loads(pickle.dumps(pipeline))
    np.testing.assert_array_equal(again.predict_proba(X), pipeline.predict_proba(X))


def test_a_grid_is_searched_over_the_modules_parameters():
    X, y = DIGITS[0][:600] / 16, np.array(["even", "odd"])[DIGITS[1][:600] % 2]
    grid = {"module__hidden": [1, 32], "lr": [1e-6, 1e-2], "optimizer__weight_decay": [0.0]}
    search = GridSearchCV(Classifier(Net, module__outputs=2, epochs=6), grid, cv=3)
    search.fit(X, y)
    assert search.best_params_["module__hidden"] == 32 and search.best_params_["lr"] == 1e-2
    assert search.best_score_ > 0.8
    assert set(search.predict(X)) == {"even", "odd"}


def test_numbers_are_predicted():
    X, y = load_diabetes(return_X_y=True)
    model = Regressor(Net, module__inputs=10, module__outputs=1, lr=1e-2, epochs=20)
    scores = cross_val_score(make_pipeline(StandardScaler(), model), X, (y - 150) / 80, cv=3)
    assert scores.mean() > 0.35
    two = clone(model).set_params(module__outputs=2, epochs=1).fit(X, np.stack([y, -y], 1))
    assert two.predict(X).shape == (442, 2)


def test_clones_seeds_and_the_callers_random_numbers():
    X, y = DIGITS[0][:200], DIGITS[1][:200]
    model = Classifier(Net, epochs=1, module__hidden=8, trainer__ema=0.9)
    copy = clone(model)
    assert copy.get_params() == model.get_params() and copy is not model
    tl.manual_seed(5)
    expected = tl.rand(3).tolist()
    tl.manual_seed(5)
    one = model.fit(X, y).predict_proba(X)
    assert tl.rand(3).tolist() == expected
    np.testing.assert_array_equal(copy.fit(X, y).predict_proba(X), one)
    other = clone(model).set_params(random_state=1).fit(X, y).predict_proba(X)
    assert not np.array_equal(other, one)
    assert len(model.history_) == 1


def test_what_is_refused():
    X, y = DIGITS[0][:50], DIGITS[1][:50]
    with pytest.raises(NotFittedError):
        Classifier(Net).predict(X)
    with pytest.raises(ValueError, match=r"no parameter 'hidden': .*module__NAME"):
        Classifier(Net, hidden=3)
    with pytest.raises(ValueError, match="one class"):
        Classifier(Net).fit(X, np.zeros(50))
    with pytest.raises(ValueError, match="NaN"):
        Classifier(Net).fit(np.full_like(X, np.nan), y)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        Classifier(Net).fit(X, y[:-1])
