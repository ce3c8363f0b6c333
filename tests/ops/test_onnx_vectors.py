"""ONNX's operator test vectors, as far as we have the operators: an oracle of another house."""

from __future__ import annotations

import pytest
from onnx_vectors import NotCovered, cases, check

COVERED = {"cpu": 1286, "cuda": 1284}  # of 1884 in onnx 1.23; raise them when they grow


@pytest.fixture(scope="module")
def outcomes(backend) -> dict[str, Exception | None]:
    """What became of each case; None is agreement."""
    found: dict[str, Exception | None] = {}
    for case in cases():
        try:
            check(case, backend)
            found[case.name] = None
        except Exception as error:
            found[case.name] = error
    return found


def test_results_agree(outcomes):
    failed = [
        f"{name}: {type(error).__name__}: {error}"
        for name, error in outcomes.items()
        if error is not None and not isinstance(error, NotCovered)
    ]
    assert not failed, "\n".join([f"{len(failed)} cases fail:", *failed])


def test_coverage_does_not_drop(outcomes, device, record_property):
    covered = list(outcomes.values()).count(None)
    record_property("ONNX operator vectors covered", f"{covered} / {len(outcomes)}")
    assert covered >= COVERED[device.type]
