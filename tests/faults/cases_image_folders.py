"""I: folders of images."""

import os
import socket
import tarfile
import tracemalloc
import unicodedata
import zipfile
from pathlib import Path

from fewlabels.data.images.read import read_images
from fewlabels.data.images.sources import open_source
from tests.data.image_files import encoded, noise
from tests.faults.cases_images import GOOD, album, read
from tests.faults.catalogue import Family

CASES = cases = Family()


@cases.accepted("I15", "hidden files and files of the system", warns=["I45"])
def _(work):
    names = (".DS_Store", "._a.png", ".ipynb_checkpoints/a.png", "__MACOSX/a.png", "cat/.x.png", "cat/Thumbs.db")
    for name in (*names, "cat/a.png"):
        work.write(f"animals/{name}", GOOD)
    found = work.call(lambda: read_images("animals"))
    assert (found.ids, found.names, found.rejected) == (["cat/a.png"], ["cat"], [])


@cases.accepted("I16", "a class folder without images", warns=["I16", "I45"])
def _(work):
    work.write("animals/cat/a.png", GOOD)
    work.write("animals/dog/notes.txt", "")
    assert work.call(lambda: read_images("animals")).names == ["cat"]
    assert any("1 such row (dog)" in str(one.message) for one in work.caught)


@cases.refused("I17", "images beside class folders", place="at photos; 2 such rows (good 1.png, good 2.png)")
def _(work):
    album(work, {"cat/a.png": GOOD})
    return work.train("--out", "run")


@cases.accepted("I17", "a folder for the unlabelled and folders in folders", warns=["I47"])
def _(work):
    found = read(work, {"unlabeled/a.png": GOOD})
    assert set(found.names) == {None}
    work.write("deep/cat/x/y/a.png", GOOD)
    assert work.call(lambda: read_images("deep")).names == ["cat"]


@cases.accepted("I15", "folders of storage boxes and of systems, at any depth", warns=["I45"])
def _(work):
    names = ("@eaDir/a.png", "cat/@eaDir/a.png/thumb.jpg", "#recycle/x.png", "$RECYCLE.BIN/x.png", "lost+found/x.png")
    for name in (*names, "System Volume Information/x.png", ".AppleDouble/x.png", "cat/a.png"):
        work.write(f"animals/{name}", GOOD)
    found = work.call(lambda: read_images("animals"))
    assert (found.ids, found.names) == (["cat/a.png"], ["cat"])
    assert "FL-I45 7 files in folders" in str(work.caught[0].message)


DOUBTFUL = {
    "parts of a data set": (["train/cat", "train/dog", "val/cat", "test/dog"], "pass photos/train if the classes are"),
    "a part of a data set beside classes": (["cat", "dog", "Test_Set"], "Test_Set: a part of a data set"),
    "nearly unlabeled": (["cat", "unlabeled_images"], "unlabeled_images: a class, or images without a label?"),
    "unknown": (["cat", "dog", "unknown"], "--folder 'unknown=class', =unlabeled or =skip"),
    "not sorted yet": (["cat", "to sort"], "to sort: a class"),
    "no name": (["cat", "nan"], "nan: a class"),
    "one folder that holds the classes": (["animals/cat", "animals/dog", "unlabeled"], "pass photos/animals if"),
    "labelled": (["labelled/cat", "labelled/dog"], "labelled: says nothing"),
    "an unknown system": (["cat", "@home"], "@home: a folder that a system or a program made?"),
    "nearly unlabeled, in a class": (["cat/unlabeled imgs", "dog"], "cat/unlabeled imgs: a class"),
}
for what, (folders, place) in DOUBTFUL.items():

    @cases.refused("I17", f"folders that are no classes: {what}", code="I46", place=place)
    def _(work, folders=folders):
        for name in folders:
            work.write(f"photos/{name}/a.png", GOOD)
        return work.train("--out", "run")


@cases.accepted("I17", "folders that are no classes, and it is said what they are")
def _(work):
    for name in ("cat", "unknown", "@home", "val", "TODO", "Un-Labeled "):
        work.write(f"photos/{name}/a.png", GOOD)
    said = {"unknown": "class", "@home": "class", "val": "skip", "TODO": "unlabeled"}
    work.monkeypatch.setattr("warnings.warn", lambda *args, **rest: None)
    found = work.call(lambda: read_images("photos", folders=said))
    assert dict(zip(found.ids, found.names, strict=True)) == {
        "@home/a.png": "@home",
        "TODO/a.png": None,
        "Un-Labeled /a.png": None,
        "cat/a.png": "cat",
        "unknown/a.png": "unknown",
    }


@cases.accepted("I17", "trains are a class beside planes")
def _(work):
    for name in ("train", "plane"):
        work.write(f"photos/{name}/a.png", GOOD)
    assert work.call(lambda: read_images("photos")).names == ["plane", "train"]


@cases.accepted("I17", "images without a label inside of a class folder", warns=["I47"])
def _(work):
    for name in ("cat/a.png", "cat/unlabeled/b.png", "dog/c.png"):
        work.write(f"photos/{name}", GOOD)
    assert work.call(lambda: read_images("photos")).names == ["cat", None, "dog"]
    assert "cat/unlabeled (no label)" in str(work.caught[0].message)


for role in ("klass", ""):

    @cases.refused("I17", f"a folder that is {role or 'nothing'}", code="C20", place="--folder")
    def _(work, role=role):
        work.write("photos/cat/a.png", GOOD)
        return work.train("--folder", f"cat={role}" if role else "cat", "--out", "run")


@cases.accepted("I18", "names that other systems cannot tell apart or not write")
def _(work):
    decomposed = unicodedata.normalize("NFD", "\xe9.png")
    names = ["A.png", "a.png", "\xe9.png", decomposed, "a\nb.png", "x" * 251 + ".png", " a .png", "=1.png"]
    for name in names:
        work.write(f"photos/{name}", GOOD)
    Path(os.fsdecode(b"photos/\xff.png")).write_bytes(GOOD)
    found = work.call(lambda: read_images("photos"))
    assert sorted(found.ids) == sorted([*names, r"\xff.png"])
    assert found.rejected == []


@cases.accepted("I19", "links, a loop, a FIFO and a socket")
def _(work):
    work.write("outside/secret.png", GOOD)
    good = [f"{number}.png" for number in range(8)]
    album(work, dict.fromkeys(good, GOOD))
    os.symlink("../outside/secret.png", "photos/link.png")
    os.symlink("nowhere", "photos/dangling.png")
    os.symlink(".", "photos/loop")
    os.symlink("/dev/zero", "photos/zero.png")
    os.mkfifo("photos/fifo.png")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind("photos/socket.png")
        found = work.call(lambda: read_images("photos"))
    assert found.ids == [*good, "good 1.png", "good 2.png"]
    odd = ["dangling.png", "fifo.png", "link.png", "loop", "socket.png", "zero.png"]
    assert sorted(name for name, _ in found.rejected) == odd


@cases.refused(
    "I20", "a zip archive", place="a zip archive (or an Excel workbook); archives are not unpacked at all.zip"
)
def _(work):
    with zipfile.ZipFile("all.zip", "w") as archive:
        archive.writestr("../../escaped.png", GOOD)
    return work.train("--out", "run", data="all.zip")


@cases.refused("I20", "a tar archive", place="archives are not unpacked at all.tgz")
def _(work):
    work.write("a.png", GOOD)
    with tarfile.open("all.tgz", "w:gz") as archive:
        archive.add("a.png", "../escaped.png")
    return work.train("--out", "run", data="all.tgz")


@cases.accepted("I21", "an image in two classes, and one in training and test", warns=["I21"])
def _(work):
    work.monkeypatch.setattr("fewlabels.commands.train.run_training", lambda task, *rest: {"num_rows": len(task.ids)})
    work.monkeypatch.setattr("fewlabels.commands.text.format_training", lambda results: "")
    for name in ("cat/a", "dog/b", "unlabeled/c"):
        work.write(f"animals/{name}.png", GOOD)
    work.write("animals/dog/d.png", encoded(noise(8, 8, seed=1)))
    work.write("test/dog/e.png", GOOD)
    outcome = work.run(work.loud(work.train("--test", "test", "--out", "run", data="animals")))
    assert outcome.status == 0
    said = [str(one.message) for one in work.caught]
    assert "1 such row (cat/a.png 'cat' and dog/b.png 'dog')" in said[0]
    assert "1 of 1 test images are among the training images" in said[1]


@cases.accepted("I22", "a file that vanishes after its header was read")
def _(work):
    album(work, {"gone.png": GOOD})

    def progress(walk, total):
        os.rename("photos/gone.png", "elsewhere.png")
        return walk

    before = read_images("photos", image_size=8)
    found = read_images("photos", image_size=8, progress=progress)
    assert found.rejected == [("gone.png", "No such file or directory")]
    assert len(found.ids) == len(before.ids) - 1


@cases.accepted("I23", "a folder of very many files")
def _(work):
    os.mkdir("many")
    for number in range(20_000):
        os.mknod(f"many/{number}.png")
    tracemalloc.start()
    found = open_source("many").ids
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found == sorted(f"{number}.png" for number in range(20_000))
    assert peak < 20_000 * 1500
