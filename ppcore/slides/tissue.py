"""What does a section of tissue look like?  It is laid out from noise, on a working grid of 1 um per pixel.

Every length below is in micrometres, so another `mpp` shows the same tissue. Components are laid over each other as a
section shows them: fibrous stroma with clefts, nests of tumour, glands with a lumen, fat, tears and the outline of the
section. The layout is our own. It was tuned until the masks' tissue fraction, component sizes, edge length and
granulometry lay within the range of real bone and breast sections.
"""
from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class Tissue:
    """What a section is made of; the amounts are thresholds on noise of sd 1, and more is more."""

    glands: float  # acini and ducts with a lumen
    fat: float  # adipocytes with thin septa
    nests: float  # solid nests of tumour
    clefts: float  # between the fibres of the stroma
    pallor: float  # pale, oedematous stroma
    loose: float  # gaps between the cells of nests and glands
    tears: float  # rents through the section
    fill: float  # half-size of the section relative to the slide's
    gland_um: float  # spacing of glands
    fat_um: float  # spacing of fat cells
    cell_um: float  # spacing of the cells of nests and glands


KINDS = (  # glandular, adipose, fibrous, solid: slides of neighbouring subjects are of unlike kind
    Tissue(glands=0.5, fat=-2.2, nests=-1.6, clefts=-2.1, pallor=-0.9, loose=-1.0, tears=-0.5, fill=1.1,
           gland_um=160, fat_um=55, cell_um=9.5),
    Tissue(glands=-1.6, fat=-0.2, nests=-0.9, clefts=-1.9, pallor=-0.3, loose=-0.5, tears=-0.3, fill=1.3,
           gland_um=110, fat_um=60, cell_um=10),
    Tissue(glands=-1.4, fat=-2.0, nests=-1.4, clefts=-1.5, pallor=-0.4, loose=-0.4, tears=0.0, fill=0.9,
           gland_um=90, fat_um=40, cell_um=10),
    Tissue(glands=-1.3, fat=-1.9, nests=0.8, clefts=-1.9, pallor=0.0, loose=-0.8, tears=-0.3, fill=1.2,
           gland_um=130, fat_um=45, cell_um=11.5),
)


def lay_out(kind: Tissue, shape: tuple[int, int], rng: np.random.Generator) -> tuple[dict, dict, dict]:
    """Layers (H, W) on the 1 um grid, about [0, 1], and two tables of ellipses: nuclei and debris.

    Layers: `thickness` (0 = glass); of that, `protein` (takes eosin) and `basophilia` (takes haematoxylin). Columns (N,)
    of the tables: x, y and the half-axes long, short in um; angle in radians; amount in [0, 1]; of nuclei also antigen.
    """
    layers, fibres, along = _stroma(kind, shape, rng)
    xy, sheet, shade = _cells(kind, shape, rng)
    nest = 60 * (noise(rng, shape, 600, 5, gain=0.5) + kind.nests)
    _lay(layers, _edge(nest), thickness=sheet, protein=0.65 * shade, basophilia=0.45 * shade)
    gland, lumen = _glands(layers, kind, sheet, shade, rng)
    # Retraction: a nest or gland comes off its stroma along a part of its outline.
    away = np.abs(np.maximum(nest / 3, gland) + 2)
    layers["thickness"] *= 1 - _edge(-3 * noise(rng, shape, 120, 5) - 1 - away)
    drop, fat = _fat(layers, kind, gland, rng)
    _cut_out(layers, kind, fibres, rng)
    fields = dict(along=along, nest=nest, gland=gland, lumen=lumen, drop=drop, fat=fat)
    nuclei = _nuclei(kind, xy, layers["thickness"], fields, rng)
    return layers, nuclei, _debris(layers["thickness"], rng)


def _stroma(kind: Tissue, shape: tuple[int, int], rng: np.random.Generator) -> tuple[dict, np.ndarray, np.ndarray]:
    """The first layers; the noise of the fibres, and the field whose contours they follow.

    Noise is drawn out along a wavy frame (u, v); clefts of power-law sizes open where it is low.
    """
    tilt = np.float32(rng.uniform(0, np.pi))
    x, y = _grid(shape)
    u = np.cos(tilt) * x + np.sin(tilt) * y + 40 * noise(rng, shape, 400, 80)
    v = np.cos(tilt) * y - np.sin(tilt) * x + 40 * noise(rng, shape, 400, 80)
    fibres = noise(rng, shape, 28, 1.75, gain=0.85, stretch=5)
    fibres = cv2.remap(fibres, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    cleft = kind.clefts + noise(rng, shape, 400, 25) + 0.3 * noise(rng, shape, 20, 2, gain=0.8) - fibres
    pale = _edge(noise(rng, shape, 500, 4, gain=0.65) + kind.pallor, 2)
    layers = dict(thickness=_edge(-cleft, 0.5), protein=0.8 + 0.25 * fibres - 0.5 * pale,
                  basophilia=np.full(shape, 0.1, np.float32))
    return layers, fibres, v


def _cells(kind: Tissue, shape: tuple[int, int], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cells of nests and glands: their points (N, 2), and the thickness and the shade (H, W) of a sheet of them."""
    xy = _points(rng, shape, kind.cell_um)
    rim, cell = _voronoi(rng, xy, shape, kind.cell_um)
    shade = rng.uniform(0.5, 1.2, len(xy)).astype(np.float32)[cell]
    lost = (rng.uniform(size=len(xy)) < 0.04)[cell]
    gap = np.minimum(kind.loose + 1.3 * noise(rng, shape, 250, 5, gain=0.7), 2.0)
    return xy, cv2.GaussianBlur(_edge(rim - gap - 0.3, 2) * ~lost, (0, 0), 1), shade


def _glands(layers: dict, kind: Tissue, sheet: np.ndarray, shade: np.ndarray,
            rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Lay glands: rounded Voronoi cells, a ring of epithelium, a lumen of folded outline with secretion in some.

    Returns how deep one is (H, W) in a gland and in its lumen, in um; negative outside.
    """
    shape = sheet.shape
    centre = _points(rng, shape, kind.gland_um, thinning=0.5)
    depth, owner = _voronoi(rng, centre, shape, kind.gland_um)
    chosen = _at(noise(rng, shape, 800, 100), centre) + kind.glands > 0
    gland = cv2.GaussianBlur(depth, (0, 0), 7) + 4 * noise(rng, shape, 60, 4)
    gland -= rng.uniform(8, 22, len(centre)).astype(np.float32)[owner]
    gland[~chosen[owner]] = -50
    lumen = gland - rng.uniform(14, 26, len(centre))[owner] + 7 * noise(rng, shape, 60, 3, gain=0.7)
    secretion = noise(rng, shape, 120, 2, gain=0.85) - rng.uniform(-0.5, 2.5, len(centre))[owner]
    _lay(layers, _edge(gland), thickness=np.maximum(sheet, 0.6 * _edge(8 - gland)), protein=0.65 * shade,
         basophilia=0.4 * shade)
    _lay(layers, _edge(lumen), thickness=0.4 * _edge(secretion, 1.5), basophilia=0.0)
    return gland, lumen


def _fat(layers: dict, kind: Tissue, gland: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Lay fat: whole Voronoi cells of broad sizes, empty but for thin septa, and rarely in a `gland` (H, W).

    Returns how deep one is (H, W) in a cell, in um, and whether it is one of fat.
    """
    shape = gland.shape
    centre = _points(rng, shape, kind.fat_um, thinning=0.6)
    depth, owner = _voronoi(rng, centre, shape, kind.fat_um)
    chosen = _at(noise(rng, shape, 700, 40) - 2 * _edge(gland), centre) + kind.fat > 0
    drop = cv2.GaussianBlur(depth, (0, 0), 2.5) - 3 - 1.3 * noise(rng, shape, 60, 4)
    _lay(layers, chosen[owner], thickness=_edge(-drop, 1.5), basophilia=0.1)
    return drop, chosen[owner]


def _cut_out(layers: dict, kind: Tissue, fibres: np.ndarray, rng: np.random.Generator) -> None:
    """Tear the section, and take away what lies outside its outline, which is frayed along its fibres; in place."""
    shape = fibres.shape
    x, y = _grid(shape)
    tear = 0.06 * (kind.tears + noise(rng, shape, 500, 100)) - np.abs(noise(rng, shape, 700, 4, gain=0.5))
    across = np.maximum(np.abs(2 * x / shape[1] - 1), np.abs(2 * y / shape[0] - 1)) ** 3
    outline = kind.fill - across + 0.22 * noise(rng, shape, 700, 3, gain=0.55) + 0.03 * fibres
    layers["thickness"] *= _edge(-tear, 0.03) * _edge(outline, 0.02)


def _nuclei(kind: Tissue, xy: np.ndarray, thickness: np.ndarray, fields: dict[str, np.ndarray],
            rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Table of nuclei: in nearly every cell of nests and glands; along the fibres of stroma, round where inflamed.

    xy: (N, 2), where there may be one. fields: (H, W) each, as the components were laid.
    """
    nest, gland, lumen, in_fat = (_at(fields[name], xy) for name in ("nest", "gland", "lumen", "fat"))
    in_gland = gland > 2
    epithelial = (in_gland | (nest > 0)) & ~in_fat
    spindle = ~epithelial & (in_fat | (_at(noise(rng, thickness.shape, 300, 30), xy) < 1.2))
    fits = (_at(thickness, xy) > 0.3) & (lumen < -6)
    kept = fits & (rng.uniform(size=len(xy)) < np.select([epithelial, spindle], [0.93, 0.22], 0.8))
    septum, fibre, ring = (_contour_angle(fields[name], xy) for name in ("drop", "along", "gland"))
    anyhow = rng.uniform(0, np.pi, len(xy))
    angle = np.select([in_fat, spindle, in_gland], [septum, fibre, ring + np.pi / 2], anyhow)
    size = rng.lognormal(0, 0.18, len(xy)) * kind.cell_um / 10
    stained = rng.uniform(size=len(xy)) < 0.25 + 0.2 * _at(noise(rng, thickness.shape, 400, 50), xy)
    nuclei = dict(
        x=xy[:, 0], y=xy[:, 1], long=size * np.select([spindle, epithelial], [5.0, 3.9], 2.7),
        short=size * np.select([spindle, epithelial], [1.3, 2.8], 2.5) * rng.uniform(0.8, 1.1, len(xy)),
        angle=angle, amount=rng.uniform(0.55, 1, len(xy)), antigen=epithelial & stained)
    return {name: column[kept] for name, column in nuclei.items()}


def _debris(thickness: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Table of specks of 2-20 um on bare glass and in lumens, most of them near tissue."""
    xy = _points(rng, thickness.shape, 14.0)
    near = _at(cv2.blur(thickness, (61, 61)), xy)
    bare = (_at(thickness, xy) < 0.1) & (rng.uniform(size=len(xy)) < 0.004 + 0.3 * near ** 2)
    long = np.minimum(rng.lognormal(0.6, 0.6, len(xy)), 10)
    specks = dict(x=xy[:, 0], y=xy[:, 1], long=long, short=long * rng.uniform(0.4, 1, len(xy)),
                  angle=rng.uniform(0, np.pi, len(xy)), amount=rng.uniform(0.1, 1, len(xy)))
    return {name: column[bare] for name, column in specks.items()}


def noise(rng: np.random.Generator, shape: tuple[int, int], coarsest: float, finest: float,
           gain: float = 0.6, stretch: float = 1.0) -> np.ndarray:
    """Fractal noise `shape`, mean 0, sd 1; octaves `coarsest` to `finest`, each `gain` times the one before.

    `stretch` > 1 draws every octave out along x.
    """
    size = [int(np.ceil(n / (coarsest * s))) + 1 for n, s in zip(shape, (1.0, stretch))]
    field = rng.standard_normal(size, dtype=np.float32)
    spacing, weight = coarsest, 1.0
    while spacing / 2 >= finest:
        spacing, weight = spacing / 2, weight * gain
        field = cv2.resize(field, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
        field += np.float32(weight) * rng.standard_normal(field.shape, dtype=np.float32)
    full = (round(field.shape[1] * spacing * stretch), round(field.shape[0] * spacing))
    field = cv2.resize(field, full, interpolation=cv2.INTER_CUBIC)[:shape[0], :shape[1]]
    return (field - field.mean()) / field.std()


def _points(rng: np.random.Generator, shape: tuple, spacing: float, thinning: float = 0) -> np.ndarray:
    """Points (N, 2), x and y, about `spacing` apart; `thinning` > 0 leaves voids, so cells vary."""
    y, x = np.mgrid[0:shape[0]:spacing, 0:shape[1]:spacing].reshape(2, -1)
    xy = np.stack([x, y], 1) + rng.uniform(0, spacing, (x.size, 2))
    xy = np.minimum(xy, np.array(shape[::-1]) - 1.0)
    chance = thinning * (0.5 + 0.35 * _at(noise(rng, shape, 4 * spacing, spacing), xy))
    return xy[rng.uniform(size=len(xy)) >= chance]


def _voronoi(rng: np.random.Generator, xy: np.ndarray, shape: tuple[int, int], spacing: float) -> tuple:
    """Distance (H, W) to the border of the Voronoi cell one lies in, and the index (H, W) of its point.

    Borders are bent by noise of a sixth of the spacing, for cells have no ruled edges.
    """
    x, y = xy.astype(int).T
    seeds = np.ones(shape, np.uint8)
    seeds[y, x] = 0
    _, label = cv2.distanceTransformWithLabels(seeds, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    owner = np.zeros(label.max() + 1, np.float32)
    owner[label[y, x]] = np.arange(len(xy))
    column, row = _grid(shape)
    column += spacing / 6 * noise(rng, shape, 1.5 * spacing, max(spacing / 12, 2))
    row += spacing / 6 * noise(rng, shape, 1.5 * spacing, max(spacing / 12, 2))
    owner = cv2.remap(owner[label], column, row, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    owner = owner.astype(np.int32)
    inside = np.ones(shape, np.uint8)
    inside[:, 1:] &= owner[:, 1:] == owner[:, :-1]
    inside[1:] &= owner[1:] == owner[:-1]
    return cv2.distanceTransform(inside, cv2.DIST_L2, 5), owner


def _grid(shape: tuple[int, int]) -> list[np.ndarray]:
    """Column and row, (H, W) float32, of every pixel."""
    return np.meshgrid(np.arange(shape[1], dtype=np.float32), np.arange(shape[0], dtype=np.float32))


def _edge(field: np.ndarray, width: float = 1.5) -> np.ndarray:
    """Coverage in [0, 1] of `field` > 0, with a ramp `width` wide: an edge as a microscope shows it."""
    return np.clip(field / width + 0.5, 0, 1)


def _at(field: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """Values (N,) of a field (H, W) at points (N, 2)."""
    return field[xy[:, 1].astype(int), xy[:, 0].astype(int)]


def _contour_angle(field: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """Angle (N,) in radians, at points, of the contour of `field` through them."""
    dy, dx = np.gradient(cv2.GaussianBlur(field, (0, 0), 4))
    return np.arctan2(-_at(dx, xy), _at(dy, xy))


def _lay(layers: dict, cover: np.ndarray, **new: np.ndarray | float) -> None:
    """Lay a component over the layers, in place, where `cover` (H, W) in [0, 1] says that it is."""
    for name, value in new.items():
        layers[name] += cover * (value - layers[name])
