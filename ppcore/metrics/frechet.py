"""Do synthetic and real masks look alike to Inception-v3? FID and KID by torch-fidelity (reading R25).

FID is defined by one set of weights. A number from any other network is not FID, so without these weights
none is given (reading R26).
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from ppcore.masks.make import check_mask
from ppcore.study.files import atomic

WEIGHTS_URL = ("https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
               "weights-inception-2015-12-05-6726825d.pth")  # as in torch-fidelity
WEIGHTS_NAME = WEIGHTS_URL.rsplit("/", 1)[-1]  # ends in 6726825d, the first digits of the sha256
# pytorch-fid calls the same file pt_inception-2015-12-05-6726825d.pth: only the sha256 counts.
WEIGHTS_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"

LEAST_MASKS = 20  # for FID at infinity: the fit needs subsets of many sizes


def find_inception_weights(path: str | Path | None = None, download: bool = False) -> Path | None:
    """Path of the original FID weights, their sha256 checked; None if the file is missing (reading R26).

    path: the file, or None for torch-fidelity's default, `checkpoints` in the torch hub folder.
    download: fetch a missing file (95 MB) to that path; otherwise nothing is fetched.
    Raises ValueError for any other file: a pickle can run arbitrary code when it is loaded.
    """
    path = Path(torch.hub.get_dir()) / "checkpoints" / WEIGHTS_NAME if path is None else Path(path)
    if not path.exists():
        if not download:
            return None
        with atomic(path) as temporary:
            torch.hub.download_url_to_file(WEIGHTS_URL, str(temporary), hash_prefix=WEIGHTS_SHA256)
    _check_sha256(path)
    return path


def fid_kid(generated: Sequence[np.ndarray], real: Sequence[np.ndarray], weights: str | Path,
            batch_size: int = 16, seed: int = 0) -> dict[str, float]:
    """FID and KID of generated masks or images against real ones: {"fid": ..., "kid": ..., "n": ...} (reading R25).

    generated, real: masks (H, W) uint8 in {0, 1}, or RGB images (H, W, 3) uint8. FID's bias depends on their number, so
    only the first n of each set are used, n being the smaller length. weights: from `find_inception_weights`.
    seed: for the subsets of KID. Runs on a GPU if there is one.

    Masks are copied to three channels of {0, 255}. torch-fidelity resizes them to 299 x 299, ignoring the
    aspect ratio, with the TensorFlow 1 resampling of the original FID.
    FID: Heusel et al. 2017, eq. 6. Below 2,048 masks its covariance is singular and it is biased upwards, so
    report n together with KID, which is unbiased (Binkowski et al. 2018). KID is the mean over 100 subsets of
    1,000 masks or, for n <= 1,000, one value from all of them.
    Raises ValueError for fewer than two masks, an invalid mask, or another weights file.
    """
    import torch_fidelity  # here: it takes seconds and is needed only with the weights

    n = min(len(generated), len(real))
    if n < 2:
        raise ValueError(f"found {len(generated)} generated and {len(real)} real pictures: wanted two or more")
    _check_sha256(Path(weights))
    scores = torch_fidelity.calculate_metrics(
        input1=_Pictures(generated, n), input2=_Pictures(real, n), fid=True, kid=True,
        feature_extractor="inception-v3-compat", feature_extractor_weights_path=str(weights),
        kid_subset_size=min(n, 1000), kid_subsets=100 if n > 1000 else 1, rng_seed=seed,
        cuda=torch.cuda.is_available(), batch_size=batch_size,
        save_cpu_ram=True,  # no worker processes: the pictures are already in memory
        cache=False, verbose=False)
    return {"fid": scores[torch_fidelity.KEY_METRIC_FID], "kid": scores[torch_fidelity.KEY_METRIC_KID_MEAN],
            "n": n}


def inception_features(pictures: Sequence[np.ndarray], weights: str | Path, batch_size: int = 16) -> np.ndarray:
    """Inception-v3's pool features of masks or images, as FID uses them: (N, 2048) float64.

    pictures, weights: as in `fid_kid`. Raises ValueError for another weights file or an invalid mask.
    """
    from torch_fidelity.utils import create_feature_extractor, extract_featuresdict_from_input_id

    _check_sha256(Path(weights))
    options = {"cuda": torch.cuda.is_available(), "verbose": False}
    network = create_feature_extractor("inception-v3-compat", ["2048"], **options,
                                       feature_extractor_weights_path=str(weights))
    features = extract_featuresdict_from_input_id(1, network, input1=_Pictures(pictures, len(pictures)), **options,
                                                  batch_size=batch_size, save_cpu_ram=True)
    return features["2048"].numpy().astype(np.float64)


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Frechet distance of two sets of features, (N, D) and (M, D), treated as Gaussian (Heusel et al. 2017, eq. 6).

    The trace of the root of the product of both covariances is the nuclear norm of A B', where A and B are the centred
    features over sqrt(N - 1), sqrt(M - 1) (Mathiasen and Hvilshoj 2020). This needs no (D, D) root and is fast for N <
    D. Raises ValueError for fewer than two rows or unequal D.
    """
    if a.ndim != 2 or a.shape[1:] != b.shape[1:] or min(len(a), len(b)) < 2:
        raise ValueError(f"features are {a.shape}, {b.shape}: wanted (N, D), (M, D), N, M > 1")
    mean_a, mean_b = a.mean(axis=0), b.mean(axis=0)
    a, b = ((x - mean) / np.sqrt(len(x) - 1) for x, mean in ((a, mean_a), (b, mean_b)))
    root = np.linalg.norm(np.linalg.qr(a, "r") @ np.linalg.qr(b, "r").T, "nuc")
    return float(((mean_a - mean_b) ** 2).sum() + (a**2).sum() + (b**2).sum() - 2 * root)


def fid_infinity(generated: np.ndarray, real: np.ndarray, seed: int = 0, sizes: int = 15) -> float:
    """FID extrapolated to infinitely many masks (Chong and Forsyth 2020, section 4).

    generated, real: (N, 2048) from `inception_features`; the first n of each are used, n being the smaller length.
    FID's bias falls as 1 / N for large N. So FID is computed on `sizes` random subsets of n / 2 to n masks, and a line
    fitted against 1 / N is read at 0. The article subsamples only the generated set, of 5,000 masks and more, from a
    tenth of it up, against very many real masks. Here both sets are small, so both are subsampled. With fewer masks
    than features the curve bends, so only its end is fitted. On simulated features of variances 1, 1/2, 1/3, ... this
    removes half of the bias when n is half the number of features, four fifths when n equals it, and nearly all at
    twice that. Report it with FID, KID and n. Raises ValueError for fewer than LEAST_MASKS masks.
    """
    n = min(len(generated), len(real))
    if n < LEAST_MASKS:
        raise ValueError(f"{len(generated)} generated and {len(real)} real masks: wanted {LEAST_MASKS} or more of each")
    rng = np.random.default_rng(seed)
    counts = np.linspace(n / 2, n, sizes).astype(int)
    scores = [frechet_distance(*(features[rng.choice(n, count, replace=False)] for features in (generated, real)))
              for count in counts]
    return float(np.polyfit(1 / counts, scores, 1)[1])


class _Pictures(torch.utils.data.Dataset):
    """The first n masks or images as torch-fidelity expects them: (3, H, W) uint8, a mask in {0, 255}."""

    def __init__(self, pictures: Sequence[np.ndarray], n: int):
        self.pictures, self.n = pictures, n

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int) -> torch.Tensor:
        picture = self.pictures[index]
        if picture.ndim == 3 and picture.dtype == np.uint8:
            return torch.from_numpy(picture).permute(2, 0, 1)
        check_mask(picture)
        return torch.from_numpy(picture * np.uint8(255)).expand(3, -1, -1)


def _check_sha256(path: Path) -> None:
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != WEIGHTS_SHA256:
        raise ValueError(f"{path} has sha256 {found}: wanted {WEIGHTS_SHA256}, the original FID weights, "
                         f"from {WEIGHTS_URL}")
