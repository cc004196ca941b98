"""How do the XML files of ASAP and of Aperio ImageScope become regions?

    ASAP_Annotations / Annotations / Annotation PartOfGroup Type / Coordinates / Coordinate Order X Y
    Annotations / Annotation Name / Regions / Region Type NegativeROA / Vertices / Vertex X Y

The class is PartOfGroup in ASAP, and the layer's Name in ImageScope, where a negative region is a hole in the others of
its layer. Coordinates are px of the image's finest level.
"""

import math
from collections import Counter
from xml.etree.ElementTree import Element

from ppcore.masks.regions import Region, cut_out, ring_of
from ppcore.study.errors import StudyError

ASAP_FLAT = ("Dot", "PointSet", "Measurement")
APERIO = {"2": "ellipses", "3": "arrows", "4": "rulers"}  # which ImageScope stores by two points


def xml_regions(root: Element) -> tuple[list[Region], Counter]:
    """The regions of an XML file, and how many shapes that have no outline there are, by type.

    A class without a name is "". Raises `StudyError`, to be completed by the file's name, for other content.
    """
    if root.tag == "ASAP_Annotations":
        return _asap(root)
    if root.tag == "Annotations":
        return _aperio(root)
    raise StudyError(f"begins with <{root.tag:.40}>: wanted ASAP_Annotations or, of ImageScope, Annotations")


def _asap(root: Element) -> tuple[list[Region], Counter]:
    regions, flat = [], Counter()
    for number, annotation in enumerate(root.iter("Annotation"), start=1):
        kind, group = annotation.get("Type", "Polygon"), annotation.get("PartOfGroup", "").strip()
        if kind in ASAP_FLAT:
            flat[kind] += 1
            continue
        points = sorted(annotation.iter("Coordinate"), key=lambda point: _number(point.get("Order")))
        regions.append(Region("" if group == "None" else group, _ring(points, f"annotation {number}")))
    return regions, flat


def _aperio(root: Element) -> tuple[list[Region], Counter]:
    regions, flat = [], Counter()
    for layer, annotation in enumerate(root.iter("Annotation"), start=1):
        rings, holes = [], []
        for number, region in enumerate(annotation.iter("Region"), start=1):
            if kind := APERIO.get(region.get("Type", "0")):
                flat[kind] += 1
                continue
            ring = _ring(region.iter("Vertex"), f"layer {layer}, region {number}")
            (holes if region.get("NegativeROA") == "1" else rings).append(ring)
        cuts = cut_out(rings, [(len(rings), hole) for hole in holes])
        regions += [Region(annotation.get("Name", "").strip(), ring, own) for ring, own in zip(rings, cuts)]
    return regions, flat


def _ring(points, what: str):
    try:
        return ring_of([(_number(point.get("X")), _number(point.get("Y"))) for point in points])
    except StudyError as error:
        raise StudyError(f"{what} {error}") from None


def _number(text: str | None) -> float:
    """A number, NaN if it is none; older files have a decimal comma."""
    try:
        return float((text or "nan").replace(",", "."))
    except ValueError:
        return math.nan
