"""How good is a model after how many minutes of training? A curve that tells how long to train.

Four models are trained by turns, each at the full learning rate with a running mean of its weights in place of a
falling rate, so that every rung of the ladder is a model that could be used. Each trains as the study trains it, on
its batch of crops or patches.
"""

import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from ppcore.experiments.gpu.bench import FIRST, Clock, make, reason
from ppcore.experiments.gpu.measured import describe_real, image_numbers, mask_numbers, write_sheet
from ppcore.masks.make import coarse_mask, coarsen_set, read_mask
from ppcore.masks.patches import PatchDataset, read_image, to_image, to_mask, to_tensor
from ppcore.methods.colours import ImageCrops
from ppcore.methods.table import find
from ppcore.methods.texture import TexturedCrops
from ppcore.metrics.sets import read_set
from ppcore.study.files import atomic
from ppcore.study.interrupt import ignore_interrupt
from ppcore.study.seeds import mixed
from ppcore.training.checkpoint import network_tensors
from ppcore.training.ema import Average, averaged
from ppcore.training.loop import take_step
from ppcore.training.method import Method
from ppcore.training.order import SeededItems, data_order
from ppcore.training.precision import precision_on, prepared

BATCH = {"noise-GAN": 4, "diffusion": 4, "noise-image": 4}  # crops a step, as in the study; the others take one patch
CROP, EMA, SEED = 128, 0.998, 1
TEST, FEW, DRAWS, SHOWN = 32, 4, 4, 3  # test patches; outlines with several draws, and how many; columns of a sheet
LEAST_WAIT = 30.0  # s, of a trial for its last measures
BELOW = 3  # rungs below the largest power of two of a minute


@dataclass
class Data:
    """The patches: names of training and test, and folders. real: to come, the test set described."""

    train: list[str]
    test: list[str]
    fine: Path
    rgb: Path
    coarse: Path
    size: tuple[int, int]
    real: Future

    def masks(self, folder: Path, names: list[str]) -> list[np.ndarray]:
        """Masks of a folder, (H, W) in {0, 1}."""
        return [read_mask(folder / f"{name}.png") for name in names]


def open_data(index, folder: Path, coarse: Path, pool: Executor, kd: bool) -> Data:
    """The patches of `folder` (fine/, rgb/) by their index; makes the coarse masks. At most TEST test patches, spread."""
    train = list(index.loc[index["split"] == "train", "patch"])
    test = index[index["split"] == "test"].set_index("patch")["subject"]
    test = test.iloc[np.unique(np.linspace(0, len(test) - 1, min(TEST, len(test))).round().astype(int))]
    coarsen_set([*train, *test.index], folder / "fine", coarse, 5, 10)
    masks = read_set(folder / "fine", test.index, test)
    images = [folder / "rgb" / f"{name}.webp" for name in test.index]
    return Data(train, list(test.index), folder / "fine", folder / "rgb", coarse, masks.masks[0].shape,
                pool.submit(describe_real, masks, images, kd))


def ladder(minutes: float) -> list[float]:
    """The rungs up to some minutes: powers of two of a minute, and the end itself if it lies well beyond the last."""
    last = float(np.floor(np.log2(minutes)))
    rungs = [2.0**(last - below) for below in reversed(range(BELOW + 1))]
    return rungs + [minutes] * (minutes > 1.2 * rungs[-1])


@dataclass
class Course:
    """The training of one model, in pieces. seconds: of training so far; waited: those of them spent on data."""

    name: str
    method: Method
    average: Average
    batches: Iterator
    place: torch.device
    steps: int = 0
    seconds: float = 0.0
    waited: float = 0.0
    losses: dict = field(default_factory=dict)

    def train_until(self, minutes: float) -> None:
        """Train until so many minutes are spent. Raises `FloatingPointError` if a loss is not finite."""
        with tqdm(desc=f"{self.name}, {minutes:.2g} min", unit="step", mininterval=1.0, leave=False) as bar:
            while self.seconds < 60 * minutes:
                start = time.perf_counter()
                batch = next(self.batches)
                self.waited += time.perf_counter() - start
                _, self.losses = take_step(self.method, self.average, batch, self.place, 1.0, SEED, self.steps)
                self.steps += 1
                bar.update()
                if self.steps % 20 == 0 and self.place.type == "cuda":
                    torch.cuda.synchronize()  # else the clock would run ahead of the GPU
                self.seconds += time.perf_counter() - start
        if bad := [name for name, loss in self.losses.items() if not torch.isfinite(loss)]:
            raise FloatingPointError(f"loss {bad[0]} is not finite after {self.steps} steps")


def begin(name: str, data: Data, tiny: bool, device: str, workers: int, stack: ExitStack) -> Course:
    """A model before its first step. stack: holds what is undone afterwards."""
    method = make(name, data.size, tiny, lenders=min(256, len(data.train)))
    items = _items(name, data, tiny)
    if name in BATCH:
        method.remember(items, SEED)
    average = stack.enter_context(averaged(method, EMA))
    stack.enter_context(prepared(method, device, precision_on(device)))
    method.initialise(SEED)
    average.start()
    order = data_order(len(items), BATCH.get(name, 1), SEED, 0, 10**9)
    batches = DataLoader(SeededItems(items, SEED), batch_sampler=order, num_workers=workers,
                         worker_init_fn=ignore_interrupt, pin_memory=device == "cuda")
    return Course(name, method, average, iter(batches), torch.device(device))


def _items(name: str, data: Data, tiny: bool) -> Dataset:
    size = 32 if tiny else CROP
    if find(name).makes == "image" and name in BATCH:
        return ImageCrops(data.train, data.fine, data.rgb, size)
    if name in BATCH:
        return TexturedCrops(data.train, data.fine, size, 5, 10)
    if find(name).makes == "image":
        return PatchDataset(data.train, mask=data.fine, image=data.rgb)
    return PatchDataset(data.train, coarse=data.coarse, fine=data.fine)


def sample(course: Course, data: Data) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """One mask or image per test patch from the mean of the weights; of masks also several for the first FEW outlines."""
    images = find(course.name).makes == "image"

    def draw(name: str, seeds: list[int]) -> list[np.ndarray]:
        given = to_tensor(read_mask((data.fine if images else data.coarse) / f"{name}.png"))[None].to(course.place)
        return [(to_image if images else to_mask)(course.method.generate(given, [seed])[0]) for seed in seeds]

    with course.average.shown():
        made = [draw(name, mixed(1, SEED, place))[0] for place, name in enumerate(data.test)]
        several = [] if images else [np.stack(draw(name, mixed(DRAWS, SEED, place))) for place, name in
                                     enumerate(data.test[:FEW])]
    return made, several


class Results:
    """Rows of good.csv as they come back from the helpers, and the sheets."""

    def __init__(self, data: Data, pool: Executor, folder: Path, write: Callable[[list[dict]], None]) -> None:
        self.data, self.pool, self.folder, self.write = data, pool, folder, write
        self.rows: list[dict] = []
        self.waiting: list[tuple[dict, Future]] = []
        first = data.test[:SHOWN]
        self.outlines = data.masks(data.coarse, data.test)
        images = [read_image(data.rgb / f"{name}.webp") for name in first]
        self.sheets = {"mask": [self.outlines[:SHOWN], data.masks(data.fine, first)],
                       "image": [data.masks(data.fine, first), images]}

    def measure_training_set(self) -> None:
        """The row real-train: as many real masks, and images, of other subjects."""
        names = [self.data.train[i] for i in np.linspace(0, len(self.data.train) - 1, len(self.data.test)).astype(int)]
        masks, real = self.data.masks(self.data.fine, names), self.data.real.result()
        self._ask({"method": "real-train"}, mask_numbers, real, [coarse_mask(mask) for mask in masks], masks)
        self._ask({"method": "real-train, images"}, image_numbers, real,
                  [read_image(self.data.rgb / f"{name}.webp") for name in names])

    def add(self, course: Course, made: list[np.ndarray], several: list[np.ndarray]) -> None:
        """Have the masks or images of a rung measured, and show some."""
        row = {"method": course.name, "minutes": course.seconds / 60, "steps": course.steps,
               "steps_per_s": course.steps / course.seconds, "waited": course.waited / course.seconds,
               **{f"loss_{name}": float(loss.detach()) for name, loss in course.losses.items()}}
        makes, real = find(course.name).makes, self.data.real.result()
        asked = (image_numbers, real, made) if makes == "image" else (mask_numbers, real, self.outlines, made, several)
        self._ask(row, *asked)
        self.sheets[makes].append(made[:SHOWN])
        write_sheet(self.folder / {"mask": "masks.png", "image": "images.jpg"}[makes], self.sheets[makes])

    def _ask(self, row: dict, function: Callable, *arguments: object) -> None:
        self.waiting.append((row, self.pool.submit(function, *arguments)))

    def collect(self, seconds: float = 0.0) -> None:
        """Write what is measured by now, or within some seconds."""
        clock, still = Clock(seconds), []
        for row, future in self.waiting:
            try:
                self.rows.append(row | future.result(timeout=clock.left() or 1e-3))
            except TimeoutError:
                still.append((row, future))
            except Exception as error:  # of a measure, such as masks without tissue: the table says which
                self.rows.append(row | {"note": reason(error)})
        self.waiting = still
        self.write(self.rows + [row | {"note": "not measured yet"} for row, _ in still])


def climb(data: Data, tiny: bool, device: str, workers: int, clock: Clock, reserve: float, results: Results,
          store: Callable[[Course], None]) -> None:
    """Train all models up to one rung, then all to the next, until the time is over. reserve: s for the last measures."""
    with ExitStack() as stack:
        courses = []
        for name in FIRST:
            try:
                courses.append(begin(name, data, tiny, device, workers, stack))
            except Exception as error:
                traceback.print_exc()
                results.rows.append({"method": name, "note": reason(error)})
        results.measure_training_set()
        share = max(1.0, clock.left() - reserve) / max(1, len(courses)) / 60
        turns = [(minutes, course) for minutes in ladder(0.85 * share) for course in courses]  # the rest is to generate
        for minutes, course in turns:
            if not tiny and clock.left() < reserve / 2:
                results.rows.append({"method": course.name, "minutes": minutes, "note": "no time left"})
                break
            if course in courses:
                try:
                    course.train_until(minutes)
                    results.add(course, *sample(course, data))
                    store(course)
                except Exception as error:
                    traceback.print_exc()
                    results.rows.append({"method": course.name, "minutes": minutes, "note": reason(error)})
                    courses.remove(course)
                results.collect()
    results.collect(max(clock.left(), LEAST_WAIT * tiny))


def store_model(course: Course, folder: Path) -> None:
    """Store the mean of a generator's weights as <name>.safetensors, with its settings in its header.

    Only of the models that train on crops: at full size the others have hundreds of megabytes.
    """
    if course.name not in BATCH:
        return
    with course.average.shown():
        tensors = network_tensors({name: course.method.networks[name] for name in course.method.generators})
    about = {"method": type(course.method).__name__, "settings": repr(course.method.settings),
             "minutes": f"{course.seconds / 60:.3g}", "steps": str(course.steps)}
    with atomic(folder / f"{course.name}.safetensors") as temporary:
        save_file(tensors, temporary, metadata=about)
