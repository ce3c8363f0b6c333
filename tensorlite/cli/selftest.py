"""``tensorlite selftest``: every kernel against float64 on this machine, and how fast it is."""

from __future__ import annotations

import contextlib
import io
import time
from argparse import Namespace
from pathlib import Path

import tensorlite as tl
from tensorlite.backend import Device, backend_for
from tensorlite.backend.kernels.declarations import families
from tensorlite.cli import env
from tensorlite.cli.checking import Result, checked, precision, random_bits
from tensorlite.cli.checks import CHECKS, NOT_CHECKED
from tensorlite.cli.findings import Findings, of_device
from tensorlite.cli.rates import Limits, rate
from tensorlite.cli.references import References
from tensorlite.cli.train import new_folder


def run(args: Namespace) -> int:
    """Check the device, print a report and write it; return 1 if anything is wrong."""
    device = tl.device(args.device)
    every = [k.name for group in families("cuda").values() for k in group]
    findings = Findings(device, every if _compiles(device) else [])
    dtypes = [args.dtype] if args.dtype else _dtypes()
    start = time.perf_counter()
    ended = ""
    try:
        with References(CHECKS, dtypes) as references, backend_for(device).on(device):
            _describe(findings, dtypes)
            ended = _check_all(findings, dtypes, not args.no_rates, references)
    except KeyboardInterrupt:
        ended = f"interrupted after {len({r.name for r in findings.results})} checks"
        raise
    finally:
        findings.facts["seconds"] = time.perf_counter() - start
        findings.facts["ended_early"] = ended or None
        _conclude(findings, ended)
        _write(findings, Path(args.out) if args.out else new_folder("selftest"))
    return 1 if findings.wrong or findings.without_memory or ended else 0


def _compiles(device: Device) -> bool:
    return device.type == "cuda" and backend_for(device).kernels is not None


def _dtypes() -> list[str]:
    """The dtypes that are worth checking here."""
    found = ["float32", "float64", "float16"]
    with contextlib.suppress(ImportError):
        import ml_dtypes  # noqa: F401

        found.append("bfloat16")
    return found


def _describe(findings: Findings, dtypes: list[str]) -> None:
    """Say what is there, and compile its kernels."""
    with contextlib.redirect_stdout(io.StringIO()) as text:
        env.run(Namespace())
    state = text.getvalue().splitlines()
    findings.facts["state"] = state
    findings.facts["device"] = facts = of_device(findings.device)
    for line in state:
        findings.say(line)
    if findings.device.type == "cuda":
        findings.say(f"{findings.device}: {', '.join(f'{k} {v}' for k, v in facts.items())}")
    if backend_for(findings.device).kernels is None:
        findings.say(f"no compiled kernels for {findings.device}: NumPy's and CuPy's functions run")
    if _compiles(findings.device):
        from tensorlite.backend.kernels.nvrtc import compile_modules, modules_of

        start = time.perf_counter()
        modules = modules_of(dtypes)
        findings.say(f"compiling {len(modules)} modules of kernels, or loading them …")
        compile_modules(modules, findings.device.index)
        findings.facts["seconds_of_compiling"] = seconds = time.perf_counter() - start
        findings.say(f"ready after {seconds:.0f} s")
    findings.say()


def _check_all(findings: Findings, dtypes: list[str], rates: bool, references: References) -> str:
    """Run the checks; return why it ended before the last one, if it did."""
    device, known = findings.device, Limits(findings.device)
    if rates:
        findings.say("Rates: both passes, beside what a copy or a large product reaches here.")
    findings.say(f"{'largest error, of the largest':44}" + "".join(f"{d:>10}" for d in dtypes))
    for check in CHECKS:
        results = []
        for dtype in dtypes:
            result = checked(check, dtype, device, references)
            results.append(result)
            if result.problem and (lost := _lost(device)):
                findings.show(check.name, results)
                return f"{device} answers no more after {check.name} ({dtype}): {lost}"
            if rates and check.large and not result.problem and dtype in ("float32", "bfloat16"):
                with precision(check):
                    result.rate = rate(check, dtype, device, known)
        findings.show(check.name, results)
    findings.facts["limits"] = known.said()
    bits: Result = random_bits(device)
    findings.show(bits.name, [bits])
    return ""


def _lost(device: Device) -> str:
    """What the driver says where a kernel has broken the process's connection to the GPU."""
    if device.type != "cuda":
        return ""
    try:
        tl.cuda.synchronize(device)
    except Exception as error:
        return f"{error}".split("\n")[0]
    return ""


def _conclude(findings: Findings, ended: str) -> None:
    say, wrong = findings.say, findings.wrong
    missing = [name for name in findings.not_asked_for if name not in NOT_CHECKED]
    if findings.results and _compiles(findings.device):
        every = len({k.name for group in families("cuda").values() for k in group})
        say(f"kernels: {every - len(findings.not_asked_for)} of {every} have run")
        if missing:
            say(f"not asked for: {', '.join(missing)}")
    if findings.without_memory:
        first = findings.without_memory[0]
        say(
            f"{len(findings.without_memory)} checks did not run for want of memory; the first: "
            f"{first.said}. See nvidia-smi for what else holds memory"
        )
    say(f"{len(wrong) or 'nothing'} wrong, in {findings.facts['seconds']:.0f} s")
    for result in wrong:
        say(f"problem: {result.said}")
    if ended:
        say(f"ended early: {ended}")


def _write(findings: Findings, folder: Path) -> None:
    try:
        findings.write(folder)
    except OSError as error:
        print(f"the report could not be written to {folder}: {error.strerror or error}")
        return
    print(f"report.txt and report.json are in {folder}: attach both to an issue")
