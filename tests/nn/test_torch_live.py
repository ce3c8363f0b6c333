"""As test_torch_layers.py, but with torch at work in float64, on other values; only where it is
installed."""

from __future__ import annotations

import pytest
from test_torch_layers import check
from torch_cases import Case
from torch_cases_all import CASES

from tensorlite.backend import Device

pytest.importorskip("torch", reason="no torch: its stored results are what is compared with")

from make_reference import results


@pytest.mark.filterwarnings("ignore:Using padding='same'")  # torch's, about its speed
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_as_torch_does(case: Case, device: Device) -> None:
    check(case, results(case, seed=1, exact=True), device)
