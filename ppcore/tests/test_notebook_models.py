"""Does a model that is written in a notebook's cell train, resume and load like the study's own? In a real kernel."""

import nbformat
from nbclient import NotebookClient

SET_UP = """
import torch
from pathlib import Path
from torch.utils.data import Dataset
from ppcore.methods.losses import gan_loss, l1
from ppcore.methods.pix2pix import Pix2Pix, Pix2PixSettings, pair
from ppcore.networks.noise import draw_noise
from ppcore.training.loop import train
from ppcore.training.method import freeze, update
from ppcore.training.model_card import load_model

torch.set_num_threads(1)


class Pairs(Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        coarse = -torch.ones(1, 32, 32)
        coarse[:, : 8 + 4 * index] = 1
        return {"coarse": coarse, "fine": coarse.flip(-1)}


settings = Pix2PixSettings(ngf=2, ndf=2, levels=3)
how = dict(epochs=1, decay_epochs=1, seed=1, data_fingerprint="pairs", checkpoint_steps=3, log_steps=2)
x = Pairs()[1]["coarse"][None]


def weights(method):
    return torch.nn.utils.parameters_to_vector(method.networks["generator"].parameters()).detach()


def asides():
    return len(list(Path().glob("mine.before-*")))
"""
MINE = """
WEIGHT = 2.0


def distance(fine, y):
    return (fine - y).abs().mean()


class Mine(Pix2Pix):
    def step(self, batch):
        x, y = batch["coarse"], batch["fine"]
        G, D = self.networks["generator"], self.networks["discriminator"]
        made = G(x, draw_noise(G.noise(*x.shape[-2:]), len(x)))
        loss = WEIGHT * distance(made, y)
        update(self.optimizers["generator"], loss)
        return {"G": loss}
"""
TRAINED = """
mine = Mine(settings)
train(mine, Pairs(), "mine", **how)
"""


def run(folder, *cells: str) -> list[str]:
    """What the cells print, each in turn, in a kernel that works in `folder`."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder)}}).execute()
    return ["".join(output.text for output in cell.outputs if output.get("name") == "stdout").strip()
            for cell in notebook.cells]


def test_it_trains_loads_resumes_and_an_edit_never_returns_the_old_model(tmp_path):
    edited = MINE.replace("fine - y).abs()", "fine - y).square()")
    said = run(
        tmp_path, SET_UP, MINE, TRAINED + "first = weights(mine)",
        "loaded = load_model(Mine, 'mine', precision='float32')\n"
        "print(torch.equal(weights(loaded), first), torch.equal(loaded.generate(x, [1]), mine.generate(x, [1])))",
        MINE + TRAINED + "print(torch.equal(weights(mine), first), asides())",  # run again: nothing is trained
        edited + TRAINED + "print(torch.equal(weights(mine), first), asides())",  # what it calls was edited
        edited.replace("WEIGHT = 2.0", "WEIGHT = 3.0") + TRAINED + "print(asides())",  # a constant
        "def broken(method, step):\n    raise OSError('the disk is away')\n"
        "try:\n    train(Mine(settings), Pairs(), 'broken', **how, sample=broken, sample_steps=5)\n"
        "except OSError:\n    pass\n"
        "again = Mine(settings)\n"
        "train(again, Pairs(), 'broken', **how)\n"
        "print(sorted(path.name for path in Path().glob('broken*')), torch.equal(weights(again), weights(mine)))")
    assert said[3] == "True True"
    assert said[4] == "True 0"
    assert "training begins anew" in said[5] and said[5].endswith("False 1")
    assert said[6].endswith("2")
    assert said[7] == "['broken'] True"


def test_two_processes_train_it_too(tmp_path):
    said = run(tmp_path, SET_UP, MINE, "mine = Mine(settings)\n"
               "log = train(mine, Pairs(), 'mine', **how, batch_size=2, processes=2)\n"
               "print(log['step'].tolist(), (tmp := Path('mine/model.json')).exists())")
    assert said[2].endswith("[2, 4] True")


def test_a_class_without_methods_of_its_own_is_found_by_its_cell(tmp_path):
    bare = "class Mine(Pix2Pix):\n    depth = {}\n"
    said = run(tmp_path, SET_UP, bare.format(1) + TRAINED + "print(asides())", bare.format(2) + TRAINED + "print(asides())")
    assert said[1].endswith("0") and said[2].endswith("1")
