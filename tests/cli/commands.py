"""What the tests of the command line share."""

from pathlib import Path

ROOT = Path(__file__).parents[2]


def on_cpu(args):
    """Arguments with the CPU as their device, where they leave it open."""
    args = [str(arg) for arg in args]
    wanted = args[0] in ("train", "evaluate", "predict", "report") and "--device" not in args
    return [*args, "--device", "cpu"] if wanted else args


def content(folder):
    """All files below a folder, with their bytes."""
    return {path: path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}
