"""What notebooks show: well-formed HTML with the numbers that are there."""

from __future__ import annotations

import sys
from html.parser import HTMLParser

import pytest

import tensorlite as tl
from tensorlite import nn
from tensorlite.data import DataLoader, TensorDataset
from tensorlite.training import NotebookProgress, Trainer

VOID = {"br", "img", "input"}


class Reader(HTMLParser):
    """Collects text, and checks that every tag is closed in its turn."""

    def __init__(self):
        super().__init__()
        self.open, self.text, self.tags = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def read(text):
    reader = Reader()
    reader.feed(text)
    assert not reader.open
    return reader


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (4, 2, 3), (0, 3), (2, 1, 2, 2)])
def test_a_tensor_of_any_shape(shape):
    reader = read(tl.zeros(shape)._repr_html_())
    assert f"shape {shape}" in reader.text[0]
    matrix = shape[-2:] if len(shape) > 1 else (1, *(shape or (1,)))
    assert reader.tags.count("td") == matrix[0] * matrix[1]


def test_a_large_tensor_is_cut():
    reader = read(tl.arange(10_000.0).reshape(100, 100)._repr_html_())
    assert reader.tags.count("tr") == 9
    assert "from 0 to 9999" in reader.text[0]
    assert {"0", "101", "9999", "⋮", "…"} <= set(reader.text)


def test_what_is_odd_about_numbers_is_said():
    x = tl.tensor([1.0, float("nan"), float("inf")], requires_grad=True)
    assert "2 not finite" in x._repr_html_()
    assert "requires grad" in x._repr_html_()
    assert "op mul" in (x * 2)._repr_html_()
    assert "True" in read(tl.tensor([True, False])._repr_html_()).text


def test_a_module_is_a_tree():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Linear(4, 2), nn.ReLU())

        def extra_repr(self):
            return "kind=<odd>"

    reader = read(Net()._repr_html_())
    text = "".join(reader.text)
    assert reader.tags.count("details") == 2
    assert "Net(kind=<odd>)" in text
    assert "0: Linear(in_features=4, out_features=2" in text
    assert "10 parameters" in text


def fit(callback):
    model = nn.Linear(3, 1)
    data = TensorDataset(tl.randn(32, 3), tl.randn(32, 1))
    optimizer = tl.optim.SGD(model.named_parameters(), lr=1e-3)
    trainer = Trainer(model, optimizer, nn.functional.mse_loss, callbacks=[callback])
    trainer.fit(DataLoader(data, 8), DataLoader(data, 8), epochs=2)
    return trainer


def test_a_bar_in_ipython():
    capture = pytest.importorskip("IPython.utils.capture", reason="IPython is not installed")
    from IPython.core.interactiveshell import InteractiveShell

    InteractiveShell.instance()
    try:
        with capture.capture_output() as shown:
            trainer = fit(NotebookProgress())
    finally:
        InteractiveShell.clear_instance()
    pages = [read(output.data["text/html"]) for output in shown.outputs]
    assert "progress" in pages[0].tags
    assert "progress" not in pages[-1].tags
    assert f"{trainer.history[-1]['val_loss']:.4g}" in pages[-1].text
    assert "Stopped by epochs." in pages[-1].text
    assert pages[-1].tags.count("tr") == 3


def test_outside_of_notebooks_it_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython.display", None)
    monkeypatch.setitem(sys.modules, "IPython", None)
    with pytest.raises(ImportError, match="for notebooks"):
        NotebookProgress()
