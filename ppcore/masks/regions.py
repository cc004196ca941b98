"""What is a region that someone drew, how do regions become a label map, and a mask the outlines of its parts?

Points are (x, y): x runs right and y down, in px; pixel (0, 0) covers the square from 0 to 1. A pixel belongs to a
region if its centre does. A ring that crosses itself is filled by the even-odd rule.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from ppcore.study.errors import StudyError

FARTHEST = 10**7  # px from the corner; the largest slides have 3 * 10^5 a side
MOST_REGIONS = 100_000  # per file
MOST_POINTS = 1_000_000  # per file, all rings together


@dataclass(frozen=True, eq=False)
class Region:
    """An area of one class. name: of the class, as written. outer, holes: rings (N, 2), closed by themselves, px of
    the image's finest level."""

    name: str
    outer: np.ndarray
    holes: tuple[np.ndarray, ...] = ()

    @cached_property
    def box(self) -> tuple[float, float, float, float]:
        """left, top, right, bottom."""
        return *self.outer.min(axis=0).tolist(), *self.outer.max(axis=0).tolist()

    @cached_property
    def area(self) -> float:
        """px; of a ring that crosses itself, less."""
        return _area(self.outer) - sum(map(_area, self.holes))


def ring_of(points: object) -> np.ndarray:
    """A ring (N, 2) from a list of points, whose further coordinates (GeoJSON's height) are left out.

    Raises `StudyError`, to be completed by the name of what they belong to, for anything but 1 point or more of finite
    numbers within FARTHEST.
    """
    try:
        ring = np.array([point[:2] for point in points], dtype=np.float64)
    except (TypeError, ValueError, OverflowError, KeyError):
        ring = np.empty(0)
    if ring.ndim != 2 or ring.shape[1:] != (2,):
        raise StudyError("has no list of points (x, y)")
    if not (np.abs(ring) <= FARTHEST).all():  # NaN fails too
        raise StudyError(f"has a point that is not within {FARTHEST:,} px of the image's corner")
    return ring


def sort_out(regions: Sequence[Region], height: int, width: int) -> tuple[list[Region], Counter]:
    """The regions that cover part of an image of that size, and how many of the others there are, by reason.

    Raises `StudyError` for more than MOST_REGIONS or MOST_POINTS.
    """
    points = sum(len(ring) for region in regions for ring in (region.outer, *region.holes))
    for count, most, what in ((len(regions), MOST_REGIONS, "regions"), (points, MOST_POINTS, "points")):
        if count > most:
            raise StudyError(f"has {count:,} {what}; wanted at most {most:,}: split it, or simplify its outlines")
    kept, left_out = [], Counter()
    for region in regions:
        left, top, right, bottom = region.box
        if not region.name:
            left_out["without a class"] += 1
        elif not _encloses(region.outer):
            left_out["that enclose nothing"] += 1
        elif right <= 0 or bottom <= 0 or left >= width or top >= height:
            left_out["outside of the image"] += 1
        else:
            kept.append(region)
    return kept, left_out


def cut_out(rings: Sequence[np.ndarray], holes: Sequence[tuple[int, np.ndarray]]) -> list[tuple[np.ndarray, ...]]:
    """The holes of each of `rings`, in a file that does not say which hole belongs to which.

    holes: how many of the rings stand before it, and the hole: it cuts all of those whose box meets its own. Raises
    `StudyError` for more than MOST_REGIONS cuts.
    """
    boxes = np.array([(*ring.min(axis=0), *ring.max(axis=0)) for ring in rings]).reshape(-1, 4)
    cuts: list[list[np.ndarray]] = [[] for _ in rings]
    total = 0
    for before, hole in holes:
        (left, top), (right, bottom) = hole.min(axis=0), hole.max(axis=0)
        lefts, tops, rights, bottoms = boxes[:before].T
        met = np.flatnonzero((lefts < right) & (left < rights) & (tops < bottom) & (top < bottoms))
        total += len(met)
        if total > MOST_REGIONS:
            raise StudyError(f"has holes that cut more than {MOST_REGIONS:,} regions: draw it with fewer")
        for number in met:
            cuts[number].append(hole)
    return [tuple(own) for own in cuts]


def paint_regions(regions: Sequence[tuple[int, Region]], height: int, width: int, corner: tuple[float, float] = (0, 0),
                  scale: tuple[float, float] = (1.0, 1.0)) -> np.ndarray:
    """Label map (height, width) uint8 of a window: 0, and the values of the regions, later ones over earlier ones.

    regions: value and region, in the order in which they are painted; a hole shows what lies beneath. corner: of the
    window, (x, y), px of the regions. scale: px of the regions per px of the window, along x and y.
    """
    labels = np.zeros((height, width), np.uint8)
    corner, scale = np.array(corner, float), np.array(scale, float)
    boxes = (np.array([region.box for _, region in regions]).reshape(-1, 2, 2) - corner) / scale
    for number in np.flatnonzero((boxes[:, 1] > 0).all(axis=1) & (boxes[:, 0] < (width, height)).all(axis=1)):
        value, region = regions[number]
        left, top = np.clip(np.floor(boxes[number, 0]), 0, None).astype(int)
        right, bottom = np.minimum(np.ceil(boxes[number, 1]), (width, height)).astype(int)
        view = labels[top:bottom, left:right]
        inside = np.zeros(view.shape, np.uint8)
        for cover, ring in ((1, region.outer), *((0, hole) for hole in region.holes)):
            paint(inside, (ring - corner) / scale - (left, top), cover)
        view[inside > 0] = value
    return labels


def paint(mask: np.ndarray, points: np.ndarray, value: int) -> None:
    """Set the pixels of `mask` (H, W) whose centre lies inside the closed polygon (N, 2) of (x, y), even-odd."""
    height, width = mask.shape
    first, last = (min(max(math.ceil(y - 0.5), 0), height) for y in (points[:, 1].min(), points[:, 1].max()))
    edges = np.zeros((last - first, width + 1), np.uint8)
    for (x0, y0), (x1, y1) in zip(points.tolist(), np.roll(points, -1, axis=0).tolist()):
        if y0 > y1:
            x0, y0, x1, y1 = x1, y1, x0, y0
        top, bottom = max(math.ceil(y0 - 0.5), first), min(math.ceil(y1 - 0.5), last)  # rows whose centre it crosses
        if top < bottom:
            rows = np.arange(top, bottom)
            across = x0 + (rows + 0.5 - y0) * ((x1 - x0) / (y1 - y0))
            edges[rows - first, np.clip(np.ceil(across - 0.5), 0, width).astype(int)] ^= 1
    mask[first:last][np.bitwise_xor.accumulate(edges, axis=1)[:, :width] == 1] = value


def outlines(mask: np.ndarray) -> Iterator[tuple[np.ndarray, list[np.ndarray]]]:
    """Outer ring (N, 2) and holes of each part of a mask (H, W), along the edges of its pixels: areas are exact.

    A part's pixels are joined by sides, not corners: its rings then touch at most in points, as polygons may.
    """
    count, parts, boxes, _ = cv2.connectedComponentsWithStats(np.ascontiguousarray(mask, np.uint8), connectivity=4)
    for part in range(1, count):
        left, top, width, height = boxes[part, :4]
        own = (parts[top:top + height, left:left + width] == part).astype(np.uint8)
        double = cv2.resize(own, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
        # OpenCV's contour runs through the centres of the outermost quarters of pixels, a quarter px from the edge
        contours, tree = cv2.findContours(double, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
        rings = [np.rint((contour[:, 0] + 0.5) / 2) for contour in contours]
        rings = [ring[np.diff(ring, axis=0, prepend=ring[-1:]).any(axis=1)] + (left, top) for ring in rings]
        outer = int(np.flatnonzero(tree[0, :, 3] < 0)[0])  # has no parent
        yield rings.pop(outer), rings


def signed_area(ring: np.ndarray) -> float:
    """px; positive where (x, y) is counter-clockwise in the plane of mathematics, whose y runs up."""
    return cv2.contourArea((ring - ring[0]).astype(np.float32), oriented=True)


def _area(ring: np.ndarray) -> float:
    return abs(signed_area(ring))


def _encloses(ring: np.ndarray) -> bool:
    """Whether its points do not all lie on a line."""
    away = ring - ring[0]
    far = away[np.argmax((away ** 2).sum(axis=1))]
    return bool((np.abs(away @ (far[1], -far[0])) > 1e-6).any())
