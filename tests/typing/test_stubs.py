"""The stubs say what the package does, and a type checker finds a user's script in order."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
from make_stubs import STUBS  # noqa: E402


@pytest.mark.parametrize("path", STUBS, ids=lambda path: path.name)
def test_in_step(path) -> None:
    assert path.read_text() == STUBS[path](), "run tests/typing/make_stubs.py"


def test_mypy_takes_a_users_script(tmp_path) -> None:
    command = [sys.executable, "-m", "mypy", "--cache-dir", str(tmp_path), "--strict-equality"]
    package = HERE.parents[1]
    done = subprocess.run(
        [*command, "--follow-imports", "silent", str(HERE / "user_script.py")],
        cwd=package,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
