"""What a folder that is no run looks like: for the message that says so."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from ..errors import shown

MOST_FILES = 1000  # looked at
SIGNS = (  # file or folder in it, or the beginning of a name -> what it is
    ("review.sqlite", "the answers of a review: give the run beside it, the same name without .review"),
    ("trainer_state.json", "a checkpoint of Hugging Face's Trainer"),
    ("adapter_config.json", "a model of Hugging Face"),
    ("pytorch_model.bin", "a model of Hugging Face"),
    ("MLmodel", "a model of MLflow"),
    ("meta.yaml", "a run of MLflow"),
    ("mlruns", "a store of MLflow"),
    ("hparams.yaml", "a run of Lightning"),
    ("lightning_logs", "runs of Lightning"),
    (".hydra", "an output of Hydra"),
    ("wandb", "runs of Weights & Biases"),
    ("wandb-metadata.json", "a run of Weights & Biases"),
    ("dvc.yaml", "a pipeline of DVC"),
    ("events.out.tfevents", "a log of TensorBoard"),
    ("dataset_info.json", "a data set of Hugging Face"),
    ("config.json", "a model of Hugging Face, or of another tool"),
    ("checkpoint", "a checkpoint of another tool"),
)
IMAGES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")


def describe_folder(folder: Path) -> str:
    """`; it looks like ...`, or an empty text where nothing is known of it."""
    try:
        names = sorted(path.name for path in islice(folder.iterdir(), MOST_FILES))
        inside = [name for name in names if (folder / name / "run.json").is_file()]
    except OSError:
        return ""
    if not names:
        return "; it is empty"
    if inside and "run.json" not in names:
        named = ", ".join(shown(name, 40) for name in inside[:3])
        return f"; it has runs in it: {named}{', ...' * (len(inside) > 3)}"
    for sign, what in SIGNS:
        if any(name == sign or name.startswith((f"{sign}.", f"{sign}-")) for name in names):
            return f"; it looks like {what}"
    if any(name.lower().endswith(IMAGES) for name in names):
        return "; it looks like a folder of images"
    return ""
