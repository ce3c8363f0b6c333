"""What the tests of the command line share."""

from pathlib import Path

ROOT = Path(__file__).parents[2]


def content(folder):
    """All files below a folder, with their bytes."""
    return {path: path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}
