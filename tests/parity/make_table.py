"""Make the parity tables from torch 2.13 and its own operator database.

    python tests/parity/make_table.py           # writes the tables
    python tests/parity/make_table.py --check   # compares, and writes nothing

It needs torch 2.13 and expecttest, which torch's database imports. The suite needs neither.

Of each operation's sample inputs a handful is kept, those that differ most in arguments. Each is
called as torch types it: as a function, and as a method where there is one.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.testing._internal.common_methods_invocations import op_db

sys.path.insert(0, str(Path(__file__).parents[1]))

from parity import promotion
from parity.torch_calls import (
    INPUT_BITS,
    LARGEST,
    REFUSALS,
    Large,
    Reader,
    Unfit,
    aliases,
    elements,
    encoded,
    entry_for,
    recorded,
    resolve,
    run,
    with_seed,
)
from parity.values import HERE, Numbers, Store, leaves, read_json

DRAWN = 400  # samples looked at
KEPT = 8  # samples in float64 an operation
REFUSED = 8  # error inputs an operation


def extra_calls() -> dict[str, list[tuple[list, dict]]]:
    """Calls where the database draws random numbers, functions, or much."""

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, dtype=torch.float64, requires_grad=True)

    log_probs = torch.log_softmax(draw(6, 2, 4), 2).detach().requires_grad_()
    targets = torch.tensor([[1, 2, 2], [3, 1, 0]])
    lengths = (torch.tensor([6, 5]), torch.tensor([3, 2]))
    triple = [draw(4, 3), draw(4, 3), draw(4, 3)]
    width = 4
    weights = [width, 2, draw(3 * width, width), draw(3 * width), None, None, False, 0.0]
    weights += [draw(width, width), draw(width)]
    query, key = draw(3, 2, width), draw(5, 2, width)
    mask = torch.tensor([[False] * 4 + [True], [False] * 5])
    return {
        "nn.functional.ctc_loss": [
            ([log_probs, targets, *lengths], {}),
            ([log_probs, targets, *lengths], {"reduction": "none", "blank": 0}),
            ([log_probs, targets, *lengths], {"reduction": "sum", "zero_infinity": True}),
            ([log_probs, torch.tensor([1, 2, 2, 3, 1]), (6, 5), (3, 2)], {}),
        ],
        "nn.functional.triplet_margin_with_distance_loss": [
            (triple, {}),
            (triple, {"margin": 0.5, "swap": True, "reduction": "none"}),
            (triple, {"reduction": "sum"}),
        ],
        "nn.functional.multi_head_attention_forward": [
            ([query, query, query, *weights], {}),
            ([query, key, key, *weights], {"need_weights": False}),
            ([query, key, key, *weights], {"training": False, "key_padding_mask": mask}),
            ([query, key, key, *weights], {"training": False, "average_attn_weights": False}),
        ],
    }


# --- choosing -----------------------------------------------------------------------------------


def features(value: Any, place: str) -> set[str]:
    """What makes a call unlike another."""
    if isinstance(value, torch.Tensor):
        empty = " empty" if value.numel() == 0 else ""
        return {f"{place} {value.dim()}-d{empty}", f"{place} {value.dtype}"}
    if isinstance(value, dict):
        return {f for k, v in value.items() for f in features(v, f"{place} {k}")}
    if isinstance(value, (list, tuple)) and any(True for _ in leaves(value, torch.Tensor)):
        return {f"{place} of {len(value)}"} | {
            f for i, v in enumerate(value) for f in features(v, f"{place}{i}")
        }
    return {f"{place} {value!r}"}


def chosen(samples: list, n: int) -> list:
    """Samples that show the most features, each time the one that adds most."""
    pool = [
        (features([s.input, *s.args], "a") | features(s.kwargs, "k"), i)
        for i, s in enumerate(samples)
    ]
    seen: set[str] = set()
    taken: list[int] = []
    while pool and len(taken) < n:
        best = max(pool, key=lambda p: (len(p[0] - seen), -p[1]))
        if not best[0] - seen:
            seen = set()  # all is shown: once more, in other company
        pool.remove(best)
        seen |= best[0]
        taken.append(best[1])
    return [samples[i] for i in taken]


def shrunk(sample: Any, lengths: tuple = (None, 8, 6, 5, 4, 3, 2)) -> Any:
    """The sample with every axis cut to one length: shapes that fitted each other still do."""
    for longest in lengths:

        def cut(x: Any, longest: int | None = longest) -> Any:
            if isinstance(x, torch.Tensor) and x.layout == torch.strided and longest:
                part = x.detach()[tuple(slice(min(n, longest)) for n in x.shape)]
                return part.clone().requires_grad_(x.requires_grad)
            return x

        smaller = sample.transform(cut)
        if elements(smaller.input, smaller.args, smaller.kwargs) <= LARGEST:
            return smaller
    return None


def drawn(op: Any, dtype: torch.dtype, grad: bool) -> list:
    with_seed(7)
    samples = []
    try:
        for sample in op.sample_inputs("cpu", dtype, requires_grad=grad):
            smaller = shrunk(sample)
            if smaller is not None:
                samples.append(smaller)
            if len(samples) == DRAWN:
                break
    except (RuntimeError, ModuleNotFoundError) as error:
        print(f"  {op.full_name} {dtype}: {error}", file=sys.stderr)
    return samples


def entries_of(name: str, op: Any, store: Store) -> list[dict]:
    dtypes = op.supported_dtypes("cpu")
    plan = [(torch.float64, KEPT), (torch.float32, 1), (torch.int64, 1), (torch.bool, 1)]
    plan += [(torch.bfloat16, 1), (torch.uint8, 1)]
    if torch.float64 not in dtypes:
        plan = [(torch.int64, KEPT), (torch.bool, 2), (torch.uint8, 1)]
    entries: list[dict] = []
    why = "no samples"
    for dtype, n in plan:
        if dtype not in dtypes:
            continue
        differentiable = dtype.is_floating_point and op.supports_autograd
        found = 0
        for sample in chosen(drawn(op, dtype, differentiable), 3 * n):
            try:
                try:
                    entry = entry_for(name, op, sample, store)
                except Large:
                    entry = entry_for(name, op, shrunk(sample, (3,)), store)
            except (Unfit, *REFUSALS) as error:  # what torch raises on is not stored
                why = f"{type(error).__name__}: {error}"
                continue
            entries.append(entry)
            found += 1
            if found == n:
                break
    if not entries and name not in extra_calls():
        print(f"  {name}: no sample fits: {why}", file=sys.stderr)
    return entries


def refused_by(op: Any, store: Store) -> list[dict]:
    """Error inputs of torch's database that a table can hold and torch does refuse."""
    if op.error_inputs_func is None:
        return []
    with_seed(7)
    entries = []
    torch.use_deterministic_algorithms(True)  # so memory that is not set is
    inputs = list(op.error_inputs("cpu"))
    torch.use_deterministic_algorithms(False)
    for bad in inputs:
        sample = bad.sample_input
        if op.op is not resolve(op.name) or len(entries) == REFUSED:
            continue
        args, kwargs = [sample.input, *sample.args], dict(sample.kwargs)
        try:
            if elements(args, kwargs) > LARGEST:
                continue
            own = Store()
            entry: dict[str, Any] = {"args": [encoded(a, own, INPUT_BITS) for a in args]}
            if kwargs:
                entry["kwargs"] = {k: encoded(v, own, INPUT_BITS) for k, v in kwargs.items()}
            reader = Reader(own)
            run(f"torch.{op.name}", entry, reader)
        except Unfit:
            continue
        except Exception as error:
            entry["forms"] = [f"torch.{op.name}"]
            entry["raises"] = type(error).__name__
            entries.append(store.adopt(entry, own))
    return entries


# --- writing ------------------------------------------------------------------------------------


def made() -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    by_name = {
        o.name + (f".{o.variant_test_name}" if o.variant_test_name else ""): o for o in op_db
    }
    store = Store()
    with_seed(7)
    extra = extra_calls()
    table: dict[str, list] = {}
    refused: dict[str, list] = {}
    others: dict[str, list] = {}
    for name in (HERE / "names.txt").read_text(encoding="utf-8").split():
        op = by_name[name]
        table[name] = entries_of(name, op, store)
        for args, kwargs in extra.get(name, ()):
            form = [f"torch.{op.name}"]
            second = op.supports_gradgrad
            table[name].append(recorded(name, form, args, kwargs, second, store))
        if bad := refused_by(op, store):
            refused[name] = bad
        if forms := aliases(op):
            others[name] = forms
    tables = {
        "table.json": table,
        "refused.json": refused,
        "aliases.json": others,
        "promotion.json": promotion.made(torch),
    }
    return tables, store.arrays()


def written(table: dict[str, list]) -> str:
    """JSON with a call a line."""
    parts = []
    for name, rows in table.items():
        lines = ",\n".join("  " + json.dumps(row, separators=(",", ":")) for row in rows)
        parts.append(f"{json.dumps(name)}: [\n{lines}\n]")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def main() -> None:
    if os.environ.get("PYTHONHASHSEED") != "0":  # torch's database walks through sets of strings
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, [sys.executable, *sys.argv])
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with what is stored")
    options = parser.parse_args()
    if not torch.__version__.startswith("2.13."):
        raise SystemExit(f"the tables are torch 2.13's, and this is {torch.__version__}")
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    tables, arrays = made()
    if options.check:
        stored = Numbers.read(HERE / "numbers.npz")
        changed = [name for name, table in tables.items() if read_json(name) != table]
        made_now = Numbers(arrays)
        changed += [
            name
            for name, row in made_now.rows.items()
            if name not in stored.rows or row.tobytes() != stored.rows[name].tobytes()
        ]
        raise SystemExit(f"changed: {changed}" if changed else 0)
    for name, table in tables.items():
        (HERE / name).write_text(written(table), encoding="utf-8")
    np.savez_compressed(HERE / "numbers.npz", **arrays)


if __name__ == "__main__":
    main()
