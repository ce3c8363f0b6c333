"""The examples in docstrings run as written, and print what they say."""

from __future__ import annotations

import doctest
import importlib
import io
import pkgutil
import re

import pytest
from test_public_names import public

import tensorlite
import tensorlite as tl
from tensorlite import nn, ranks
from tensorlite.data import DataLoader, TensorDataset, digits
from tensorlite.training import Trainer

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
OPTIONAL = ("tensorlite.einops", "tensorlite.sklearn")  # need other packages
NUMBER = re.compile(r"-?\d+\.\d*(?:e[-+]\d+)?")
APART = {
    "tensorlite.cuda.Event": "needs a GPU",
    "tensorlite.cuda.Stream": "needs a GPU",
    "tensorlite.distributed.start.each_shard": "is about a step of the reader's",
    "tensorlite.distributed.threads.on_devices": "needs several GPUs",
    "tensorlite.distributions.kl.register_kl": "is about a class of the reader's",
    "tensorlite.nn.sync_batch_norm.SyncBatchNorm": "needs several processes",
    "tensorlite.profiler.session.profile": "prints times",
    "tensorlite.training.progress.NotebookProgress": "needs IPython",
    "tensorlite.training.trackers.MLflow": "needs mlflow",
    "tensorlite.training.trackers.TensorBoard": "needs tensorboardX",
}


def examples() -> dict[str, doctest.DocTest]:
    """Every docstring with an example, by name."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = {}
    for info in pkgutil.walk_packages(tensorlite.__path__, "tensorlite."):
        if info.name.startswith(OPTIONAL) or info.name.endswith("__main__"):
            continue
        try:
            module = importlib.import_module(info.name)
        except ImportError:  # CUDA's, where there is no CuPy
            continue
        for test in finder.find(module, info.name, globs=vars(module) | {"__name__": "docstrings"}):
            if test.examples and test.name not in APART:
                found[test.name] = test
    return found | made(found)


def made(written: dict[str, doctest.DocTest]) -> dict[str, doctest.DocTest]:
    """Docstrings of public names that a function has made, such as those of forms in place."""
    texts = {test.docstring for test in written.values()}
    found = {}
    for name, (value, _) in public().items():
        text = value.__doc__
        home = f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', '')}"
        if home in APART or home.startswith(OPTIONAL):
            continue
        if text and ">>> " in text and text not in texts:
            found[name] = doctest.DocTestParser().get_doctest(text, {}, name, None, None)
    return found


class Checker(doctest.OutputChecker):
    """What an example does not show it may print; last digits differ from kernel to kernel."""

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        """Whether it printed what is shown, if that is anything."""
        if not want or super().check_output(want, got, optionflags):
            return True
        shown, printed = NUMBER.findall(want), NUMBER.findall(got)
        same = "".join(NUMBER.sub("", want).split()) == "".join(NUMBER.sub("", got).split())
        return same and [float(x) for x in printed] == pytest.approx([float(x) for x in shown])


def readers() -> dict[str, object]:
    """What a reader has at hand: a model, data, an optimizer, a loss."""
    tl.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    x, y = tl.rand(24, 4), tl.randint(0, 3, (24,))
    loader = DataLoader(TensorDataset(x, y), batch_size=8)
    images = DataLoader(TensorDataset(tl.rand(24, 1, 8, 8), y), batch_size=8)
    loss = nn.functional.cross_entropy(model(x), y)
    x.requires_grad_()
    return {
        **{name: getattr(tl.distributions, name) for name in tl.distributions.__all__},
        "TensorDataset": TensorDataset,
        "DataLoader": DataLoader,
        "data": TensorDataset(x.detach(), y),
        "loss_of": nn.functional.cross_entropy,
        "digits": digits,
        "target": y,
        "tl": tl,
        "nn": nn,
        "F": nn.functional,
        "Trainer": Trainer,
        "model": model,
        "x": x,
        "y": y,
        "h": tl.randn(2, 4),
        "block": lambda h, mask: h * 2,
        "mask": None,
        **dict.fromkeys(("train_loader", "val_loader", "test_loader"), images),
        "loader": loader,
        "step": lambda model, x, y: model(x),
        "loss": loss,
        "optimizer": tl.optim.SGD(model.named_parameters(), lr=0.1),
    }


EXAMPLES = examples()


@pytest.mark.filterwarnings("ignore:.*no CUDA device:UserWarning")
@pytest.mark.filterwarnings("ignore:lr_scheduler.step:UserWarning")
@pytest.mark.filterwarnings("ignore:`nn.utils.weight_norm`:FutureWarning")
@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_runs(name, tmp_path, monkeypatch, device):
    if device.type != "cpu":
        pytest.skip("examples make their Tensors on the CPU")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ranks, "_world", ranks.world())  # which an example may join
    test = EXAMPLES[name]
    test.globs = readers() | test.globs | {"tl": tl, "nn": nn}
    said = io.StringIO()
    doctest.DocTestRunner(Checker(), optionflags=FLAGS).run(test, out=said.write, clear_globs=False)
    assert not said.getvalue(), said.getvalue()


def test_what_stands_apart_is_still_there():
    for name in APART:
        module, _, thing = name.rpartition(".")
        assert hasattr(importlib.import_module(module), thing)
