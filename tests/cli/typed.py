"""Commands as a user types them, in this process."""

import numpy as np
from PIL import Image

from fewlabels.cli.main import run as run_command

PROPAGATE = ["propagate", "embeddings.npy", "--labels", "labels.csv", "--out"]
FEW = ["--backbone", "none", "--epochs", "1", "--n-neighbors", "5", "--quiet"]


def run(capsys, *arguments):
    """(exit status, stdout, stderr) of a command."""
    status = run_command([str(argument) for argument in arguments])
    return (status, *capsys.readouterr())


def photo(path, kind, size=(20, 14), seed=0):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 60, (size[1], size[0], 3), dtype=np.uint8)
    if kind:
        pixels[::4] += 150
    else:
        pixels[:, ::4] += 150
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
