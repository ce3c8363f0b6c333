"""The page's blocks that need other packages run where these are installed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "bridges.md").read_text()
SECTIONS = [s for s in re.split(r"^## ", TEXT, flags=re.MULTILINE) if "```py\n" in s]


@pytest.mark.parametrize("section", SECTIONS, ids=lambda s: s.splitlines()[0].split()[0])
def test_the_code_of_a_section_runs(section, tmp_path):
    blocks = re.findall(r"^```py(?:thon)?\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
    code = "\n".join(blocks)
    for package in ("onnx", "onnxruntime", "einops", "sklearn"):
        if re.search(rf"^(import|from) {package}\b", code, re.MULTILINE):
            pytest.importorskip(package, reason=f"{package} is not installed")
    if "TensorBoard" in code:
        pytest.importorskip("tensorboardX", reason="tensorboardX is not installed")
    (tmp_path / "page.py").write_text(code)
    done = subprocess.run(
        [sys.executable, "page.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    for line in re.findall(r"^print.*# (.*)$", code, re.MULTILINE):
        assert line in done.stdout
