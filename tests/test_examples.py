"""Every example runs (shortened, on the CPU), and so does the README's Python."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from checkpoints import unpacked

ROOT = Path(__file__).parent.parent


RUNS = {
    "captured_step": (["--epochs", "3"], r"bit for bit: True\n(<Rec.*\n)+test accuracy 0\.[89]"),
    "digits_by_hand": (["--epochs", "6"], r"test accuracy 0\.9"),
    "regression": (["--epochs", "10"], r"epoch  10  test R² 0\.[23]"),
    "second_order": (["--steps", "120"], r"0\.01 +0\.\d+ +\d+\.\d"),
    "mnist": (["--epochs", "2"], r"test accuracy 0\.[89]"),
    "char_gpt": (
        ["--steps", "30", "--width", "32", "--layers", "1", "--context", "32"],
        r"step    30  train loss [23]\.",
    ),
    "vae": (["--epochs", "2"], r"epoch   2  loss [23]\d\.\d+ nats"),
    "diffusion": (["--epochs", "1", "--width", "8"], r"epoch   1  loss 0\.[5-9]"),
    "pinn": (["--steps", "50"], r"step    50  loss 0\.\d+  largest error 0\.[3-9]"),
    "parallel": (["--epochs", "2"], r"test accuracy 0\.[89]"),
    "gpt2": (["CHECKPOINT", "--ids", "5,9"], r"tokens: 5 9( \d+){20}"),
    "llama": (["CHECKPOINT", "--ids", "5,9"], r"tokens: 5 9( \d+){20}"),
    "bert": (
        ["CHECKPOINT", "--ids", "2,9,4,3", "--mask", "4"],
        r"token 2:( \d+ 0\.\d+,?){5}",
    ),
    "hyperparameters": (["--epochs", "2"], r"wrote hyperparameters\.png"),
}


def run(code: list[str], folder: Path) -> str:
    """Run Python in a folder; return what it printed."""
    command = [sys.executable, *code]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_example_is_here():
    assert {path.stem for path in (ROOT / "examples").glob("*.py")} == set(RUNS)


@pytest.mark.parametrize("name", RUNS)
def test_example(name, tmp_path):
    arguments, expected = RUNS[name]
    if arguments[0] == "CHECKPOINT":
        arguments = [str(unpacked(name, tmp_path)), *arguments[1:]]
    code = [str(ROOT / "examples" / f"{name}.py"), *arguments, "--device", "cpu"]
    assert re.search(expected, run(code, tmp_path))


@pytest.mark.parametrize("name", ["vae", "diffusion", "pinn"])
def test_example_on_torch(name, tmp_path):
    """With other imports it runs on torch, and prints the same losses; where torch is installed."""
    pytest.importorskip("torch")
    example = str(ROOT / "examples" / f"{name}.py")
    arguments = [*RUNS[name][0], "--device", "cpu"]
    ours = run([example, *arguments], tmp_path)
    torchs = run([str(ROOT / "tests" / "ports" / "torch_oracle.py"), example, *arguments], tmp_path)
    numbers = [[float(x) for x in re.findall(r"loss (\S+)", text)] for text in (ours, torchs)]
    assert numbers[0] and numbers[0] == pytest.approx(numbers[1], rel=1e-3)


def test_the_readme_runs_as_written(tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    script = tmp_path / "readme.py"
    script.write_text("\n".join(blocks))
    printed = run([str(script)], tmp_path)
    assert re.search(r"epoch 4: loss 0\.", printed)
    assert "12.0 12.0" in printed
