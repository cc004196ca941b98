"""How does QuPath's GeoJSON become regions or a drawing, and a label map such GeoJSON?

A FeatureCollection, a list of features, or one feature. Read are Polygon and MultiPolygon, with holes, in px of the
image's finest level; the class is `properties.classification.name`, or `properties.classification` itself in old files.
The format: RFC 7946; QuPath's own members: its documentation on exporting annotations.
"""

import json
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ppcore.masks.documents import read_json
from ppcore.masks.labels import MASK, Classes, Label, value_of
from ppcore.masks.regions import Region, outlines, paint_regions, ring_of, signed_area, sort_out
from ppcore.study.errors import StudyError
from ppcore.study.files import write_text

FLAT = ("Point", "MultiPoint", "LineString", "MultiLineString", "no geometry")  # which have no area
SLIP = 0.1  # share of a side by which a hand may slip over the edge; farther out, the image drawn on was larger


def geojson_regions(content: object, corner: tuple[int, int] = (0, 0)) -> tuple[list[Region], Counter]:
    """The regions of a GeoJSON file's content, and how many features that have no area there are, by type.

    corner: from which its coordinates count. QuPath takes that of the part that was scanned, where a slide states one
    (https://github.com/qupath/qupath/issues/820). A class without a name is "". Raises `StudyError`, to be completed by
    the file's name, for other content.
    """
    regions, flat = [], Counter()
    features = _features(content)
    for number, feature in enumerate(features, start=1):
        try:
            if not isinstance(feature, dict) or not isinstance(geometry := feature.get("geometry") or {}, dict):
                raise StudyError("is no GeoJSON")
            polygons = _polygons(geometry, flat)
            name = _class_of(feature)
            for rings in polygons:
                if not isinstance(rings, list) or not rings:
                    raise StudyError("has a polygon without rings")
                outer, *holes = (ring_of(ring) + corner for ring in rings)
                regions.append(Region(name, outer, tuple(holes)))
        except StudyError as error:
            raise StudyError(f"feature {number} of {len(features)} {error}") from None
    return regions, flat


def _features(content: object) -> list:
    if isinstance(content, dict) and content.get("type") == "FeatureCollection":
        content = content.get("features")
    elif isinstance(content, dict) and content.get("type") == "Feature":
        content = [content]
    if not isinstance(content, list):
        raise StudyError("is no GeoJSON: wanted a FeatureCollection, a list of features or a feature")
    return content


def _polygons(geometry: dict, flat: Counter) -> list:
    """The polygons of a geometry, each a list of rings. Counts in `flat`, by type, what has no area."""
    kind, coordinates = geometry.get("type", "no geometry"), geometry.get("coordinates")
    if kind in FLAT:
        flat[kind] += 1
        return []
    if kind == "GeometryCollection" and isinstance(parts := geometry.get("geometries"), list):
        return [polygon for part in parts if isinstance(part, dict) for polygon in _polygons(part, flat)]
    if kind not in ("Polygon", "MultiPolygon") or not isinstance(coordinates, list):
        raise StudyError(f"is a {kind!r:.40} without coordinates" if kind in ("Polygon", "MultiPolygon") else
                         f"is a {kind!r:.40}: wanted Polygon or MultiPolygon")
    return [coordinates] if kind == "Polygon" else coordinates


def _class_of(feature: dict) -> str:
    properties = feature.get("properties")
    given = properties.get("classification") if isinstance(properties, dict) else None
    name = given.get("name") if isinstance(given, dict) else given
    return name.strip() if isinstance(name, str) else ""


def read_geojson(path: str | Path, height: int, width: int, classes: Classes = MASK,
                 drawn_on: tuple[int, int] | None = None) -> tuple[np.ndarray, str]:
    """A drawing of annotations: mask or label map (height, width) uint8, and what it consists of, in words.

    classes: each region is painted with the one that it names, in the order of the classes. Of MASK every region is
    tissue, whatever its class, but "air". drawn_on: (H, W) of the image under it, px, from which it is scaled; None:
    coordinates are px of the result. Raises `StudyError` for a file that cannot be read, for a region of none of
    `classes` and, without `drawn_on`, for one that reaches beyond the result by more than SLIP.
    """
    path, size = Path(path), drawn_on or (height, width)
    content = read_json(path, "QuPath")
    try:
        regions, flat = geojson_regions(content)
        if classes == MASK:
            regions = [region if region.name == MASK[0].name else replace(region, name=MASK[1].name)
                       for region in regions]
        _check_drawing(regions, classes, None if drawn_on else size)
        kept, left_out = sort_out(regions, *size)
    except StudyError as error:
        raise StudyError(f"{path.name} {error}") from None
    painted = sorted(((value_of(region.name, classes), region) for region in kept), key=lambda pair: pair[0])
    counts = Counter(classes[value].name for value, _ in painted)
    remark = "outlines: " + (", ".join(f"{name} {count}" for name, count in counts.items()) or "none")
    remark += "".join(f"; left out: {count} {reason}" for reason, count in (flat + left_out).items())
    return paint_regions(painted, height, width, scale=(size[1] / width, size[0] / height)), remark


def _check_drawing(regions: Sequence[Region], classes: Classes, size: tuple[int, int] | None) -> None:
    """Raise `StudyError` for regions of other classes, and for those that reach far beyond `size`, if it is given."""
    foreign = Counter(region.name for region in regions if value_of(region.name, classes) is None)
    if foreign:
        found = ", ".join(f"{count} {f'of {name}' if name else 'without a class'}" for name, count in foreign.items())
        raise StudyError(f"has regions that are of no class of the cohort: {found}. Wanted "
                         f"{', '.join(label.name for label in classes)}: set their classes in QuPath and export again")
    for left, top, right, bottom in (region.box for region in regions if size):
        (height, width), slip = size, SLIP * np.array(size)
        if min(left + slip[1], top + slip[0]) < 0 or right > width + slip[1] or bottom > height + slip[0]:
            raise StudyError(f"has a region from ({left:g}, {top:g}) to ({right:g}, {bottom:g}) px; wanted it within "
                             f"{height} x {width} px: draw on an image of that size, or store the image that was drawn "
                             "on beside it, under the same name")


def write_geojson(path: str | Path, labels: np.ndarray, classes: Sequence[Label] = MASK) -> None:
    """Store a label map (H, W) as annotations that QuPath opens over the image, atomically.

    One polygon per connected part of each class but the first, along the edges of its pixels, so that
    `geojson_regions` and `regions.paint_regions` give back the same map. The same arguments give the same bytes.
    """
    features = []
    for value, label in enumerate(classes[1:], start=1):
        for outer, holes in outlines(labels == value):
            rings = [_closed(outer, 1), *(_closed(hole, -1) for hole in holes)]
            features.append({
                "type": "Feature", "id": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{Path(path).name} {label.name} {rings}")),
                "geometry": {"type": "Polygon", "coordinates": rings},
                "properties": {"objectType": "annotation",
                               "classification": {"name": label.name, "color": list(label.rgb)}}})
    write_text(path, json.dumps({"type": "FeatureCollection", "features": features}))


def _closed(ring: np.ndarray, turn: int) -> list[list[int]]:
    """A ring whose last point is its first. turn: 1 for counter-clockwise, as RFC 7946 wants outer rings; else -1."""
    points = (ring if signed_area(ring) * turn > 0 else ring[::-1]).astype(int).tolist()
    return [*points, points[0]]
