"""Does a change count as another training exactly where it can change a number?"""

import dataclasses
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from torch.utils.data import Dataset

from ppcore.experiments.windows import Windows
from ppcore.masks.patches import PatchDataset
from ppcore.methods.cyclegan import CycleGAN, Unpaired
from ppcore.methods.pix2pix import Pix2Pix
from ppcore.study.errors import StudyError
from ppcore.study.fingerprint import code_hash, definitions, parts
from ppcore.study.runs import REPOSITORY

METHOD = '''
"""Words about the file."""
import math
SHARE = 0.5
TABLE = {"plus": abs}


def helper(value: float) -> float:
    """Words about the helper."""
    if value < 0:
        raise ValueError(f"{value}: wanted 0 or more")
    return math.sqrt(value)  # why


class Base:
    depth: int = 3

    def start(self):
        return self.depth


class Mine(Base):
    """Words about the class."""

    def step(self, x):
        """Words about the step."""
        return SHARE * helper(x) + TABLE["plus"](x)

    def generate(self, x):
        return x
'''
COUNTS = {
    "the step itself": ("SHARE * helper(x)", "helper(x)"), "what it calls": ("math.sqrt(value)", "value"),
    "a constant": ("SHARE = 0.5", "SHARE = 0.6"), "the class below it": ("depth: int = 3", "depth: int = 4"),
    "a condition": ("if value < 0", "if value <= 0"), "a table's key": ('"plus"', '"plusses"'),
}
COUNTS_NOT = {
    "a docstring": ("Words about the step.", "Better words."), "the file's": ("Words about the file.", "Better words."),
    "the class's": ("Words about the class.", "Better words."), "a comment": ("# why", "# because"),
    "a line break": ("return SHARE", "return \\\n            SHARE"), "an annotation": ("value: float", "value: int"),
    "an error's words": ("wanted 0 or more", "wanted a number from 0 on"), "what follows training": ("return x\n", "return -x\n"),
    "an import": ("import math", "import math, os"), "an unused name": ("SHARE = 0.5", "SHARE, OTHER = 0.5, 9"),
}


def hashes(path: Path, source: str, monkeypatch) -> dict[str, str]:
    """`definitions` of Mine, from a file that is treated as one of the study's."""
    path.write_text(source)
    spec = importlib.util.spec_from_file_location("ppcore." + path.stem, path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return definitions(module.Mine)


@pytest.mark.parametrize(("change", "counts"), [*((change, True) for change in COUNTS), *((c, False) for c in COUNTS_NOT)])
def test_what_counts_and_what_does_not(tmp_path, monkeypatch, change, counts):
    old, new = (COUNTS if counts else COUNTS_NOT)[change]
    assert old in METHOD
    before = hashes(tmp_path / "before.py", METHOD, monkeypatch)
    after = hashes(tmp_path / "after.py", METHOD.replace(old, new), monkeypatch)  # of another name, too
    assert (before != after) == counts
    assert {"Mine", "Base", "helper", "SHARE"} <= set(before) and not {"OTHER", "ValueError"} & set(before)


def test_a_method_put_into_a_class_afterwards_counts(monkeypatch):
    def step(self, batch):
        return {}

    before = definitions(Pix2Pix)
    monkeypatch.setattr(Pix2Pix, "step", step)
    assert definitions(Pix2Pix) != before


def test_a_method_is_followed_to_its_networks_and_losses_and_no_further():
    found = set(definitions(CycleGAN))
    assert {"CycleGAN", "ResNet", "ResidualBlock", "InstanceNorm", "PatchGAN", "ImagePool", "lsgan_loss", "adam"} <= found
    assert not {"Pix2Pix", "UNet", "train", "translate", "StudyError"} & found


def test_a_data_set_is_its_class_what_it_holds_and_how_it_augments(tmp_path):
    pairs = PatchDataset(["a", "b"], 2, fine=tmp_path)
    assert parts(pairs) == {"class": "PatchDataset", "patches": ["a", "b"], "crop": 2, "classes": 2,
                            "folders": {"fine": "PosixPath"}}
    assert parts(Unpaired(pairs)) != parts(Unpaired(PatchDataset(["a", "b"], 1, fine=tmp_path)))
    assert {"Unpaired", "PatchDataset", "read_patch"} <= set(definitions(Unpaired(pairs)))
    assert {"Windows", "disturb_mildly", "blur", "stain", "MILD", "UNSEEN"} <= set(definitions(Windows([], (), 1)))
    many = [PatchDataset([f"{i}" for i in range(count)], 1, fine=tmp_path) for count in (300, 300, 301)]
    assert parts(many[0]) == parts(many[1]) != parts(many[2])


def test_torchs_classes_and_plain_objects_do_not_count():
    assert definitions(Dataset, len, 3, "word", dataclasses.field) == {}
    assert parts(object()) == "object"


def test_a_class_without_source_is_refused():
    scope = {"__name__": "__main__"}
    exec("class Shell:\n    def step(self): return 1", scope)
    with pytest.raises(StudyError, match="the source of Shell cannot be found.*define it in a notebook's cell"):
        definitions(scope["Shell"])


def test_a_notebooks_hash_leaves_out_words_too():
    assert code_hash('def f():\n    "words"\n    return 1') == code_hash("def f():  # why\n    return 1")
    assert code_hash("a = 1") != code_hash("a = 2")


TRAIN = """
import sys
import torch
from ppcore.methods.pix2pix import Pix2Pix, Pix2PixSettings
from ppcore.training.loop import train

class Pairs(torch.utils.data.Dataset):
    def __len__(self):
        return 2

    def __getitem__(self, index):
        return {"coarse": torch.ones(1, 32, 32), "fine": torch.ones(1, 32, 32)}

train(Pix2Pix(Pix2PixSettings(ngf=2, ndf=2, levels=3)), Pairs(), sys.argv[1], epochs=0, decay_epochs=1, seed=1,
      data_fingerprint="ones")
"""


def test_rewording_and_moving_files_of_the_study_retrains_nothing_and_changing_a_loss_does(tmp_path):
    """In copies of the study, each in a process of its own."""
    study, script = tmp_path / "study" / "ppcore", tmp_path / "train.py"
    shutil.copytree(REPOSITORY / "ppcore", study, ignore=shutil.ignore_patterns("tests", "__pycache__"))
    script.write_text(TRAIN)

    def trained() -> tuple[int, str]:
        subprocess.run([sys.executable, script, tmp_path / "model"], check=True, capture_output=True,
                       env={**os.environ, "PYTHONPATH": str(study.parent)})
        return (len(list(tmp_path.glob("model.before-*"))),
                json.loads((tmp_path / "model" / "model.json").read_text())["fingerprint"])

    first = trained()
    for name in ("methods/pix2pix.py", "methods/losses.py", "networks/unet.py", "training/loop.py", "training/order.py"):
        text = (study / name).read_text()
        words = re.sub(r'"""(\w)', r'"""In other words: \1', text)
        assert words != text
        (study / name).write_text("# a comment\n" + words)
    (study / "methods" / "losses.py").rename(study / "methods" / "terms.py")
    for path in study.rglob("*.py"):
        path.write_text(path.read_text().replace("ppcore.methods.losses", "ppcore.methods.terms"))
    assert trained() == first and first[0] == 0
    losses = study / "methods" / "terms.py"
    losses.write_text(losses.read_text().replace("functional.l1_loss(fine, target)", "functional.mse_loss(fine, target)"))
    asides, fingerprint = trained()
    assert asides == 1 and fingerprint != first[1]
