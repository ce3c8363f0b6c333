"""Pictures for a page: curves and points as SVG, samples as PNG in the page's own text."""

from __future__ import annotations

import base64
import math
import struct
import zlib
from collections.abc import Sequence
from html import escape

import numpy as np

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 420, 240, 64, 12, 26, 28
MOST_POINTS = 2000


def lines(series: dict[str, Sequence[float | None]], best: int | None = None) -> str:
    """Draw values by epoch; a dotted line marks the best epoch."""
    known = [v for values in series.values() for v in values if v is not None and math.isfinite(v)]
    count = max(map(len, series.values()))
    if not known:
        return ""
    across = _Scale(1, max(count, 2), LEFT, WIDTH - RIGHT)
    up = _Scale(min(known), max(known), HEIGHT - BOTTOM, TOP)
    parts = [_axes(across, up, "epoch")]
    if best and best <= count:
        x = across(best)
        parts.append(f'<line class="best" x1="{x}" x2="{x}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
    for i, (name, values) in enumerate(series.items()):
        points = [
            f"{across(epoch)},{up(value)}"
            for epoch, value in enumerate(values, start=1)
            if value is not None and math.isfinite(value)
        ]
        if len(points) == 1:
            cx, cy = points[0].split(",")
            parts.append(f'<circle cx="{cx}" cy="{cy}" r="3"/>')
        parts.append(f'<polyline class="line s{i % 2}" points="{" ".join(points)}"/>')
        parts.append(f'<text class="s{i % 2}" x="{LEFT + 110 * i}" y="14">{escape(name)}</text>')
    return _svg(", ".join(series), parts)


def scatter(truth: np.ndarray, told: np.ndarray) -> str:
    """Draw predictions over the truth, with the line on which both are equal."""
    step = max(1, len(truth) // MOST_POINTS)
    low, high = min(truth.min(), told.min()), max(truth.max(), told.max())
    across, up = _Scale(low, high, LEFT, WIDTH - RIGHT), _Scale(low, high, HEIGHT - BOTTOM, TOP)
    parts = [_axes(across, up, "truth")]
    ends = f'x1="{across(low)}" y1="{up(low)}" x2="{across(high)}" y2="{up(high)}"'
    parts.append(f'<line class="best" {ends}/>')
    parts += [
        f'<circle cx="{across(x)}" cy="{up(y)}" r="2.5"/>'
        for x, y in zip(truth[::step], told[::step], strict=True)
    ]
    parts.append(f'<text x="{LEFT}" y="14">predicted</text>')
    return _svg("predictions over the truth", parts)


def sample(raw: np.ndarray) -> str:
    """Draw one sample: an image, a signal, or the beginning of a row of numbers."""
    if raw.ndim == 3 and raw.shape[0] in (1, 3):
        return f'<img alt="" src="{png_url(raw)}">'
    if raw.ndim == 2 and raw.shape[0] == 1:
        return lines({"": raw[0].tolist()})
    return f"<p>{', '.join(f'{value:.3g}' for value in raw.ravel()[:8])}</p>"


def png_url(image: np.ndarray) -> str:
    """An image (1 or 3, H, W) as an address that holds it; the range of its values is stretched."""
    low, high = float(image.min()), float(image.max())
    spread = high - low or 1.0
    pixels = np.rint((image - low) / spread * 255).astype(np.uint8).transpose(1, 2, 0)
    return "data:image/png;base64," + base64.b64encode(png(pixels)).decode()


def png(pixels: np.ndarray) -> bytes:
    """Encode uint8 pixels (H, W, 1 or 3) as PNG (ISO/IEC 15948)."""
    height, width, channels = pixels.shape
    rows = np.zeros((height, 1 + width * channels), np.uint8)  # each begins with its filter, none
    rows[:, 1:] = pixels.reshape(height, -1)
    colour = {1: 0, 3: 2}[channels]
    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


class _Scale:
    """From values to places in the picture."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        room = (high - low) or abs(high) or 1.0
        self.low, self.high = float(low), float(low + room)
        self.start, self.end = start, end

    def __call__(self, value: float) -> float:
        part = (value - self.low) / (self.high - self.low)
        return round(self.start + part * (self.end - self.start), 1)


def _axes(across: _Scale, up: _Scale, name: str) -> str:
    bottom = HEIGHT - BOTTOM
    parts = [f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{bottom}" y2="{bottom}"/>']
    for part in (0, 0.5, 1):
        value = up.low + part * (up.high - up.low)
        y = up(value)
        parts.append(f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{value:.3g}</text>')
    for value, anchor in ((across.low, "start"), (across.high, "end")):
        parts.append(
            f'<text x="{across(value)}" y="{HEIGHT - 8}" text-anchor="{anchor}">{value:.4g}</text>'
        )
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{HEIGHT - 8}" text-anchor="middle">{name}</text>')
    return "".join(parts)


def _svg(label: str, parts: list[str]) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">'
        f"{''.join(parts)}</svg>"
    )
