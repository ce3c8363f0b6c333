"""Say where tensorlite answers as torch does.

    python tests/parity/report.py                  # a summary
    python tests/parity/report.py sort linalg.svd  # why these differ
    python tests/parity/report.py --update         # takes out of missing.txt what passes now
    python tests/parity/report.py --update --grow  # and puts in what does not: for new calls only

A case is a name of the table, ``alias of NAME`` (its other names), ``in place NAME`` (methods that
end in _), ``refuses NAME`` (what torch refuses) or ``dtype NAME`` (promotion); a name shows all.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]

from parity import missing  # noqa: E402
from parity.cases import ASKED, TABLES, problems  # noqa: E402
from parity.check import Problem  # noqa: E402

SHOWN = 12  # differences of a case
KINDS = (
    "missing",
    "raises",
    "type",
    "value",
    "dtype",
    "gradient",
    "second gradient",
    "keywords",
    "accepts",
)


def worst(found: list[Problem]) -> str:
    """The kind that says most."""
    return min((p.kind for p in found), key=KINDS.index)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--update", action="store_true", help="take out of the list what passes")
    parser.add_argument("--grow", action="store_true", help="put into the list what does not")
    options = parser.parse_args()
    if options.names:
        show(options.names, options.device)
        return
    outcome = {case: problems(case, options.device) for case in TABLES.names()}
    summarise(outcome)
    if options.update:
        update({case: worst(found) for case, found in outcome.items() if found}, options.grow)


def update(differ: dict[str, str], grow: bool) -> None:
    """Write the list: shorter, unless it may grow."""
    new = sorted(set(differ) - set(missing.read()))
    missing.write({case: kind for case, kind in differ.items() if grow or case not in new})
    if new and not grow:
        print(f"these passed, and are not taken into the list: {', '.join(new)}")
        raise SystemExit(1)


def show(names: list[str], device: str) -> None:
    for name in names:
        cases = [c for c in TABLES.names() if name == c or name == c.rpartition(" ")[2]]
        if not cases:
            print(f"{name}: not in the table")
        for case in cases:
            found = problems(case, device)
            print(f"{case}: {worst(found) if found else 'as torch'}")
            for problem in found[:SHOWN]:
                print(f"    {problem.kind}: {problem.text}")
            if len(found) > SHOWN:
                print(f"    … {len(found)} in all")


def summarise(outcome: dict[str, list[Problem]]) -> None:
    for asked in ASKED:
        part = {c: f for c, f in outcome.items() if c.rpartition(" ")[0] == asked}
        kinds = Counter(worst(f) if f else "as torch" for f in part.values())
        counts = ", ".join(f"{n} {k}" for k, n in kinds.most_common())
        print(f"{asked or 'names'}: {len(part)}: {counts}")


if __name__ == "__main__":
    main()
