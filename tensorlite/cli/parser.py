"""The arguments of the command line; what they lead to is imported when it is run."""

from __future__ import annotations

import argparse
import importlib
import math
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

OPTIMIZERS = ("adamw", "adam", "sgd", "rmsprop", "adagrad", "lion")
SCHEDULES = ("constant", "cosine", "one-cycle", "plateau")
DTYPES = ("float32", "float64", "float16", "bfloat16")


class Parser(argparse.ArgumentParser):
    """Reports wrong arguments in one line."""

    def error(self, message: str) -> NoReturn:
        """Print the line and exit with status 2."""
        if int(os.environ.get("PMI_RANK") or os.environ.get("OMPI_COMM_WORLD_RANK") or 0):
            raise SystemExit(2)  # rank 0 prints it
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the arguments; ``run`` of the result carries them out."""
    common = Parser(add_help=False)
    common.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser = Parser(prog="tensorlite", description="Train neural networks on NumPy and CUDA.")
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, help: str) -> Parser:
        made = commands.add_parser(name, help=help, description=help, parents=[common])
        made.set_defaults(run=_later(name))
        return made

    train = command("train", "Train a model on a dataset; with no arguments, on handwritten digits")
    _train(train)
    _sweep(command("sweep", "Train every combination of options that are given several values"))
    _evaluate(command("evaluate", "Judge a trained model by data it has not seen"))
    _predict(command("predict", "Apply a trained model to samples in a file"))
    _report(command("report", "Write a run's curves, mistakes and settings as one HTML file"))
    _bench(
        command("bench", "Measure speed, beside other frameworks and beside the machine's limits")
    )
    _warmup(command("warmup", "Compile all kernels now, so that nothing is compiled later"))
    _selftest(command("selftest", "Check every kernel on this machine, and measure its speed"))
    command("env", "Show versions, devices, kernels and caches, and what is wrong with them")
    command("data", "List the datasets and where each would come from")
    args = parser.parse_args(argv)
    typed = list(sys.argv[1:] if argv is None else argv)
    if getattr(args, "config", None) is not None:
        args = _with_config(parser, train, args, typed)
    args.typed, args.is_process = _without(typed, "--processes"), argv is None
    return args


def _without(typed: list[str], option: str) -> list[str]:
    """The arguments without an option and its value."""
    kept, skip = [], False
    for word in typed:
        if not skip and word != option and not word.startswith(f"{option}="):
            kept.append(word)
        skip = word == option and not skip
    return kept


def _with_config(
    parser: Parser, train: Parser, args: argparse.Namespace, argv: Sequence[str]
) -> argparse.Namespace:
    """The arguments once more, behind those of the file."""
    from tensorlite.cli.config import arguments
    from tensorlite.cli.errors import UsageError

    skipped = {"help", "debug", "config", "resume", "find-lr"}
    options = [a.option_strings[-1][2:] for a in train._actions if a.option_strings]
    try:
        typed, dataset = arguments(args.config, [o for o in options if o not in skipped])
    except UsageError as error:
        train.error(str(error))
    named = [dataset] if dataset is not None and args.dataset is None else []
    return parser.parse_args(["train", *typed, *list(argv)[1:], *named])


def _version() -> str:
    import tensorlite

    return f"tensorlite {tensorlite.__version__}"


def _later(name: str) -> Callable[[argparse.Namespace], int]:
    return lambda args: importlib.import_module(f"tensorlite.cli.{name}").run(args)


def _train(parser: Parser) -> None:
    parser.epilog = "What is left out suits the model and the data; the run shows what it took."
    parser.add_argument(
        "dataset",
        nargs="?",
        metavar="DATASET",
        help="a name (see tensorlite data), or your own: a .csv or .tsv table, .npz or .npy "
        "arrays, a folder of images by class, a text file",
    )
    add = parser.add_argument
    add("--model", metavar="NAME", help="linear, mlp, cnn, gpt, or your own: net.py:Net")
    add("--target", metavar="NAME", help="what is learnt: a column, an array, or a .npy file")
    add("--drop", metavar="COLUMN,…", help="columns of a table that are left out")
    add("--task", choices=("classification", "regression"), help="where the target leaves it open")
    add("--size", type=_count, metavar="PIXELS", help="a side, to which images are scaled")
    add("--epochs", type=_count, metavar="N", help="greatest number of epochs")
    add("--batch-size", type=_count, metavar="N", help="samples in a batch")
    add("--accumulate", type=_count, metavar="N", help="batches that make one step; default 1")
    add("--autocast", choices=("bfloat16", "float16"), help="matrix products in short floats")
    add(
        "--ema",
        type=_part,
        metavar="DECAY",
        help="evaluate and save averaged weights, such as of decay 0.999",
    )
    add("--lr", type=_positive, metavar="RATE", help="learning rate")
    add("--optimizer", choices=OPTIMIZERS)
    add("--momentum", type=_part, metavar="M", help="of sgd; 0 is plain gradient descent")
    add(
        "--weight-decay",
        type=_not_negative,
        metavar="W",
        help="shrinks the weights a little at each step",
    )
    add("--schedule", choices=SCHEDULES, help="of the learning rate")
    add("--device", metavar="NAME", help="cpu, cuda, cuda:1 or auto (default)")
    add(
        "--capture",
        choices=("auto", "on", "off"),
        default="auto",
        help="record a step, then run it without Python: where that can be (default)",
    )
    add("--processes", type=_count, metavar="N", help="train on N processes, through mpiexec")
    add(
        "--shards",
        type=_count,
        metavar="N",
        help="parts that every batch is cut into; on them the bits depend, not on the processes; "
        "default: as many as processes",
    )
    add("--seed", type=_seed, metavar="N", help="of everything random; default 0")
    add("--val-fraction", type=_part, metavar="F", help="of the training data, for validation")
    add("--patience", type=_count, metavar="N", help="stop after N epochs without improvement")
    add("--target-loss", type=_finite, metavar="LOSS", help="stop at this validation loss")
    add(
        "--save-every",
        type=_interval,
        metavar="N",
        help="write a checkpoint every N batches too, or every 10min, 90s, 1.5h; default 500",
    )
    add("--find-lr", action="store_true", help="say which learning rate to begin with, and end")
    add("--config", metavar="FILE", help="options in TOML; those that are typed go before them")
    add("--out", metavar="DIR", help="default: runs/DATASET-MODEL, numbered if that is there")
    add(
        "--resume",
        nargs="?",
        const="",
        metavar="DIR",
        help="continue the run in DIR, by default the newest under runs/",
    )


def _sweep(parser: Parser) -> None:
    parser.add_argument("--out", metavar="DIR", help="default: runs/sweep, numbered if it is there")
    parser.add_argument(
        "options",
        nargs=argparse.REMAINDER,
        metavar="…",
        help="what train takes; values with commas between them are tried in turn",
    )


def _evaluate(parser: Parser) -> None:
    parser.add_argument("dir", metavar="DIR", help="folder of a run")
    parser.add_argument("--device", default="auto", metavar="NAME")
    parser.add_argument("--processes", type=_count, metavar="N", help="share the work, by mpiexec")


def _predict(parser: Parser) -> None:
    parser.add_argument("dir", metavar="DIR", help="folder of a run")
    parser.add_argument(
        "file",
        metavar="FILE",
        help="raw samples: .npy, .npz, .csv (with the columns of training), an image, a folder of "
        "images; or a text",
    )
    parser.add_argument("--device", default="auto", metavar="NAME")
    parser.add_argument("--out", metavar="FILE", help="write all predictions there, as .csv")


def _report(parser: Parser) -> None:
    parser.add_argument("dir", metavar="DIR", help="folder of a run")
    parser.add_argument("--device", default="auto", metavar="NAME")
    parser.add_argument("--out", metavar="FILE", help="default: DIR/report.html")


def _bench(parser: Parser) -> None:
    parser.epilog = "Each framework runs in a process of its own, and they take turns."
    add = parser.add_argument
    add("kind", nargs="?", choices=("steps", "ops"), default="steps", help="default: steps")
    add("names", nargs="*", metavar="NAME", help="workloads; all by default")
    add("--device", default="cpu", metavar="NAME")
    add("--dtype", choices=DTYPES, default="float32")
    add("--host", action="store_true", help="steps on CUDA: what they take before the GPU does")
    add("--compare", type=_names, default=[], metavar="PEERS", help="torch, jax or torch,jax")
    add("--rounds", type=_count, default=15, metavar="N")
    add("--report", action="store_true", help="steps and operations in one page to show around")
    add("--out", metavar="DIR", help="default: runs/bench-KIND, numbered if that is there")


def _selftest(parser: Parser) -> None:
    parser.epilog = "The report is what belongs into an issue about wrong or slow results."
    parser.add_argument("--device", default="cpu", metavar="NAME")
    parser.add_argument("--dtype", choices=DTYPES, help="of this one alone")
    parser.add_argument("--no-rates", action="store_true", help="check only, measure nothing")
    parser.add_argument(
        "--out", metavar="DIR", help="default: runs/selftest, numbered if that is there"
    )


def _warmup(parser: Parser) -> None:
    parser.add_argument("--device", default="cpu", metavar="NAME")
    parser.add_argument("--dtype", choices=DTYPES, help="CUDA's kernels of this one alone")
    parser.add_argument(
        "--native",
        action="store_true",
        help="compile for this very CPU, in place of the kernels that came with the package",
    )


# --- types of arguments ---------------------------------------------------------------------------


def _checked(convert: Callable[[str], Any], valid: Callable[[Any], bool], wanted: str) -> Callable:
    """A type for argparse that accepts what is `valid`."""

    def read(text: str) -> Any:
        try:
            value = convert(text)
        except ValueError:
            value = None
        if value is None or not valid(value):
            raise argparse.ArgumentTypeError(f"{text!r} is not {wanted}")
        return value

    return read


_count = _checked(int, lambda n: n >= 1, "a whole number of at least 1")
_seed = _checked(int, lambda n: 0 <= n < 1 << 32, "a whole number from 0 to 2³² − 1")
_positive = _checked(float, lambda x: 0 < x < math.inf, "a number above 0")
_not_negative = _checked(float, lambda x: 0 <= x < math.inf, "a number of at least 0")
_finite = _checked(float, math.isfinite, "a number")
_part = _checked(float, lambda x: 0 <= x < 1, "a number from 0 to below 1")


def _interval(text: str) -> int | str:
    """A number of batches, or a time as the Trainer reads it."""
    from tensorlite.training.intervals import Interval

    try:
        Interval(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither a number of batches nor a time such as 10min, 90s or 1.5h"
        ) from None
    return int(text) if text.strip().isdigit() else text.strip()


def _names(text: str) -> list[str]:
    """Names with commas between them."""
    return [name for name in text.split(",") if name]
