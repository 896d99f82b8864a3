"""Kill training runs at random moments, take each up again in its documented way, and compare the final weights.

    python -m benchmarks.compare.kills --kinds fewlabels --kills 100
    python -m benchmarks.compare.kills --kinds torch torch_rename torch_random lightning --kills 100

A small network with dropout and momentum learns 512 random images for EPOCHS epochs, on one thread. A server has
imported everything, has trained once, and forks for each run; a run is killed up to three times, each at a moment drawn
evenly from the time that an undisturbed one takes, and then left to end. Writes benchmarks/results/compare_kills.jsonl.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import os
import platform
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

RESULTS = Path(__file__).parents[1] / "results" / "compare_kills.jsonl"
EPOCHS, BATCH, MOST_KILLS = 8, 64, 3
LOST = 77  # exit status of a run that could not be taken up


def data() -> TensorDataset:
    draw = torch.Generator().manual_seed(0)
    return TensorDataset(torch.randn(512, 3, 16, 16, generator=draw), torch.randint(0, 10, (512,), generator=draw))


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(768, 1024), nn.ReLU(), nn.Dropout(0.2), nn.Linear(1024, 10))


def digest(tensors: Any) -> str:
    return hashlib.sha256(b"".join(one.detach().numpy().tobytes() for one in tensors)).hexdigest()


def save_in_place(state: dict, path: Path) -> None:
    torch.save(state, path)


def save_and_rename(state: dict, path: Path) -> None:
    beside = path.with_suffix(".tmp")
    torch.save(state, beside)
    with beside.open("rb") as file:
        os.fsync(file.fileno())
    beside.replace(path)


def plain_loop(folder: Path, save: Any, randomness: bool) -> str:
    """The loop of PyTorch's tutorial on general checkpoints: weights, optimizer and epoch, after each epoch.

    randomness: the state of torch's generator, too.
    """
    model, path, first = network(), folder / "checkpoint.pt", 0
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    if path.exists():
        state = torch.load(path, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["epoch"] + 1
        if randomness:
            torch.set_rng_state(state["random"])
    for epoch in range(first, EPOCHS):
        for images, labels in DataLoader(data(), batch_size=BATCH, shuffle=True):
            optimizer.zero_grad()
            F.cross_entropy(model(images), labels).backward()
            optimizer.step()
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch}
        save(state | ({"random": torch.get_rng_state()} if randomness else {}), path)
    return digest(model.state_dict().values())


def lightning(folder: Path) -> str:
    """Trainer with ModelCheckpoint(save_last=True), taken up by fit(ckpt_path="last")."""
    import lightning as L
    from lightning.pytorch.callbacks import ModelCheckpoint

    class Module(L.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = network()

        def training_step(self, batch: Any, number: int) -> torch.Tensor:
            return F.cross_entropy(self.model(batch[0]), batch[1])

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.05, momentum=0.9)

    L.seed_everything(0, verbose=False)
    trainer = L.Trainer(
        max_epochs=EPOCHS,
        accelerator="cpu",
        devices=1,
        deterministic=True,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[ModelCheckpoint(dirpath=folder, save_last=True, every_n_epochs=1, save_on_train_epoch_end=True)],
    )
    module = Module()
    trainer.fit(module, DataLoader(data(), batch_size=BATCH, shuffle=True), ckpt_path="last", weights_only=True)
    return digest(module.state_dict().values())


def fewlabels(folder: Path) -> str:
    """run_training with resume=True; a checkpoint every 0.2 seconds, where the default is a minute."""
    import numpy as np

    from fewlabels.commands.task import Task
    from fewlabels.commands.training import RunOptions, run_training
    from fewlabels.graph import GraphSettings
    from fewlabels.nets import NetworkSettings
    from fewlabels.training.settings import AugmentSettings, Phase, TrainSettings

    pixels = np.random.default_rng(0).integers(0, 256, (512, 16, 16, 3), np.uint8)
    labels = np.where(np.arange(512) < 100, np.arange(512) % 10, -1)
    task = Task(pixels, labels, [str(row) for row in range(512)], [str(one) for one in range(10)], "random images")
    phases = (Phase("supervised", EPOCHS // 2, 0.05, BATCH, 0), Phase("lp", EPOCHS // 2, 0.05, BATCH, BATCH - 8))
    settings = TrainSettings(
        phases=phases,
        graph=GraphSettings(n_neighbors=10),
        augment=AugmentSettings(translate=1, flip=True),
        network=NetworkSettings(width=8, dropout=0.2),
        seed=0,
    )
    options = RunOptions(quiet=True, resume=True, save_every=0.2)
    run_training(task, settings, folder / "run", options)
    return hashlib.sha256((folder / "run" / "model.safetensors").read_bytes()).hexdigest()


KINDS = {
    "torch": lambda folder: plain_loop(folder, save_in_place, False),
    "torch_rename": lambda folder: plain_loop(folder, save_and_rename, False),
    "torch_random": lambda folder: plain_loop(folder, save_and_rename, True),
    "lightning": lightning,
    "fewlabels": fewlabels,
}
LOADED = {"lightning": ["lightning"], "fewlabels": ["fewlabels.commands.training", "fewlabels.report.pictures"]}


def child(kind: str, folder: Path) -> None:
    """Train in this process, from what is there, and write the digest. Never returns."""
    status = LOST
    try:
        log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        found = KINDS[kind](folder)
        (folder / "digest").write_text(found)
        status = 0
    except Exception as error:  # noqa: BLE001  whatever a damaged checkpoint leads to
        (folder / "error").write_text(f"{type(error).__name__}: {error}".splitlines()[0][:200])
    finally:
        os._exit(status)


def run(kind: str, folder: Path, moment: float | None = None) -> tuple[int, float]:
    """(exit status, seconds) of a run that is killed at the moment, where there is one."""
    began, pid = time.monotonic(), os.fork()
    if not pid:
        child(kind, folder)
    while True:
        found, how = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(how), time.monotonic() - began
        if moment is not None and time.monotonic() - began >= moment:
            os.kill(pid, signal.SIGKILL)
            moment = None
        time.sleep(0.0005)


def compare(kind: str, kills: int, seed: int) -> dict[str, Any]:
    """Undisturbed twice, then so many kills. Counts runs by how they ended."""
    scratch, rng = Path(tempfile.mkdtemp(prefix=kind)), random.Random(seed)
    (scratch / "warm").mkdir()
    KINDS[kind](scratch / "warm")  # what is imported at the first step is imported before any fork
    wholes = []
    for number in range(2):
        (scratch / f"whole {number}").mkdir()
        status, seconds = run(kind, scratch / f"whole {number}")
        assert status == 0, (scratch / f"whole {number}" / "error").read_text()
        wholes.append((scratch / f"whole {number}" / "digest").read_text())
    assert wholes[0] == wholes[1], f"{kind} does not repeat itself undisturbed"
    counts, done, errors = Counter(), 0, Counter()
    while done < kills:
        folder = scratch / f"killed {counts.total()}"
        folder.mkdir()
        for _ in range(rng.randint(1, MOST_KILLS)):
            status, _ = run(kind, folder, rng.uniform(0, seconds))
            if status != -signal.SIGKILL:
                break
            done += 1
        if status == -signal.SIGKILL:
            status, _ = run(kind, folder)
        if status == 0:
            counts["same" if (folder / "digest").read_text() == wholes[0] else "different"] += 1
        else:
            counts["unresumable"] += 1
            errors[(folder / "error").read_text() if (folder / "error").exists() else f"status {status}"] += 1
        shutil.rmtree(folder)
    shutil.rmtree(scratch)
    ended = {name: counts[name] for name in ("same", "different", "unresumable")}
    return {"kind": kind, "kills": done, "runs": counts.total(), **ended, "errors": dict(errors), "seconds": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=["torch", "torch_rename", "torch_random"])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    for kind in given.kinds:
        for name in LOADED.get(kind, []):
            importlib.import_module(name)
        found = compare(kind, given.kills, given.seed)
        names = ("torch", "lightning", "numpy")
        versions = {name: metadata.version(name) for name in names if name in sys.modules or name == "torch"}
        record = found | {"seed": given.seed, "versions": versions, "python": platform.python_version()}
        with RESULTS.open("a") as file:
            print(json.dumps(record), file=file)
        print(json.dumps(record))


if __name__ == "__main__":
    main()
