"""The site's reference has every public name once, and its links lead somewhere."""

import re
import sys
from functools import cache
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))

import api_pages
from public_names import public

PAGES = Path(__file__).parents[1] / "docs" / "api"


@cache
def pages() -> dict[str, str]:
    """The Markdown of every page of the reference, by its name."""
    found = {}
    for path in sorted(PAGES.glob("*.md")):
        page = SimpleNamespace(file=SimpleNamespace(src_uri=f"api/{path.name}"))
        found[path.name] = api_pages.on_page_markdown(path.read_text(), page)
    return found


def anchors(text: str) -> list[str]:
    return re.findall(r"^#+ .* \{ #([\w.]+) \}$", text, re.MULTILINE)


def part(page: str, name: str) -> str:
    """What a page says of one name."""
    (_, after) = pages()[page].split(f"{{ #tensorlite.{name} }}\n")
    return re.split(r"^#", after, flags=re.MULTILINE)[0]


def test_every_public_name_is_described_once():
    found = [anchor for text in pages().values() for anchor in anchors(text)]
    assert len(found) == len(set(found))
    assert [name for name in public() if f"tensorlite.{name}" not in found] == []


def test_links_lead_to_a_name():
    targets = {name: set(anchors(text)) for name, text in pages().items()}
    for name, text in pages().items():
        for page, anchor in re.findall(r"\]\(([\w.-]*)#([\w.]+)\)", text):
            assert anchor in targets[page or name], (name, page, anchor)


def test_a_function_as_it_is_shown():
    text = part("nn-tools.md", "nn.init.eye_")
    assert "```text\nnn.init.eye_(tensor: Tensor) -> Tensor\n```" in text
    assert "* `tensor` (Tensor, shape (n, m))" in text
    assert "* Tensor: `tensor` itself." in text  # the parameter, not `tl.tensor`
    assert "```pycon\n>>> nn.init.eye_(tl.empty(2, 2))\n" in text
    assert "Raises**\n\n* `ValueError`: If" in text


def test_what_else_a_name_stands_for_is_linked():
    functional = pages()["functional.md"]
    assert "[`sigmoid`](functions.md#tensorlite.sigmoid)" in functional
    assert "[`relu`](functions.md#tensorlite.relu)" in part("tensor.md", "Tensor")


def test_text_is_no_markup():
    shown = api_pages._named("a*b, d_ij, <x> and [1]_ of `nothing_at_all`", "relu", "api/nn.md")
    assert shown == "a\\*b, d\\_ij, &lt;x> and \\[1\\] of `nothing_at_all`"
