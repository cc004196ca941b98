"""How does the study run when no slide is at hand?  It draws its own cohort: procedural H&E or IHC slides.

Tissue is laid out on a working grid of 1 um per pixel, so every length below is in micrometres and another
`mpp` shows the same tissue. Components are laid over each other as a section shows them: fibrous stroma with
clefts, nests of tumour, glands with a lumen, fat, tears and the outline of the section. Nuclei and debris are
drawn at full resolution, and stains are mixed by the law of Beer and Lambert. The drawing is our own, tuned
until the masks' tissue fraction, component sizes, edge length and granulometry lay within the range of real
bone and breast sections. It shows no patient and no disease; what is measured on it holds for it alone.
"""
from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import cv2
import joblib
import numpy as np
import tifffile
from tqdm import tqdm

from ppcore.study.files import atomic, write_text

# Optical density per unit of stain in R, G, B. Haematoxylin and DAB: Ruifrok & Johnston, Anal Quant Cytol
# Histol 23:291 (2001). Their eosin (.072, .990, .105) comes out magenta on a screen; ours is the reference
# eosin of the common implementations of Macenko et al., ISBI (2009).
STAINS = {
    "haematoxylin": (0.650, 0.704, 0.286),
    "eosin": (0.2159, 0.8012, 0.5581),
    "dab": (0.268, 0.570, 0.776),
}
GLASS = {"he": 244.0, "ihc": 250.0}  # grey of empty glass; air thresholds 204, 235: reading R3
TILE, LEVEL_FACTOR, JPEG_QUALITY = 256, 4, 90


@dataclass(frozen=True)
class Phantom:
    """Settings of an embedded cohort; a slide depends on all of them but the number of slides."""

    stain: str = "he"  # "he" | "ihc"
    slides: int = 12
    width_um: float = 2048.0
    height_um: float = 1536.0
    mpp: float = 0.5
    seed: int = 1

    def __post_init__(self) -> None:
        if self.stain not in GLASS:
            raise ValueError(f"phantom stain is {self.stain!r}; choose one of {sorted(GLASS)}")
        if self.slides < 1 or self.mpp <= 0 or min(self.width_um, self.height_um) < 256:
            raise ValueError(f"{self}: choose slides >= 1, mpp > 0 and sides of at least 256 um")


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


def subject_of(number: int) -> int:
    """Subject (1, 2, ...) of slide `number` (1, 2, ...): every fourth is a second one of the one before."""
    return number - number // 4


def beer_lambert(amounts: dict[str, np.ndarray], glass: np.ndarray | float) -> np.ndarray:
    """Colour (H, W, 3), uint8, of light that left `glass` (H, W) in [0, 255] and passed `amounts` of stain.

    `amounts` maps names of STAINS to (H, W) >= 0, in units of its optical density: I = I0 10^-(sum of c OD).
    """
    image = np.empty((*next(iter(amounts.values())).shape, 3), np.uint8)
    for channel in range(3):
        density = sum(amount * np.float32(STAINS[name][channel]) for name, amount in amounts.items())
        image[..., channel] = np.clip(np.rint(glass * np.exp(density * np.float32(-np.log(10)))), 0, 255)
    return image


def _noise(rng: np.random.Generator, shape: tuple[int, int], coarsest: float, finest: float,
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
    chance = thinning * (0.5 + 0.35 * _at(_noise(rng, shape, 4 * spacing, spacing), xy))
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
    column, row = np.meshgrid(np.arange(shape[1], dtype=np.float32), np.arange(shape[0], dtype=np.float32))
    column += spacing / 6 * _noise(rng, shape, 1.5 * spacing, max(spacing / 12, 2))
    row += spacing / 6 * _noise(rng, shape, 1.5 * spacing, max(spacing / 12, 2))
    owner = cv2.remap(owner[label], column, row, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    owner = owner.astype(np.int32)
    inside = np.ones(shape, np.uint8)
    inside[:, 1:] &= owner[:, 1:] == owner[:, :-1]
    inside[1:] &= owner[1:] == owner[:-1]
    return cv2.distanceTransform(inside, cv2.DIST_L2, 5), owner


def _edge(field: np.ndarray, width: float = 1.5) -> np.ndarray:
    """Coverage in [0, 1] of `field` > 0, with a ramp `width` wide: an edge as a microscope shows it."""
    return np.clip(field / width + 0.5, 0, 1)


def _at(field: np.ndarray, xy: np.ndarray) -> np.ndarray:
    return field[xy[:, 1].astype(int), xy[:, 0].astype(int)]


def _contour_angle(field: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """Angle (N,) in radians, at points, of the contour of `field` through them."""
    dy, dx = np.gradient(cv2.GaussianBlur(field, (0, 0), 4))
    return np.arctan2(-_at(dx, xy), _at(dy, xy))


def _lay(layers: dict, cover: np.ndarray, **new: np.ndarray | float) -> None:
    """Lay a component over the layers, in place, where `cover` (H, W) in [0, 1] says that it is."""
    for name, value in new.items():
        layers[name] += cover * (value - layers[name])


def _tissue(kind: Tissue, shape: tuple[int, int], rng: np.random.Generator) -> tuple[dict, dict, dict]:
    """Layers (H, W) on the 1 um grid, about [0, 1], and two tables of ellipses: nuclei and debris.

    Layers: `thickness` (0 = glass); of that, `protein` (takes eosin) and `basophilia` (takes haematoxylin).
    """
    # Stroma: noise drawn out along a wavy frame (u, v); clefts of power-law sizes open where it is low.
    tilt = np.float32(rng.uniform(0, np.pi))
    x, y = np.meshgrid(np.arange(shape[1], dtype=np.float32), np.arange(shape[0], dtype=np.float32))
    u = np.cos(tilt) * x + np.sin(tilt) * y + 40 * _noise(rng, shape, 400, 80)
    v = np.cos(tilt) * y - np.sin(tilt) * x + 40 * _noise(rng, shape, 400, 80)
    fibres = _noise(rng, shape, 28, 1.75, gain=0.85, stretch=5)
    fibres = cv2.remap(fibres, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    cleft = kind.clefts + _noise(rng, shape, 400, 25) + 0.3 * _noise(rng, shape, 20, 2, gain=0.8) - fibres
    pale = _edge(_noise(rng, shape, 500, 4, gain=0.65) + kind.pallor, 2)
    layers = dict(thickness=_edge(-cleft, 0.5), protein=0.8 + 0.25 * fibres - 0.5 * pale,
                  basophilia=np.full(shape, 0.1, np.float32))

    # Nests: one fine Voronoi diagram gives the cells of nests and glands, and where nuclei lie.
    xy = _points(rng, shape, kind.cell_um)
    rim, cell = _voronoi(rng, xy, shape, kind.cell_um)
    shade = rng.uniform(0.5, 1.2, len(xy)).astype(np.float32)[cell]
    lost = (rng.uniform(size=len(xy)) < 0.04)[cell]
    gap = np.minimum(kind.loose + 1.3 * _noise(rng, shape, 250, 5, gain=0.7), 2.0)
    sheet = cv2.GaussianBlur(_edge(rim - gap - 0.3, 2) * ~lost, (0, 0), 1)
    nest = 60 * (_noise(rng, shape, 600, 5, gain=0.5) + kind.nests)
    _lay(layers, _edge(nest), thickness=sheet, protein=0.65 * shade, basophilia=0.45 * shade)

    # Glands: rounded Voronoi cells, a ring of epithelium, a lumen of folded outline with secretion in some.
    centre = _points(rng, shape, kind.gland_um, thinning=0.5)
    depth, owner = _voronoi(rng, centre, shape, kind.gland_um)
    chosen = _at(_noise(rng, shape, 800, 100), centre) + kind.glands > 0
    gland = cv2.GaussianBlur(depth, (0, 0), 7) + 4 * _noise(rng, shape, 60, 4)
    gland -= rng.uniform(8, 22, len(centre)).astype(np.float32)[owner]
    gland[~chosen[owner]] = -50
    lumen = gland - rng.uniform(14, 26, len(centre))[owner] + 7 * _noise(rng, shape, 60, 3, gain=0.7)
    secretion = _noise(rng, shape, 120, 2, gain=0.85) - rng.uniform(-0.5, 2.5, len(centre))[owner]
    _lay(layers, _edge(gland), thickness=np.maximum(sheet, 0.6 * _edge(8 - gland)), protein=0.65 * shade,
         basophilia=0.4 * shade)
    _lay(layers, _edge(lumen), thickness=0.4 * _edge(secretion, 1.5), basophilia=0.0)

    # Retraction: a nest or gland comes off its stroma along a part of its outline.
    away = np.abs(np.maximum(nest / 3, gland) + 2)
    layers["thickness"] *= 1 - _edge(-3 * _noise(rng, shape, 120, 5) - 1 - away)

    # Fat: whole Voronoi cells of broad sizes, empty but for thin septa.
    centre = _points(rng, shape, kind.fat_um, thinning=0.6)
    depth, owner = _voronoi(rng, centre, shape, kind.fat_um)
    chosen = _at(_noise(rng, shape, 700, 40) - 2 * _edge(gland), centre) + kind.fat > 0
    in_fat = _at(chosen[owner], xy)
    drop = cv2.GaussianBlur(depth, (0, 0), 2.5) - 3 - 1.3 * _noise(rng, shape, 60, 4)
    _lay(layers, chosen[owner], thickness=_edge(-drop, 1.5), basophilia=0.1)

    # Tears, and the outline of the section, frayed along its fibres.
    tear = 0.06 * (kind.tears + _noise(rng, shape, 500, 100)) - np.abs(_noise(rng, shape, 700, 4, gain=0.5))
    across = np.maximum(np.abs(2 * x / shape[1] - 1), np.abs(2 * y / shape[0] - 1)) ** 3
    outline = kind.fill - across + 0.22 * _noise(rng, shape, 700, 3, gain=0.55) + 0.03 * fibres
    layers["thickness"] *= _edge(-tear, 0.03) * _edge(outline, 0.02)

    # Nuclei: in nearly every cell of nests and glands; along the fibres of stroma, round where inflamed.
    in_gland = _at(gland, xy) > 2
    epithelial = (in_gland | (_at(nest, xy) > 0)) & ~in_fat
    spindle = ~epithelial & (in_fat | (_at(_noise(rng, shape, 300, 30), xy) < 1.2))
    fits = (_at(layers["thickness"], xy) > 0.3) & (_at(lumen, xy) < -6)
    kept = fits & (rng.uniform(size=len(xy)) < np.select([epithelial, spindle], [0.93, 0.22], 0.8))
    septum, fibre, ring = (_contour_angle(field, xy) for field in (drop, v, gland))
    anyhow = rng.uniform(0, np.pi, len(xy))
    angle = np.select([in_fat, spindle, in_gland], [septum, fibre, ring + np.pi / 2], anyhow)
    size = rng.lognormal(0, 0.18, len(xy)) * kind.cell_um / 10
    stained = rng.uniform(size=len(xy)) < 0.25 + 0.2 * _at(_noise(rng, shape, 400, 50), xy)
    nuclei = dict(
        x=xy[:, 0], y=xy[:, 1], long=size * np.select([spindle, epithelial], [5.0, 3.9], 2.7),
        short=size * np.select([spindle, epithelial], [1.3, 2.8], 2.5) * rng.uniform(0.8, 1.1, len(xy)),
        angle=angle, amount=rng.uniform(0.55, 1, len(xy)), antigen=epithelial & stained)
    nuclei = {name: column[kept] for name, column in nuclei.items()}
    return layers, nuclei, _debris(layers["thickness"], rng)


def _debris(thickness: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Table of specks of 2-20 um on bare glass and in lumens, most of them near tissue."""
    xy = _points(rng, thickness.shape, 14.0)
    near = _at(cv2.blur(thickness, (61, 61)), xy)
    bare = (_at(thickness, xy) < 0.1) & (rng.uniform(size=len(xy)) < 0.004 + 0.3 * near ** 2)
    long = np.minimum(rng.lognormal(0.6, 0.6, len(xy)), 10)
    specks = dict(x=xy[:, 0], y=xy[:, 1], long=long, short=long * rng.uniform(0.4, 1, len(xy)),
                  angle=rng.uniform(0, np.pi, len(xy)), amount=rng.uniform(0.1, 1, len(xy)))
    return {name: column[bare] for name, column in specks.items()}


def _ellipses(table: dict, amount: np.ndarray, shape: tuple[int, int], mpp: float) -> np.ndarray:
    """Filled ellipses (H, W) of strength `amount` (N,) in [0, 1], soft rims; `table` is in um and radians."""
    image = np.zeros(shape, np.uint8)
    # OpenCV wants sixteenths of a pixel, and takes a pixel's centre for its place.
    places = [np.rint(table[name] * 16 / mpp - 8).astype(int).tolist() for name in ("x", "y")]
    axes = [np.rint(table[name] * 16 / mpp).astype(int).tolist() for name in ("long", "short")]
    grey = np.rint(255 * amount).astype(int).tolist()
    for x, y, long, short, angle, value in zip(*places, *axes, np.degrees(table["angle"]).tolist(), grey):
        cv2.ellipse(image, (x, y), (long, short), angle, 0, 360, value, -1, cv2.LINE_AA, 4)
    return cv2.GaussianBlur(image, (0, 0), 0.5 / mpp).astype(np.float32) / 255


def draw_slide(phantom: Phantom, number: int) -> np.ndarray:
    """RGB (H, W, 3), uint8, of slide `number` (1, 2, ...) at `phantom.mpp`.

    A subject's slides share kind of tissue and staining, as real ones do: splits by slide leak (reading R5).
    """
    stain = sorted(GLASS).index(phantom.stain)
    person = np.random.default_rng([phantom.seed, stain, 0, subject_of(number)])
    rng = np.random.default_rng([phantom.seed, stain, 1, number])
    kind = KINDS[(subject_of(number) - 1) % len(KINDS)]
    kind = replace(kind, clefts=kind.clefts + person.normal(0, 0.5), loose=kind.loose + person.normal(0, 0.4),
                   pallor=kind.pallor + person.normal(0, 0.3), fill=kind.fill * person.uniform(0.8, 1.2))
    strength = person.uniform(0.8, 1.2, 2)
    work = (int(np.ceil(phantom.height_um)), int(np.ceil(phantom.width_um)))
    shape = (round(phantom.height_um / phantom.mpp), round(phantom.width_um / phantom.mpp))

    def full(field: np.ndarray) -> np.ndarray:
        way = cv2.INTER_CUBIC if phantom.mpp <= 1 else cv2.INTER_AREA
        return cv2.resize(field.astype(np.float32), shape[::-1], interpolation=way)

    layers, nuclei, debris = _tissue(kind, work, rng)
    grain = 1 + 0.22 * full(cv2.GaussianBlur(rng.standard_normal(work, dtype=np.float32), (0, 0), 1) * 3.5)
    chromatin = grain * _ellipses(nuclei, nuclei["amount"], shape, phantom.mpp)
    thickness = np.clip(full(layers["thickness"]), 0, 1)
    thickness = grain * np.maximum(thickness, _ellipses(debris, debris["amount"], shape, phantom.mpp))
    protein = thickness * np.maximum(full(layers["protein"]), 0)
    basophilia = thickness * np.maximum(full(layers["basophilia"]), 0)
    del grain, thickness, layers
    if phantom.stain == "he":
        amounts = {"haematoxylin": strength[0] * (0.3 * basophilia + 0.7 * chromatin),
                   "eosin": strength[1] * 0.36 * protein * (1 - 0.3 * chromatin)}
    else:
        brown = _ellipses(nuclei, nuclei["amount"] * nuclei["antigen"], shape, phantom.mpp)
        amounts = {"haematoxylin": strength[0] * (0.08 * protein + 0.11 * basophilia + 0.35 * chromatin),
                   "dab": strength[1] * 0.8 * brown}
    del protein, basophilia, chromatin
    glass = GLASS[phantom.stain] + 1.5 * full(_noise(rng, work, 1500, 300))  # uneven light
    glass += rng.standard_normal(shape, dtype=np.float32)  # the sensor's noise
    return beer_lambert(amounts, glass)


def _write_slide(phantom: Phantom, number: int, path: Path) -> None:
    """One slide as a tiled pyramid that OpenSlide opens as `aperio`, named only once it is whole."""
    level = draw_slide(phantom, number)
    height, width = level.shape[:2]
    about = (f"Aperio Image Library (phantom)\n{width}x{height} ({TILE}x{TILE}) JPEG/RGB Q={JPEG_QUALITY}"
             f"|AppMag = {10 / phantom.mpp:g}|MPP = {phantom.mpp:g}")
    with atomic(path) as partial, tifffile.TiffWriter(partial) as tiff:
        while True:
            tiff.write(level, tile=(TILE, TILE), photometric="rgb", compression="jpeg",
                       compressionargs={"level": JPEG_QUALITY}, description=about, metadata=None, software="")
            if max(level.shape) <= 2 * TILE:
                break
            size = (level.shape[1] // LEVEL_FACTOR, level.shape[0] // LEVEL_FACTOR)
            level = cv2.resize(level, size, interpolation=cv2.INTER_AREA)


def write_cohort(phantom: Phantom, folder: Path | str, n_jobs: int = 1) -> list[Path]:
    """Write `phantom-01.tif`, ..., `subjects.csv` (file,subject), last `phantom.json`; return slide paths.

    A folder that holds this very phantom, drawn by this very file, is left alone; slides of another are
    replaced. Two calls on one machine write the same bytes. joblib draws `n_jobs` slides at once.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"phantom-{number:02d}.tif" for number in range(1, phantom.slides + 1)]
    subjects, record = folder / "subjects.csv", folder / "phantom.json"
    drawing = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    settings = json.dumps({**asdict(phantom), "drawing": drawing}, indent=1) + "\n"
    if all(path.exists() for path in (*paths, subjects, record)) and record.read_text() == settings:
        return paths
    record.unlink(missing_ok=True)  # first out, last in: with it the folder is whole
    for old in folder.glob("phantom-*.tif*"):
        old.unlink()
    jobs = (joblib.delayed(_write_slide)(phantom, number, path) for number, path in enumerate(paths, 1))
    done = joblib.Parallel(n_jobs=n_jobs, return_as="generator")(jobs)
    list(tqdm(done, total=len(paths), desc=f"drawing {phantom.stain} phantom slides", unit="slide"))
    rows = [f"{path.name},phantom-{subject_of(number):02d}" for number, path in enumerate(paths, 1)]
    write_text(subjects, "\n".join(["file,subject", *rows]) + "\n")
    write_text(record, settings)
    return paths
