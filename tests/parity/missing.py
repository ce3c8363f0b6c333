"""Cases of the parity table that tensorlite does not pass yet: `missing.txt`, and how to write it.

A line is a kind of difference and a case. A case that passes and stands there fails the suite:
``python tests/parity/report.py --update`` takes it out.
"""

from __future__ import annotations

from parity.values import HERE

PATH = HERE / "missing.txt"


def read() -> dict[str, str]:
    """The cases, and in what they differ from torch."""
    found = {}
    for line in PATH.read_text(encoding="utf-8").splitlines():
        kind, _, case = line.partition(": ")
        found[case] = kind
    return found


def write(cases: dict[str, str]) -> None:
    """Put the cases in the list's place."""
    lines = [f"{kind}: {case}\n" for case, kind in sorted(cases.items())]
    PATH.write_text("".join(lines), encoding="utf-8")
