"""``tensorlite bench``: speed beside other frameworks and beside the machine's limits."""

from __future__ import annotations

import json
import os
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np

import tensorlite
from tensorlite import io
from tensorlite.bench import counts, limits, report, roofline
from tensorlite.bench.comparison import OURS, compare_all
from tensorlite.bench.frameworks import PEERS, Framework, check_installed
from tensorlite.bench.host_time import HOST_STEPS, host_time
from tensorlite.bench.ops import OPS, both_ways
from tensorlite.bench.steps import STEPS
from tensorlite.cli.errors import UsageError, usage
from tensorlite.cli.train import new_folder
from tensorlite.suggest import choose

BUSY = 0.3  # cores, on average over the last minute


def run(args: Namespace) -> int:
    """Measure or, on the CUDA emulator, count; print the table, write the numbers."""
    if args.host and (args.kind == "ops" or args.device == "cpu" or args.compare):
        raise UsageError(
            "--host is for steps of tensorlite on CUDA: bench steps --device cuda --host"
        )
    if args.report and args.host:
        raise UsageError("--report shows times beside the machine's limits, and --host has none")
    known = OPS if args.kind == "ops" else HOST_STEPS if args.host else STEPS
    with usage():
        names = [choose(f"workload of {args.kind}", name, known) for name in args.names]
        peers = [choose("framework", peer, PEERS) for peer in args.compare]
    names = names or list(known)
    for peer in peers:
        check_installed(peer)
    if args.host:
        os.environ.setdefault("CUDA_EMULATOR_DRYRUN", "1")  # read when the emulator is loaded
    device = str(tensorlite.device(args.device))
    emulated = device != "cpu" and counts.emulator() is not None
    if emulated and (peers or args.report):
        raise UsageError(
            "on the CUDA emulator tensorlite is counted, not timed: leave out --compare, --report"
        )
    kind = "report" if args.report else args.kind
    out = Path(args.out) if args.out else new_folder(f"bench-{kind}")
    out.mkdir(parents=True, exist_ok=True)
    if args.report:
        from tensorlite.cli import bench_report

        chosen = names if args.names else None
        return bench_report.run(args, chosen, peers, device, out)
    if args.host:
        return _host(names, device, args.dtype, args.rounds, out)
    if emulated:
        return _count(args.kind, names, device, args.dtype, out)
    return _time(args, names, peers, device, out)


def _time(args: Namespace, names: list[str], peers: list[str], device: str, out: Path) -> int:
    """Measure each workload; where one fails, say so and go on with the others."""
    print(f"{device}, {args.dtype}, {tensorlite.get_num_threads()} threads, {args.rounds} rounds")
    load = os.getloadavg()[0]
    if load > BUSY:
        print(f"note: load {load:.1f} in the last minute; if others still run, times will be off")
    measured = None
    if args.kind == "ops":
        print("measuring the limits …", flush=True)
        measured = limits.measure(device, args.dtype)
    results, failures = compare_all(args.kind, names, peers, device, args.dtype, args.rounds)
    if results and measured is None:
        print(report.steps_table(results, peers))
    elif results and measured is not None:
        _show_ops(results, peers, measured, args.dtype, out)
    _write(
        out,
        {
            "device": device,
            "dtype": args.dtype,
            "threads": tensorlite.get_num_threads(),
            "rounds": args.rounds,
            "load_before": load,
            "limits": measured and measured._asdict(),
            "results": results,
            "failures": failures,
        },
    )
    for failure in failures:
        print(f"tensorlite bench: {failure}", file=sys.stderr)
    return 1 if failures else 0


def _show_ops(
    results: report.Results, peers: list[str], measured: limits.Limits, dtype: str, out: Path
) -> None:
    itemsize = _itemsize(dtype)
    print(report.ops_table(results, peers, measured, itemsize))
    points = report.points_of(results, itemsize)
    if not roofline.draw(points, measured, out / "roofline.png", f"tensorlite, {dtype}"):
        print('no roofline.png: matplotlib is not installed (pip install "tensorlite[plot]")')


def _count(kind: str, names: list[str], device: str, dtype: str, out: Path) -> int:
    """On the emulator times mean nothing, but counts are exact."""
    framework = Framework(OURS, device, dtype)
    counted: dict[str, Any] = {}
    for name in names:
        if kind == "steps":
            counted[name] = counts.count(STEPS[name](framework))
        else:
            # What an operation must move is known without looking at how it does it.
            found = counts.count(both_ways(framework, name)["both"])
            counted[name] = found._replace(least=int(sum(OPS[name].moved) * _itemsize(dtype)))
    print(report.counts_table(counted))
    told = {name: c._asdict() for name, c in counted.items()}
    _write(out, {"device": device, "dtype": dtype, "counts": told})
    return 0


def _host(names: list[str], device: str, dtype: str, rounds: int, out: Path) -> int:
    """Measure what steps take on the host."""
    framework = Framework(OURS, device, dtype)
    measured = {name: host_time(HOST_STEPS[name](framework), rounds) for name in names}
    print(report.host_table(measured))
    found = {name: t._asdict() for name, t in measured.items()}
    _write(out, {"device": device, "dtype": dtype, "rounds": rounds, "host": found})
    return 0


def _itemsize(dtype: str) -> int:
    return np.dtype(getattr(tensorlite, dtype)).itemsize


def _write(out: Path, numbers: dict[str, Any]) -> None:
    text = json.dumps(numbers, indent=2) + "\n"
    io.write_atomically(out / "bench.json", lambda name: Path(name).write_text(text))
    print(f"written to {out}")
