"""``tensorlite report``: one file, whole, readable at any width, in a browser where one is."""

import base64
import functools
import http.server
import re
import shutil
import struct
import subprocess
import threading
import zlib
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from tensorlite.cli import pictures

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FRAMES = """<!doctype html><title>?</title><body><script>
const widths = [320, 390, 1280], found = [];
for (const width of widths) {
  const frame = document.createElement("iframe");
  frame.style.width = width + "px";
  frame.onload = () => {
    const page = frame.contentDocument, style = frame.contentWindow.getComputedStyle(page.body);
    found.push([width, page.documentElement.scrollWidth, style.backgroundColor, style.color,
                [...page.images].filter(i => !i.naturalWidth).length,
                [...page.querySelectorAll(".matrix")].map(matrix => matrix.parentElement)
                  .filter(room => room.scrollWidth > room.clientWidth).length].join(" "));
    if (found.length === widths.length) document.title = found.sort().join("; ");
  };
  frame.src = "report.html";
  document.body.append(frame);
}
</script>"""


class Reader(HTMLParser):
    """Checks that what is opened is closed, and collects what a page would fetch."""

    VOID = ("meta", "br", "img")

    def __init__(self):
        super().__init__()
        self.open, self.fetched, self.text, self.tags = [], [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)
        for name, value in attributes:
            if name in ("src", "href", "data") and not value.startswith("data:image/png;base64,"):
                self.fetched.append(value)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def read(path):
    reader = Reader()
    reader.feed(Path(path).read_text(encoding="utf-8"))
    assert reader.open == []
    assert reader.fetched == []
    return reader, " ".join(reader.text)


def unpack(data):
    """The pixels of a PNG without filters, with every checksum looked at."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, chunks = 8, {}
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        body = data[at + 8 : at + 8 + size]
        (checksum,) = struct.unpack(">I", data[at + 8 + size : at + 12 + size])
        assert zlib.crc32(kind + body) == checksum
        chunks[kind] = body
        at += 12 + size
    width, height, depth, colour = struct.unpack(">IIBB", chunks[b"IHDR"][:10])
    channels = {0: 1, 2: 3}[colour]
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, -1)
    assert (depth, rows[:, 0].any()) == (8, False)
    return rows[:, 1:].reshape(height, width, channels)


@pytest.mark.parametrize("channels", [1, 3])
def test_png(channels):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, channels), dtype=np.uint8)
    np.testing.assert_array_equal(unpack(pictures.png(pixels)), pixels)


def test_a_classification(tl):
    tl("train", "digits", "--epochs", 2, "--out", "run")
    status, out, err = tl("report", "run")
    assert (status, err) == (0, "")
    assert re.fullmatch(r"run/report.html: \d+ kB, one file\n", out)
    page, text = read("run/report.html")
    assert page.tags.count("svg") == 3
    for told in ("Confusion matrix", "Worst mistakes", "Settings", "Environment", "batch size"):
        assert told in text
    _, evaluated, _ = tl("evaluate", "run")
    accuracy = float(re.search(r"accuracy   (\S+)", evaluated)[1])
    wrong = int(re.search(r"(\d+) of 359 test samples", text)[1])
    assert wrong == round((1 - accuracy) * 359)
    shown = re.findall(r"base64,([^\"]+)", Path("run/report.html").read_text())
    assert len(shown) == min(wrong, 24)
    assert unpack(base64.b64decode(shown[0])).shape == (8, 8, 1)
    confidence = [int(p) for p in re.findall(r"(\d+)%, is", text)]
    assert confidence == sorted(confidence, reverse=True)
    assert str(Path.cwd()) not in text


def test_other_tasks_and_runs_that_are_not_finished(tl):
    tl("train", "diabetes", "--epochs", 1, "--out", "run")
    Path("run/summary.json").unlink()
    status, _, _ = tl("report", "run", "--out", "r.html")
    assert status == 0
    page, text = read("r.html")
    assert "not finished: no test yet" in text
    assert "root mean squared error" in text
    assert page.tags.count("circle") >= 88
    status, _, err = tl("report", "nowhere")
    assert (status, err.count("\n")) == (1, 1)
    status, _, err = tl("report", "run", "--out", "no/where.html")
    assert (status, err) == (
        1,
        "tensorlite report: no is not a folder: --out no/where.html cannot be written\n",
    )


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian: apt install chromium)")
@pytest.mark.parametrize("dark", [False, True])
def test_in_a_browser_at_every_width_in_light_and_dark(tl, folder, dark):
    tl("train", "digits", "--epochs", 1, "--out", "run")
    tl("report", "run")
    Path("run/frames.html").write_text(FRAMES)
    handler = functools.partial(Quiet, directory=str(folder / "run"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/frames.html"
        shown = subprocess.run(
            [
                *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu"),
                *(f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=5000"),
                *(["--blink-settings=preferredColorScheme=0"] if dark else []),
                *("--dump-dom", address),
            ],
            capture_output=True,
            text=True,
            timeout=120,
        ).stdout
        server.shutdown()
    frames = re.search(r"<title>(.*?)</title>", shown)[1].split("; ")
    assert len(frames) == 3, shown[:500]
    for frame in frames:
        width, scrolled, *colours, broken, cut = re.match(
            r"(\d+) (\d+) rgb\((\d+),.*\) rgb\((\d+),.*\) (\d+) (\d+)", frame
        ).groups()
        assert int(scrolled) <= int(width), frame  # nothing to scroll sideways
        paper, ink = map(int, colours)
        assert (paper < 60 < 200 < ink) if dark else (ink < 60 < 200 < paper), frame
        assert (broken, cut) == ("0", "0")  # and a matrix of ten classes is whole


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass
