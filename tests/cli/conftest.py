"""The command, run within the test's process or as one of its own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from commands import ROOT, on_cpu

from tensorlite.cli import main


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Every test works in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def tl(capsys):
    """Run the command here; return (exit status, output, errors)."""

    def run(*args):
        try:
            status = main(on_cpu(args))
        except SystemExit as exit:  # argparse's way
            status = exit.code
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


@pytest.fixture
def process(request):
    """Run the command in a process of its own, after Python code that prepares it."""

    def run(*args, before="", stdout=subprocess.PIPE):
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        if request.config.getoption("--kernels") == "reference":
            env["TENSORLITE_KERNELS"] = "reference"
        code = f"{before}\nimport sys\nfrom tensorlite.cli import main\nsys.exit(main())"
        command = [sys.executable, "-c", code, *on_cpu(args)]
        return subprocess.run(
            command, env=env, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False
        )

    return run
