"""K: checkpoints, and finished runs."""

import json
import os
import pickle
import shutil
from pathlib import Path

import torch
from safetensors.torch import save

from fewlabels.storage import durable
from fewlabels.training.checkpoint import STATE, TENSORS, Checkpoints, Snapshot, demand_tensors
from tests.faults.catalogue import Family
from tests.training.stores import IDENTITY, change_state, place, reseal, state, truncated

CASES = cases = Family()
FILES = (TENSORS, STATE, durable.MANIFEST)


def kept(steps=2, identity=IDENTITY, folder="kept"):
    store = Checkpoints(folder, identity)
    for step in range(1, steps + 1):
        store.save(step, state(step))
    return store


def goes_on(work, store, from_step=1):
    """The run goes on from this step, says that another was passed over, and changes nothing."""
    found = work.call(store.read_newest)
    assert found[0] == from_step
    assert torch.equal(found[1].tensors["conv.weight"], torch.full((3, 2), float(from_step)))
    assert work.new == []


@cases.accepted("K1", "a file cut off anywhere", warns=["K1"])
def _(work):
    store = kept()
    for name in FILES:
        path = place(store, 2) / name
        whole = path.read_bytes()
        for twentieth in range(20):
            truncated(twentieth / 20)(path)
            goes_on(work, store)
            path.write_bytes(whole)


@cases.accepted("K2", "a bit flipped anywhere", warns=["K1"])
def _(work):
    store = kept()
    for name in FILES:
        path = place(store, 2) / name
        whole = path.read_bytes()
        for at in range(0, len(whole), max(1, len(whole) // 40)):
            damaged = bytearray(whole)
            damaged[at] ^= 1 << at % 8
            path.write_bytes(damaged)
            goes_on(work, store)
        path.write_bytes(whole)


for name, content in (("nothing", lambda size: b""), ("zeros", bytes)):

    @cases.accepted("K3", f"a file of {name}", warns=["K1"])
    def _(work, content=content):
        store = kept()
        path = place(store, 2) / TENSORS
        path.write_bytes(content(path.stat().st_size))
        goes_on(work, store)


def swap_files(store):
    """Both have the right hashes of another checkpoint."""
    for name in FILES[:2]:
        shutil.copy(place(store, 1) / name, place(store, 2) / name)
    reseal(place(store, 2))


def other_run(store):
    kept(2, IDENTITY | {"data": "other"}, "other")
    shutil.rmtree(place(store, 2))
    shutil.copytree("other/step-00000002", place(store, 2))


for name, damage in (
    ("without a manifest", lambda store: (place(store, 2) / durable.MANIFEST).unlink()),
    ("with half of a manifest", lambda store: truncated(0.5)(place(store, 2) / durable.MANIFEST)),
    ("whose files are those of another step", swap_files),
    ("of another run", other_run),
):

    @cases.accepted("K4", f"a checkpoint {name}", warns=["K1"])
    def _(work, damage=damage):
        store = kept()
        damage(store)
        goes_on(work, store)


@cases.refused("K5", "no good checkpoint", place="step-00000002 (FL-K2")
def _(work):
    store = kept()
    for step in (1, 2):
        truncated(0.5)(place(store, step) / TENSORS)
    return store.read_newest


for version in (0, 99):

    @cases.refused("K6", f"format {version}", place=f"a checkpoint of format {version}, this version reads 1")
    def _(work, version=version):
        store = kept()
        change_state(place(store, 2), lambda document: document.update(format=version))
        return store.read_newest


@cases.refused("K6", "a run of another format", place="run of format 99, this version reads 1 at run")
def _(work):
    work.write("run/run.json", json.dumps({"format": 99}))
    return ["report", "run", "--out", "r.html"]


for name, tensors, where in (
    ("of another shape", {"fc.weight": torch.zeros(4, 2)}, "fc.weight: float32 [4, 2] there, float32 [3, 2] now"),
    ("that nobody asked for", {"fc.weight": torch.zeros(3, 2), "fc3.bias": torch.zeros(1)}, "fc3.bias"),
):

    @cases.refused("K7", f"a tensor {name}", place=where)
    def _(work, tensors=tensors):
        return lambda: demand_tensors(tensors, {"fc.weight": ((3, 2), torch.float32)}, where="kept")


class Bomb:
    def __reduce__(self):
        return (os.mkdir, ("canary",))


def header_of(length):
    return length.to_bytes(8, "little") + b"{}"


def many_tensors(count):
    nothing = '{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    header = ("{" + ",".join(f'"{number}":{nothing}' for number in range(count)) + "}").encode()
    return len(header).to_bytes(8, "little") + header


CRAFTED = (
    ("a pickle", lambda: pickle.dumps(Bomb())),
    ("a header of 2^64 - 1 bytes", lambda: header_of(2**64 - 1)),
    ("a header of 4 GiB", lambda: header_of(2**32)),
    ("a header that is no JSON", lambda: header_of(2)[:8] + b"\xff\xfe"),
    ("tensors without their place", lambda: save({"conv.weight": torch.zeros(3, 2)})),
    ("200,000 tensors", lambda: many_tensors(200_000)),
)
for name, content in CRAFTED:

    @cases.accepted("K8", f"{name}, with the right hashes", warns=["K1"])
    def _(work, content=content):
        store = kept()
        (place(store, 2) / TENSORS).write_bytes(content())
        reseal(place(store, 2))
        goes_on(work, store)
        assert "FL-K8" in str(work.caught[0].message)
        assert not Path("canary").exists()


@cases.accepted("K9", "NaN in a checkpoint", warns=["K1"])
def _(work):
    store = kept()
    path = place(store, 2) / TENSORS
    data = bytearray(path.read_bytes())
    at = data.index(torch.tensor(2.0).numpy().tobytes())
    data[at : at + 4] = torch.tensor(float("nan")).numpy().tobytes()
    path.write_bytes(data)
    reseal(place(store, 2))
    goes_on(work, store)
    assert "FL-K9" in str(work.caught[0].message)


@cases.refused("K9", "NaN in the state that is to be saved", status=5, place="conv.weight")
def _(work):
    store = kept()
    return lambda: store.save(3, Snapshot({"conv.weight": torch.tensor([float("nan")])}, {}))


@cases.refused("K10", "a tensor that is missing", place="1 such row (momentum.fc.weight)")
def _(work):
    return lambda: demand_tensors({}, {"momentum.fc.weight": ((3, 2), torch.float32)}, where="kept")


@cases.accepted("K11", "parts of different steps", warns=["K1"])
def _(work):
    store = kept()
    shutil.copy(place(store, 1) / STATE, place(store, 2) / STATE)
    reseal(place(store, 2))
    goes_on(work, store)
    assert "different runs or steps" in str(work.caught[0].message)


@cases.accepted("K12", "what a killed process left")
def _(work):
    store = kept()
    left = Path("kept/.step-00000003.999999.0123abcd.tmp")
    left.mkdir()
    (left / TENSORS).write_bytes(b"half")
    assert work.call(store.read_newest)[0] == 2
    store.save(3, state(3))
    assert not left.exists()


@cases.accepted("K13", "only damaged ones beside the last good one")
def _(work):
    store = kept()
    truncated(0.5)(place(store, 2) / TENSORS)
    store.save(3, state(3))
    assert place(store, 1).is_dir()  # 2 does not count
    store.save(4, state(4))
    assert [step for step in range(1, 5) if place(store, step).is_dir()] == [3, 4]


for name, target in (("dangles", "nowhere"), ("points outside", "../outside")):

    @cases.accepted("K14", f"a link that {name}", warns=["K1"])
    def _(work, target=target):
        store = kept()
        shutil.copytree(place(store, 2), "outside")
        os.symlink(target, "kept/latest")
        os.symlink(target, "kept/step-00000009")
        goes_on(work, store, 2)


@cases.accepted("K15", "a run copied to another place")
def _(work):
    kept()
    shutil.copytree("kept", "elsewhere/copy")
    assert work.call(Checkpoints("elsewhere/copy", IDENTITY).read_newest)[0] == 2


@cases.refused(
    "K2", "a finished run with a flipped bit", place="results.json: content changed (SHA-256 differs) at o-run"
)
def _(work):
    work.labels()
    data = bytearray(Path("o-run/results.json").read_bytes())
    data[-2] ^= 1
    Path("o-run/results.json").write_bytes(data)
    return ["verify", "o-run"]
