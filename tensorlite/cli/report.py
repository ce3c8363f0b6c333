"""``tensorlite report``: a run as one HTML file that opens anywhere, without a network."""

from __future__ import annotations

import json
import platform
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

import tensorlite
from tensorlite import io, tensor
from tensorlite.cli import pictures, restored
from tensorlite.cli.errors import usage
from tensorlite.cli.experiment import load_data, samples
from tensorlite.cli.problem import Problem
from tensorlite.data import Splits
from tensorlite.nn import functional as F
from tensorlite.training import predict

WORST = 24  # mistakes that are shown
MOST_CLASSES = 30  # in a confusion matrix that can be read
STYLE = (Path(__file__).with_name("report.css")).read_text()


def run(args: Namespace) -> int:
    """Evaluate a run's best weights on the test data, and write the page."""
    path, epoch, settings, problem, model = restored.load(args.dir, args.device)
    checkpoint, _ = restored.metadata(path)
    with usage():
        splits = load_data(settings)
    if splits.classes != problem.classes:
        raise ValueError(f"{settings.dataset} has other classes than when {path} was trained")
    out = Path(args.out or Path(args.dir) / "report.html")
    if not out.parent.is_dir():
        raise FileNotFoundError(f"{out.parent} is not a folder: --out {out} cannot be written")
    history = _history(Path(args.dir), checkpoint)
    parts = [
        _section("Result", _result(Path(args.dir), history, epoch)),
        _section("Curves", _curves(history, epoch)),
    ]
    if problem.task != "language":
        outputs = predict(model, samples(splits, "test").tensors[0])
        judged = _classified if problem.task == "classification" else _regressed
        parts += judged(outputs, splits, problem)
    parts += [
        _section("Model", f"<pre>{escape(str(model))}</pre>"),
        _section("Settings", _table(asdict(settings) | {"notes": "; ".join(splits.notes)})),
        _section("Environment", _table(_environment(str(args.device)))),
    ]
    text = page(f"{settings.label}", parts)
    io.write_atomically(out, lambda name: Path(name).write_text(text, encoding="utf-8"))
    print(f"{out}: {len(text.encode()) / 1000:,.0f} kB, one file")
    return 0


def page(title: str, parts: list[str]) -> str:
    """A whole HTML page: its style is inside, and nothing is fetched."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title)}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{escape(title)}</h1>\n<main>\n{''.join(parts)}</main>\n"
        f"<footer>tensorlite {tensorlite.__version__}</footer>\n</body>\n</html>\n"
    )


def _section(title: str, content: str) -> str:
    return f"<section>\n<h2>{escape(title)}</h2>\n{content}\n</section>\n"


def _history(folder: Path, checkpoint: dict[str, Any]) -> list[dict[str, Any]]:
    """All epochs of the run; the checkpoint of the best one ends with it."""
    file = folder / "history.jsonl"
    if not file.is_file():
        return checkpoint["history"]
    return [json.loads(line) for line in file.read_text().splitlines()]


def _result(folder: Path, history: list[dict[str, Any]], epoch: int) -> str:
    """The main results in large type."""
    file = folder / "summary.json"
    known = json.loads(file.read_text()) if file.is_file() else {}
    values = {
        "test accuracy": known.get("test_accuracy"),
        "test R²": known.get("test_r2"),
        "test loss": known.get("test_loss"),
        "best epoch": epoch,
        "epochs": len(history),
        "parameters": known.get("parameters"),
        "seconds": known.get("seconds"),
    }
    tiles = "".join(
        f"<div><b>{_number(value)}</b><span>{name}</span></div>"
        for name, value in values.items()
        if value is not None
    )
    state = f"stopped by {known['stopped_by']}" if known else "not finished: no test yet"
    return f'<div class="tiles">{tiles}</div><p>{escape(state)}</p>'


def _number(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def _curves(history: list[dict[str, Any]], best: int) -> str:
    """The losses, each metric, and the learning rate."""
    if not history:
        return "<p>No epoch is finished.</p>"
    names = [name for name in history[0] if name.startswith(("train_", "val_"))]
    losses = [name for name in names if name.endswith("_loss")]
    groups = [losses, *([name] for name in names if name not in losses), ["lr"]]
    drawn = []
    for group in groups:
        lines: dict[str, Sequence[float | None]] = {
            name.replace("_", " "): [r.get(name) for r in history] for name in group
        }
        drawn.append(f"<figure>{pictures.lines(lines, best)}</figure>")
    return f'<div class="figures">{"".join(drawn)}</div>'


def _classified(outputs: np.ndarray, splits: Splits, problem: Problem) -> list[str]:
    """The confusion matrix, and the mistakes that the model was surest of."""
    labels, classes = splits.test.targets, problem.classes
    p = F.softmax(tensor(outputs), dim=-1).numpy()
    told = p.argmax(axis=1)
    counts = np.zeros((len(classes), len(classes)), np.int64)
    np.add.at(counts, (labels, told), 1)
    parts = []
    if len(classes) <= MOST_CLASSES:
        parts.append(_section("Confusion matrix", _matrix(counts, classes)))
    wrong = np.flatnonzero(told != labels)
    wrong = wrong[np.argsort(-p[wrong, told[wrong]], kind="stable")][:WORST]
    cards = [
        _card(
            splits.test.features[i],
            problem,
            f"<b>{escape(classes[told[i]])}</b> {p[i, told[i]]:.0%}, "
            f"is {escape(classes[labels[i]])}<br>test sample {i}",
        )
        for i in wrong
    ]
    count = int((told != labels).sum())
    note = f"<p>{count:,} of {len(labels):,} test samples; the surest first.</p>"
    shown = f'<div class="cards">{"".join(cards)}</div>' if cards else ""
    return [*parts, _section("Worst mistakes", note + shown)]


def _matrix(counts: np.ndarray, classes: tuple[str, ...]) -> str:
    """Rows are labels, columns what was predicted; the darker, the more of the row."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in classes)
    rows = []
    for i, (name, row) in enumerate(zip(classes, counts, strict=True)):
        whole = max(int(row.sum()), 1)
        cells = "".join(
            f'<td class="{"hit" if i == j else "miss"}" style="--part:{n / whole:.3f}">{n or ""}'
            "</td>"
            for j, n in enumerate(row)
        )
        recall = f"{row[i] / whole:.1%}" if row.sum() else "–"
        rows.append(f'<tr><th scope="row">{escape(name)}</th>{cells}<td>{recall}</td></tr>')
    long = " long" if max(map(len, classes)) > 3 else ""  # then the titles stand upright
    return (
        f'<div class="wide"><table class="matrix{long}">'
        "<caption>label (rows) and prediction</caption>"
        f'<tr><td></td>{head}<th scope="col">recall</th></tr>{"".join(rows)}</table></div>'
    )


def _card(features: np.ndarray, problem: Problem, text: str) -> str:
    raw = problem.feature_scaling.invert(features)
    drawn = pictures.sample(np.asarray(raw))
    return f'<div class="card">{drawn}<p>{text}</p></div>'


def _regressed(outputs: np.ndarray, splits: Splits, problem: Problem) -> list[str]:
    """Predictions against the truth, and the rows that are furthest off."""
    truth = np.asarray(problem.target_scaling.invert(splits.test.targets), np.float64).ravel()
    told = np.asarray(problem.target_scaling.invert(outputs), np.float64).ravel()
    off = told - truth
    worst = np.argsort(-np.abs(off), kind="stable")[:WORST]
    rows = "".join(
        f"<tr><td>{i}</td><td>{truth[i]:.6g}</td><td>{told[i]:.6g}</td><td>{off[i]:+.4g}</td></tr>"
        for i in worst
    )
    head = "".join(
        f'<th scope="col">{t}</th>' for t in ("test sample", "truth", "predicted", "error")
    )
    error = f"root mean squared error {np.sqrt((off**2).mean()):.4g}, mean {np.abs(off).mean():.4g}"
    return [
        _section("Predictions", f"<figure>{pictures.scatter(truth, told)}</figure><p>{error}</p>"),
        _section(
            "Worst mistakes",
            f'<div class="wide"><table><tr>{head}</tr>{rows}</table></div>',
        ),
    ]


def _table(values: dict[str, Any]) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(str(name)).replace("_", " ")}</th>'
        f"<td>{escape(str(value))}</td></tr>"
        for name, value in values.items()
        if value not in (None, "")
    )
    return f'<div class="wide"><table class="facts">{rows}</table></div>'


def _environment(device: str) -> dict[str, str]:
    """The hardware and versions that results depend on; no names of persons or folders."""
    kernels = tensorlite.backend.HOST.kernels
    return {
        "tensorlite": tensorlite.__version__,
        "Python": platform.python_version(),
        "NumPy": np.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "kernels": "references" if kernels is None else "compiled",
        "threads": str(tensorlite.get_num_threads()),
        "report made on": device,
    }
