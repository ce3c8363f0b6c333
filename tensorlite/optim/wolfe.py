"""A line search for the strong Wolfe conditions.

Nocedal and Wright, "Numerical optimization", 2006, algorithms 3.5 and 3.6: steps grow until an
interval is known to hold a good one, which is then narrowed by the minima of cubics.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from tensorlite.backend import Array

_DECREASE, _CURVATURE = 1e-4, 0.9  # c1 and c2 of the conditions


class Point(NamedTuple):
    """A step along the line: its length, the loss, the gradient and the slope there."""

    t: float
    loss: float
    gradient: Array
    slope: float


def strong_wolfe(
    evaluate: Callable[[float], Point],
    start: Point,
    t: float,
    extent: float,
    tolerance: float,
    most: int,
) -> tuple[Point, int]:
    """Find a step from `start` that meets the conditions.

    Parameters
    ----------
    evaluate
        Computes the point at a step.
    start
        The point at step 0, with a negative slope.
    t
        The first step to try.
    extent
        Greatest element of the direction: with the interval's length, how far its ends are apart.
    tolerance
        An interval whose ends are closer than this is not divided further.
    most
        How many further steps are tried.

    Returns
    -------
    (Point, int)
        The best point found, and how often the loss was computed.
    """
    before, now = start, evaluate(t)
    tried = 0
    while tried < most:
        if _too_high(now, start) or (tried > 1 and now.loss >= before.loss):
            break
        if _is_flat(now, start):
            return now, tried + 1
        if now.slope >= 0:
            break
        least, greatest = now.t + 0.01 * (now.t - before.t), 10 * now.t
        before, now = now, evaluate(_cubic_minimum(before, now, least, greatest))
        tried += 1
    else:
        before = start
    return _zoom(evaluate, start, [before, now], extent, tolerance, tried, most)


def _too_high(now: Point, start: Point) -> bool:
    return now.loss > start.loss + _DECREASE * now.t * start.slope


def _is_flat(now: Point, start: Point) -> bool:
    return abs(now.slope) <= -_CURVATURE * start.slope


def _zoom(
    evaluate: Callable[[float], Point],
    start: Point,
    ends: list[Point],
    extent: float,
    tolerance: float,
    tried: int,
    most: int,
) -> tuple[Point, int]:
    """Narrow the interval between two points; its lower end gets better all the time."""
    evaluations = tried + 1
    stuck = False  # whether the last step was at the edge of the interval
    low = 0 if ends[0].loss <= ends[1].loss else 1
    while tried < most:
        first, last = sorted(end.t for end in ends)
        if (last - first) * extent < tolerance:
            break
        t = _cubic_minimum(ends[0], ends[1], first, last)
        margin = 0.1 * (last - first)
        at_edge = min(last - t, t - first) < margin
        if at_edge and (stuck or t >= last or t <= first):
            t = last - margin if abs(t - last) < abs(t - first) else first + margin
            at_edge = False
        stuck = at_edge
        now = evaluate(t)
        tried += 1
        evaluations += 1
        if _too_high(now, start) or now.loss >= ends[low].loss:
            ends[1 - low] = now
            low = 0 if ends[0].loss <= ends[1].loss else 1
            continue
        done = _is_flat(now, start)
        if not done and now.slope * (ends[1 - low].t - ends[low].t) >= 0:
            ends[1 - low] = ends[low]
        ends[low] = now
        if done:
            break
    return ends[low], evaluations


def _cubic_minimum(a: Point, b: Point, least: float, greatest: float) -> float:
    """Where the cubic through two points with their slopes is least, within bounds."""
    if a.t > b.t:
        a, b = b, a
    bend = a.slope + b.slope - 3 * (b.loss - a.loss) / (b.t - a.t)
    square = bend * bend - a.slope * b.slope
    if not square >= 0:
        return (least + greatest) / 2
    root = math.sqrt(square)
    fraction = (b.slope + root - bend) / (b.slope - a.slope + 2 * root)
    return min(max(b.t - (b.t - a.t) * fraction, least), greatest)
