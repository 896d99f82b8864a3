"""C: settings, options, and the place that a command runs in."""

import json
import os
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from fewlabels import GraphSettings, propagate
from fewlabels.runs import RunLock
from fewlabels.storage.lock import describe_process
from fewlabels.training.checkpoint import Checkpoints
from fewlabels.training.settings import Phase, TrainSettings
from tests.data.image_files import encoded, noise
from tests.faults.catalogue import Family
from tests.training.stores import IDENTITY, state

CASES = cases = Family()


def photos(work):
    """Ten images in two class folders and one for the unlabelled."""
    for number in range(10):
        kind = ("ant", "bee", "unlabeled")[min(number, 2) if number < 3 else 2]
        work.write(f"photos/{kind}/{number}.png", encoded(noise(8, 8, seed=number)))


@cases.refused("C1", "a misspelt option", place="Possible options: --n-neighbors")
def _(work):
    return work.propagate("embeddings.npy", "--n-neigbors", "5")


@cases.refused("C1", "a misspelt command", place="Did you mean 'propagate'")
def _(work):
    return ["propagat"]


for value, place in (("1", "singular"), ("0", "no label moves"), ("-0.1", "-0.1"), ("1.5", "1.5"), ("nan", "nan")):

    @cases.refused("C2", f"alpha {value}", place=place)
    def _(work, value=value):
        return work.propagate("embeddings.npy", "--alpha", value)


@cases.refused("C2", "alpha 0,99", code="C1", place="a valid number, unable to parse string as a number, not '0,99'")
def _(work):
    return work.propagate("embeddings.npy", "--alpha", "0,99")


for value, code in (("0", "C3"), ("-1", "C3"), ("2.5", "C1"), ("fifty", "C1")):

    @cases.refused("C3", f"{value} neighbours", code=code, place=value)
    def _(work, value=value):
        return work.propagate("embeddings.npy", "--n-neighbors", value)


@cases.accepted("C3", "more neighbours than rows", warns=["E7"])
def _(work):
    assert len(work.labels(work.loud(work.propagate("embeddings.npy", "--n-neighbors", "99")))) == 30


for value in ("0", "-3", "inf"):

    @cases.refused("C4", f"gamma {value}", place="expected a finite number above 0")
    def _(work, value=value):
        return work.propagate("embeddings.npy", "--gamma", value)


@cases.refused("C6", "to resume, and nothing to resume", place="--resume without --out")
def _(work):
    photos(work)
    return work.train("--resume")


@cases.refused("C6", "labels by position, and no labels", code="C41", place="labels by position, and no label file")
def _(work):
    return work.propagate("embeddings.npy", "--labels-by-position", labels=None)


for device in ("cuda:9", "tpu", "cuda:x"):

    @cases.refused("C7", f"the device {device}", place=f"device '{device}' is not on this machine; it has: cpu")
    def _(work, device=device):
        photos(work)
        return work.train("--device", device, "--out", "run")


for value, code in (("-1", "C1"), ("abc", "C1"), (str(2**64), "C8")):

    @cases.refused("C8", f"seed {value}", code=code, place=value)
    def _(work, value=value):
        photos(work)
        return work.train("--seed", value, "--out", "run")


@cases.refused("C9", "a table that exists", place="the output file exists at o.csv")
def _(work):
    work.write("o.csv", "mine")
    return work.propagate()


@cases.refused("C9", "a table in the folder of a run", place="in the folder of the run o-run at o-run/new.csv")
def _(work):
    work.labels()
    return work.propagate(out="o-run/new.csv")


@cases.refused("C9", "a run in the folder of a run", place="in the folder of the run o-run at o-run/mine")
def _(work):
    photos(work)
    work.labels()
    return work.train("--out", "o-run/mine")


@cases.refused("C9", "a folder in use", place="the output folder is not empty at mine")
def _(work):
    photos(work)
    work.write("mine/notes.txt", "mine")
    return work.train("--out", "mine")


@cases.refused("C10", "a run in the folder of images", place="at photos/run")
def _(work):
    photos(work)
    return work.train("--out", "photos/run")


@cases.refused("C10", "a table among the parts it is made from", place="at parts/o.parquet")
def _(work):
    os.mkdir("parts")
    work.table("parts/rows.parquet")
    return work.propagate("parts", out="parts/o.parquet")


@cases.refused("C10", "the table that it is made from, with --force", place="the output is the input at rows.parquet")
def _(work):
    work.table("rows.parquet")
    return work.propagate("rows.parquet", "--force", out="rows.parquet")


@cases.refused("C10", "the file of the labels, with --force", place="at labels.csv")
def _(work):
    return work.propagate("embeddings.npy", "--force", out="labels.csv")


@cases.refused("C10", "the folder of images itself", place="at photos")
def _(work):
    photos(work)
    return work.train("--out", "photos")


@cases.refused(
    "C11", "a folder that another process writes to", place=f"another process writes to this run: pid {os.getpid()}"
)
def _(work):
    photos(work)
    os.mkdir("run")
    lock = RunLock("run")
    lock.__enter__()
    work.on_end = lambda: lock.__exit__(None, None, None)
    return work.train("--out", "run", "--image-size", "8")


@cases.accepted("C11", "a lock that a dead process left")
def _(work):
    dead = describe_process() | {"pid": 2**22 + 1}  # beyond the largest number of a process
    work.write("run/.lock", json.dumps(dead))
    with RunLock("run"):
        assert json.loads(Path("run/.lock").read_text())["pid"] == os.getpid()
    assert not Path("run/.lock").exists()


for key, change in (
    ("settings.graph.alpha", {"settings": IDENTITY["settings"] | {"graph": {"alpha": 0.9, "n_neighbors": 50}}}),
    ("data", {"data": "other"}),
    ("versions.torch", {"versions": IDENTITY["versions"] | {"torch": "9"}}),
    ("threads", {"threads": 2}),
    ("world_size", {"world_size": 2}),
    ("device", {"device": "cuda"}),
):

    @cases.refused("C12", f"a run taken up with another {key}", place=f"{key}: ")
    def _(work, change=change):
        Checkpoints("kept", IDENTITY).save(1, state(1))
        return Checkpoints("kept", IDENTITY | change).read_newest


@cases.accepted("C12", "a run taken up with other threads where that is allowed", warns=["C12"])
def _(work):
    Checkpoints("kept", IDENTITY).save(1, state(1))
    store = Checkpoints("kept", IDENTITY | {"threads": 2}, allow_inexact=True)
    assert work.call(store.read_newest)[0] == 1
    assert [str(one) for one in store.differences] == ["threads: 1 there, 2 now"]


@cases.refused("C13", "no epochs", code="C1", place="--epochs")
def _(work):
    photos(work)
    return [word if word != "1" else "0" for word in work.train("--out", "run")]


@cases.refused("C13", "no epochs in Python", place="0 epochs")
def _(work):
    return lambda: Phase("supervised", 0, 0.1, 4)


@cases.refused("C13", "no phases", place="there is no phase to train")
def _(work):
    return lambda: replace(TrainSettings(phases=(Phase("supervised", 1, 0.1, 4),)), phases=())


@cases.accepted("C13", "a batch larger than the data")
def _(work):
    from fewlabels.training.epoch import Epoch, batch_size, draw_batches

    phase, labels = Phase("lp", 1, 0.1, 50, 5000), np.where(np.arange(40) < 4, np.arange(40) % 2, -1)
    (rows,) = draw_batches(phase, labels, Epoch(0, 0, 0))
    assert len(rows) == batch_size(phase, labels) == 50 + 36


for value in ("0", "abc", "-2", "1.5"):

    @cases.refused("C14", f"OMP_NUM_THREADS={value}", place=f"OMP_NUM_THREADS is {value!r}")
    def _(work, value=value):
        work.monkeypatch.setenv("OMP_NUM_THREADS", value)
        return work.propagate()


@cases.accepted("C14", "64 open files")
def _(work):
    def few_files():
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))

    command = [sys.executable, "-m", "fewlabels", *work.propagate()]
    ended = subprocess.run(command, preexec_fn=few_files, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")


@cases.accepted("C15", "a clock that jumps back, another time zone")
def _(work):
    before = propagate(work.rows, work.codes, GraphSettings(n_neighbors=5)).pseudo_labels
    times = iter(range(10**9, 0, -1000))
    work.monkeypatch.setattr("time.time", lambda: float(next(times)))
    work.monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    work.monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    work.monkeypatch.setenv("LC_NUMERIC", "de_DE.UTF-8")
    assert work.labels() == {str(row): ("ant", "bee", "cat")[code] for row, code in enumerate(before.label)}
