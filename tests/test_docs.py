"""The documentation is true: its Python runs, its links and files are there, its counts hold."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
WITH_CODE = [page for page in PAGES if BLOCK.search(page.read_text())]


@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: page.stem)
def test_the_code_of_a_page_runs(page, tmp_path):
    blocks = BLOCK.findall(page.read_text())
    (tmp_path / "page.py").write_text("\n".join(blocks))
    result = subprocess.run(
        [sys.executable, "page.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_of_a_page_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
        assert (page.parent / target).is_file(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_has_the_title_that_the_site_lists_it_by(page):
    outside = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    assert len(re.findall(r"^# \S", outside, re.MULTILINE)) == 1


GUIDES = [*PAGES, ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "kernels" / "README.md"]
REFERENCE = re.compile(r"`([\w./]+)::([\w.]+)`")
FOLDERS = (".", "tensorlite", "tensorlite/ops", "tests", "kernels", "docs", "examples")


def stands_in(file: Path, name: str) -> bool:
    """Whether a file defines the function or class `name` (in Python, also ``Class.method``)."""
    if file.suffix != ".py":
        return bool(
            re.search(rf"^\s*(class|struct|\w[\w:&*<> ]*) {name}\b *[({{:]", file.read_text(), re.M)
        )
    body = ast.parse(file.read_text()).body
    for part in name.split("."):
        found = [node for node in body if getattr(node, "name", None) == part]
        if not found:
            return False
        body = getattr(found[0], "body", [])
    return True


@pytest.mark.parametrize(
    "file, name", REFERENCE.findall((ROOT / "docs/how-it-works.md").read_text())
)
def test_the_way_of_a_gradient_leads_somewhere(file, name):
    assert stands_in(ROOT / file, name)


def test_a_wrong_reference_would_be_seen():
    assert not stands_in(ROOT / "kernels/softmax.cu", "softplus")
    assert not stands_in(ROOT / "tensorlite/backward.py", "Accumulate.lost")


#: Files that CONTRIBUTING shows how to add; `test_adding.py` adds them.
ADDED = {"tensorlite/optim/signum.py", "tensorlite/nn/channel_scale.py"}


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_files_named_in_a_page_are_there(page):
    """Those with a folder in their name; examples of names, such as ``host/FAMILY.h``, are not."""
    for name in re.findall(r"`((?:[\w.]+/)+(?:[\w-]+\.\w+)?)`", page.read_text()):
        if name.startswith(("runs/", "~")) or re.search("[A-Z]{3}", name.replace("README", "")):
            continue
        if page.name == "CONTRIBUTING.md" and name in ADDED:
            continue
        places = [ROOT / folder / name for folder in (*FOLDERS, page.parent)]
        assert any(place.exists() for place in places), name


def lines_of(*patterns: str) -> int:
    """How many lines the files have."""
    files = [file for pattern in patterns for file in ROOT.glob(pattern)]
    return sum(len(file.read_text().splitlines()) for file in files)


def test_the_line_counts_of_the_readme_hold():
    said = re.search(
        r"(\d+) thousand lines of .*engine is ([\d,]+)", (ROOT / "README.md").read_text()
    )
    source = lines_of("tensorlite/**/*.py", "kernels/**/*.h", "kernels/**/*.cu", "kernels/**/*.cpp")
    engine = re.findall(
        r"`(\w+\.py)`",
        (ROOT / "CONTRIBUTING.md").read_text().split("| file in")[1].split("\n\n")[0],
    )
    assert int(said[1]) * 1000 == pytest.approx(source, rel=0.1)
    assert int(said[2].replace(",", "")) == pytest.approx(
        lines_of(*[f"tensorlite/{file}" for file in engine]), rel=0.1
    )
