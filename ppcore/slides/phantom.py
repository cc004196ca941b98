"""How does the study run when no slide is at hand?  It draws its own cohort: procedural H&E or IHC slides.

`ppcore.slides.tissue` lays the tissue out. Nuclei and debris are drawn at full resolution here, stains are mixed by the
law of Beer and Lambert, and the picture is stored as a slide. It shows no patient and no disease; what is measured on
it holds for it alone.
"""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import cv2
import joblib
import numpy as np
from tqdm import tqdm

from ppcore.slides.pyramid import write_pyramid
from ppcore.slides.tissue import KINDS, lay_out, noise
from ppcore.study.files import write_text
from ppcore.study.fingerprint import definitions

# Optical density per unit of stain in R, G, B. Haematoxylin and DAB: Ruifrok & Johnston, Anal Quant Cytol
# Histol 23:291 (2001). Their eosin (.072, .990, .105) comes out magenta on a screen; ours is the reference
# eosin of the common implementations of Macenko et al., ISBI (2009).
STAINS = {
    "haematoxylin": (0.650, 0.704, 0.286),
    "eosin": (0.2159, 0.8012, 0.5581),
    "dab": (0.268, 0.570, 0.776),
}
GLASS = {"he": 244.0, "ihc": 250.0}  # grey of empty glass; air thresholds 204, 235: reading R3


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

    layers, nuclei, debris = lay_out(kind, work, rng)
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
    glass = GLASS[phantom.stain] + 1.5 * full(noise(rng, work, 1500, 300))  # uneven light
    glass += rng.standard_normal(shape, dtype=np.float32)  # the sensor's noise
    return beer_lambert(amounts, glass)


def _write_slide(phantom: Phantom, number: int, path: Path) -> None:
    write_pyramid(path, draw_slide(phantom, number), phantom.mpp, "phantom")


def write_cohort(phantom: Phantom, folder: Path | str, n_jobs: int = 1) -> list[Path]:
    """Write `phantom-01.tif`, ..., `subjects.csv` (file,subject), last `phantom.json`; return slide paths.

    A folder that holds this very phantom, drawn by this very code, is left alone; slides of another are replaced. Two
    calls on one machine write the same bytes. joblib draws `n_jobs` slides at once.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"phantom-{number:02d}.tif" for number in range(1, phantom.slides + 1)]
    subjects, record = folder / "subjects.csv", folder / "phantom.json"
    settings = json.dumps({**asdict(phantom), "drawing": definitions(_write_slide)}, indent=1) + "\n"
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
