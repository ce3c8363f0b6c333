"""``tensorlite bench --report``: all measurements as one HTML page, and as Markdown."""

from __future__ import annotations

import base64
import datetime
import importlib.metadata
import json
import os
import platform
from argparse import Namespace
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

import tensorlite
from tensorlite import io
from tensorlite.bench import limits, report, roofline
from tensorlite.bench.comparison import compare_all
from tensorlite.bench.ops import OPS
from tensorlite.bench.steps import STEPS
from tensorlite.cli.report import page

METHOD = (
    "Each framework runs in a process of its own, with the same number of threads, and they take "
    "turns; results are compared before anything is timed. Times are medians, with their "
    "quartiles; a ratio below 1 says that tensorlite takes less. Memory is the peak of the process."
)


def run(args: Namespace, names: list[str] | None, peers: list[str], device: str, out: Path) -> int:
    """Measure steps and operations, or those of one kind that are named; write the pages."""
    facts = machine(peers, device, args)
    print(", ".join(f"{name} {value}" for name, value in facts.items()), flush=True)
    steps = names if names and args.kind == "steps" else [] if names else list(STEPS)
    ops = names if names and args.kind == "ops" else [] if names else list(OPS)
    parts: list[tuple[str, list[list[str]], str, bytes | None]] = []
    numbers: dict[str, Any] = {"machine": facts}
    failures: list[str] = []
    if steps:
        results, failed = compare_all("steps", steps, peers, device, args.dtype, args.rounds)
        failures += failed
        numbers["steps"] = results
        if results:
            parts.append(("Training steps", report.steps_rows(results, peers), "", None))
    if ops:
        print("measuring the limits …", flush=True)
        best = limits.measure(device, args.dtype)
        results, failed = compare_all("ops", ops, peers, device, args.dtype, args.rounds)
        failures += failed
        numbers |= {"ops": results, "limits": best._asdict()}
        if results:
            itemsize = np.dtype(getattr(tensorlite, args.dtype)).itemsize
            rows = report.ops_rows(results, peers, best, itemsize)
            picture = _roofline(report.points_of(results, itemsize), best, out, args.dtype)
            parts.append(("Operations", rows, report.limits_line(best), picture))
    _write(out, "report.html", as_html(facts, parts, failures))
    _write(out, "report.md", as_markdown(facts, parts, failures))
    _write(out, "bench.json", json.dumps(numbers | {"failures": failures}, indent=2) + "\n")
    print(as_markdown(facts, parts, failures))
    print(f"written to {out}: report.html, report.md, bench.json")
    return 1 if failures else 0


def machine(peers: list[str], device: str, args: Namespace) -> dict[str, str]:
    """The hardware and versions that times depend on; no names of persons or folders."""
    versions = {"tensorlite": tensorlite.__version__, "NumPy": np.__version__}
    versions |= {peer: importlib.metadata.version(peer) for peer in peers}
    return {
        **versions,
        "Python": platform.python_version(),
        "processor": _processor(),
        "threads": str(tensorlite.get_num_threads()),
        "kernels": "references" if tensorlite.backend.HOST.kernels is None else "compiled",
        "system": f"{platform.system()} {platform.machine()}",
        "device": device,
        "dtype": args.dtype,
        "rounds": str(args.rounds),
        "load before": f"{os.getloadavg()[0]:.1f}",
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


def _processor() -> str:
    """The CPU's own name, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def _roofline(
    points: list[roofline.Point], best: limits.Limits, out: Path, dtype: str
) -> bytes | None:
    path = out / "roofline.png"
    drawn = roofline.draw(points, best, path, f"tensorlite, {dtype}")
    return path.read_bytes() if drawn else None


def as_html(facts: dict[str, str], parts: list, failures: list[str]) -> str:
    """One file that opens anywhere."""
    sections = [_section("Machine", _facts(facts)), _section("Method", f"<p>{METHOD}</p>")]
    for title, rows, note, picture in parts:
        content = f"<p>{escape(note)}</p>" if note else ""
        content += _table(rows)
        if picture is not None:
            data = base64.b64encode(picture).decode()
            alt = "speed of each operation under the machine's limits"
            source = f"data:image/png;base64,{data}"
            content += f'<p><img alt="{alt}" style="max-width:100%" src="{source}"></p>'
        sections.append(_section(title, content))
    if failures:
        items = "".join(f"<li>{escape(failure)}</li>" for failure in failures)
        sections.append(_section("Not measured", f"<ul>{items}</ul>"))
    return page("tensorlite bench", sections)


def _section(title: str, content: str) -> str:
    return f"<section>\n<h2>{escape(title)}</h2>\n{content}\n</section>\n"


def _facts(facts: dict[str, str]) -> str:
    rows = "".join(f"<tr><th>{escape(k)}</th><td>{escape(v)}</td></tr>" for k, v in facts.items())
    return f'<div class="wide"><table class="facts">{rows}</table></div>'


def _table(rows: list[list[str]]) -> str:
    titles, *lines = rows
    head = "".join(f'<th scope="col">{escape(title)}</th>' for title in titles)
    body = "".join(
        f'<tr><th scope="row">{escape(line[0])}</th>'
        f"{''.join(f'<td>{escape(cell)}</td>' for cell in line[1:])}</tr>"
        for line in lines
    )
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'


def as_markdown(facts: dict[str, str], parts: list, failures: list[str]) -> str:
    """The same to be posted."""
    text = [", ".join(f"{name} {value}" for name, value in facts.items()), "", METHOD]
    for title, rows, note, _ in parts:
        titles, *lines = rows
        text += ["", f"## {title}", "", *([note, ""] if note else [])]
        text += [_line(titles), _line(["---"] + ["---:"] * (len(titles) - 1))]
        text += [_line(line) for line in lines]
    if failures:
        text += ["", "Not measured:", "", *[f"* {failure}" for failure in failures]]
    return "\n".join(text) + "\n"


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _write(out: Path, name: str, text: str) -> None:
    path = out / name
    io.write_atomically(path, lambda place: Path(place).write_text(text, encoding="utf-8"))
