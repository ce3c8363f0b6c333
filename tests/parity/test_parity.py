"""What torch's users type gives what torch gives: values, dtypes, types, gradients, refusals."""

from __future__ import annotations

import pytest

from parity import missing
from parity.cases import TABLES, problems

LISTED = missing.read()


@pytest.mark.parametrize("case", list(TABLES.names()))
def test_as_torch(case: str, device) -> None:
    quick = device.type == "cuda"  # where that is an emulator every launch is slow
    found = problems(case, device, quick)
    if case in LISTED:
        if not found and not quick:
            pytest.fail(
                f"{case!r} is as torch's now: take it out of the list of those that are not yet: "
                "python tests/parity/report.py --update"
            )
        pytest.xfail(LISTED[case])
    text = "\n".join(f"{p.kind}: {p.text}" for p in found[:6])
    assert not found, f"{case}: {len(found)} differences from torch\n{text}"


def test_the_list_names_cases() -> None:
    assert set(LISTED) <= set(TABLES.names())
