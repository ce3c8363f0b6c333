"""``tensorlite bench``: speed beside other frameworks and beside the machine's limits."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np

import tensorlite
from tensorlite import io, suggest
from tensorlite.bench import counts, limits, report, roofline
from tensorlite.bench.comparison import OURS, compare
from tensorlite.bench.frameworks import Framework, check_installed
from tensorlite.bench.ops import OPS, both_ways
from tensorlite.bench.steps import STEPS
from tensorlite.cli.train import new_folder


def run(args: Namespace) -> int:
    """Measure, print the table, write the numbers and the picture."""
    known = OPS if args.kind == "ops" else STEPS
    names = [suggest.choose(f"workload of {args.kind}", name, known) for name in args.names]
    names = names or list(known)
    peers = [suggest.choose("framework", peer, ("torch", "jax")) for peer in args.compare]
    for peer in peers:
        check_installed(peer)
    device = str(tensorlite.device(args.device))
    if device != "cpu" and counts.emulator() is not None:
        return _count(args.kind, names, device, args.dtype)
    out = Path(args.out) if args.out else new_folder(f"bench-{args.kind}")
    out.mkdir(parents=True, exist_ok=True)
    print(f"{device}, {args.dtype}, {tensorlite.get_num_threads()} threads, {args.rounds} rounds")
    measured = _limits(device, args.dtype) if args.kind == "ops" else None
    results = {}
    for name in names:
        print(f"measuring {name} …", flush=True)
        results[name] = compare(args.kind, name, [OURS, *peers], device, args.dtype, args.rounds)
    _write(out, {"device": device, "dtype": args.dtype, "limits": measured, "results": results})
    if measured is None:
        print(report.steps_table(results, peers))
    else:
        _show_ops(results, peers, measured, args.dtype, out)
    print(f"written to {out}")
    return 0


def _limits(device: str, dtype: str) -> limits.Limits:
    print("measuring the limits …", flush=True)
    return limits.measure(device, dtype)


def _show_ops(
    results: report.Results, peers: list[str], measured: limits.Limits, dtype: str, out: Path
) -> None:
    itemsize = np.dtype(getattr(tensorlite, dtype)).itemsize
    print(report.ops_table(results, peers, measured, itemsize))
    points = [p for name in results for p in report.points_of(name, results[name][OURS], itemsize)]
    if not roofline.draw(points, measured, out / "roofline.png", f"tensorlite, {dtype}"):
        print('no roofline.png: matplotlib is not installed (pip install "tensorlite[plot]")')


def _write(out: Path, numbers: dict[str, Any]) -> None:
    if numbers["limits"] is not None:
        numbers["limits"] = numbers["limits"]._asdict()
    text = json.dumps(numbers, indent=2) + "\n"
    io.write_atomically(out / "bench.json", lambda name: Path(name).write_text(text))


def _count(kind: str, names: list[str], device: str, dtype: str) -> int:
    """On the emulator times mean nothing, but counts are exact."""
    framework = Framework(OURS, device, dtype)
    itemsize = np.dtype(getattr(tensorlite, dtype)).itemsize
    counted, least = {}, {}
    for name in names:
        if kind == "ops":
            counted[name] = counts.count(both_ways(framework, name)["both"])
            least[name] = sum(OPS[name].moved) * itemsize
        else:
            counted[name] = counts.count(STEPS[name](framework))
    print(report.counts_table(counted, least))
    return 0
