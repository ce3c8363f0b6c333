"""The code in CONTRIBUTING.md, by section."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
SECTION = re.compile(r"^### (?P<title>[^\n]+)\n(?P<text>.*?)(?=^##|\Z)", re.DOTALL | re.MULTILINE)
KERNELS_IN = ["Its kernel ", "An operation along rows", "An optimizer"]  # sections with a kernel
BLOCK = re.compile(r"^`(?P<file>[^`\n]+)`\n```\w+\n(?P<code>.*?)^```", re.DOTALL | re.MULTILINE)


def blocks(start):
    """(file, code) of each block of the section whose title begins so."""
    for section in SECTION.finditer(CONTRIBUTING.read_text()):
        if section["title"].startswith(start):
            return [(block["file"], block["code"]) for block in BLOCK.finditer(section["text"])]
    raise AssertionError(f"CONTRIBUTING.md has no section {start!r}")
