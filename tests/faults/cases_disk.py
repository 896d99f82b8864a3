"""D: files and disks. `disk.faulty` puts the error at the n-th call that changes anything."""

import ast
import errno
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from fewlabels.commands import propagate as propagation
from fewlabels.estimator import LabelPropagationClassifier
from fewlabels.runs import RunWriter
from fewlabels.storage import durable, file_systems
from tests.faults.catalogue import Family
from tests.training.disk import error_at, faulty

CASES = cases = Family()
SOURCE = Path(__file__).parents[2] / "src" / "fewlabels"


def every_call_fails(work, number, words):
    """The command ends with D1 and status 4 wherever the error comes; the next place of the error is another."""
    with faulty(lambda name, at, call, *given: call(*given)) as names:
        assert work.run(words("whole.csv")).status == 0
    places = [at for at, name in enumerate(names, 1) if name != "_unlink"]  # which is how we would tidy up
    for first in places[::4]:
        before = set(os.listdir())
        with faulty(error_at(first, number, True)):
            outcome = work.run(words(f"{first}.csv"))
        assert (outcome.status, outcome.code, outcome.err.count("\n")) == (4, "FL-D1", 1), (first, outcome.err)
        assert os.strerror(number) in outcome.err
        assert "MiB are free there" in outcome.err
        assert not [name for name in work.new if name.endswith(".tmp")], first
        made = Path(f"{first}.csv")  # there where the last call of all failed: the folder's flush after the renaming
        assert not made.exists() or (first > places[-5] and made.read_bytes() == Path("whole.csv").read_bytes())
        assert set(os.listdir()) - before <= {f"{first}-run", made.name}


for id, number in (("D1", errno.ENOSPC), ("D3", errno.EDQUOT), ("D3", errno.EIO)):

    @cases.accepted(id, f"{errno.errorcode[number]} at any call")
    def _(work, number=number):
        every_call_fails(work, number, lambda out: work.propagate(out=out))


@cases.accepted("D2", "no inode left, and bytes free")
def _(work):
    work.write("kept.txt", "mine")

    def fault(name, at, call, *given):
        if name in ("_create", "_make"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return call(*given)

    with faulty(fault):
        outcome = work.run(work.propagate())
    assert (outcome.status, outcome.code) == (4, "FL-D1")
    assert work.new == []


@cases.refused("D3", "a file larger than the limit", code="D1", status=4, place="cannot write: File too large at")
def _(work):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    work.on_end = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, before)
    return lambda: durable.write_bytes("large.bin", bytes(1000))


@cases.refused("D3", "an error on closing", code="D1", status=4, place="cannot write: Input/output error at saved.txt")
def _(work):
    work.write("saved.txt", "mine")
    close = os.close

    def failing(descriptor):
        close(descriptor)
        work.monkeypatch.setattr(os, "close", close)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    def write():
        work.monkeypatch.setattr(os, "close", failing)
        durable.write_text("saved.txt", "ours")

    return write


@cases.accepted("D3", "after an error of flushing another file is written")
def _(work):
    opened = []

    def fault(name, at, call, *given):
        opened.append(given[0]) if name == "_create" else None
        if name == "_fsync" and len(opened) == 1:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return call(*given)

    with faulty(fault):
        failed = work.call(lambda: durable.write_text("saved.txt", "ours"))
        assert failed.code == "FL-D1"
        durable.write_text("saved.txt", "ours")
    assert len(set(opened)) == 2
    assert Path("saved.txt").read_text() == "ours"


@cases.refused("D4", "a place that cannot be written to", code="D1", place="Read-only file system at there")
def _(work):
    os.mkdir("there")
    work.monkeypatch.setattr(propagation, "propagate", None)  # it is found before the work
    create = durable._create

    def read_only(path):
        if path.parent.name == "there":
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return create(path)

    work.monkeypatch.setattr(durable, "_create", read_only)
    return work.propagate("embeddings.npy", "--run", "run", out="there/o.csv")


@cases.refused("D5", "a temporary file on another file system", code="D1", place="Invalid cross-device link at a/b.txt")
def _(work):
    os.mkdir("a")
    assert durable.temporary_name(Path("a/b.txt")).parent == Path("a")

    def fault(name, at, call, *given):
        if name == "_rename":
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        return call(*given)

    def write():
        with faulty(fault):
            durable.write_text("a/b.txt", "x")

    return write


@cases.accepted("D6", "a disk that takes a few bytes at a time, slowly, with signals between")
def _(work):
    write, seen = durable._write, []
    work.monkeypatch.setattr(durable, "_write", lambda descriptor, data: write(descriptor, data[:97]))
    signal.signal(signal.SIGALRM, lambda *given: seen.append(1))
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        durable.write_bytes("o.bin", bytes(range(256)) * 400)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    assert Path("o.bin").read_bytes() == bytes(range(256)) * 400
    assert seen


def started(words):
    return subprocess.Popen(
        [sys.executable, "-m", "fewlabels", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


for number, status in ((signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, -9)):

    @cases.accepted("D7", f"{number.name} while it works")
    def _(work, number=number, status=status):
        np.save("large.npy", np.random.default_rng(0).normal(size=(8000, 400)).astype(np.float32))
        process = started(work.propagate("large.npy", "--recall", "exact"))
        while not Path("o-run/run.json").exists():
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
        assert process.returncode == status
        assert "Traceback" not in err
        assert not Path("o.csv").exists()
        assert work.run(["verify", "o-run"]).code == "FL-K4"  # and says that it is not whole


@cases.accepted("D8", "a run on a network file system", warns=["D8"])
def _(work):
    lines = ["/dev/sda / ext4 rw 0 0", rf"host:/x {work.folder}/far\040away nfs4 rw 0 0"]
    work.write("mounts", "\n".join(lines))
    work.monkeypatch.setattr(file_systems, "MOUNTS", work.folder / "mounts")
    work.call(lambda: RunWriter("near", "train", {}))
    assert work.caught == []
    work.call(lambda: RunWriter("far away/run", "train", {}))
    assert "(nfs4)" in str(work.caught[0].message)


@cases.refused("D9", "the run folder is taken away meanwhile", code="D1", place="No such file or directory at o-run")
def _(work):
    real = propagation.propagate

    def gone(*given, **more):
        shutil.rmtree("o-run")
        return real(*given, **more)

    work.monkeypatch.setattr(propagation, "propagate", gone)
    return work.propagate()


@cases.refused("D10", "a path of 5,000 characters", place="File name too long")
def _(work):
    return work.propagate(out="x/" * 2500 + "o.csv")


@cases.refused("D10", "a name of 300 characters", place="File name too long")
def _(work):
    return work.propagate(out="x" * 300 + ".csv")


@cases.refused("D10", "too many open files", code="D4", place="Too many open files at embeddings.npy")
def _(work):
    def no_more(path, mode="r", *rest, **more):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), str(path))

    work.run(work.propagate(out="warm.csv"))  # all modules are imported by now
    work.monkeypatch.setattr(Path, "open", no_more)
    return work.propagate()


for name, words in (("help", lambda work: ["propagate", "--help"]), ("results", lambda work: work.propagate())):

    @cases.accepted("D11", f"a reader of {name} that goes away")
    def _(work, words=words):
        process = started(words(work))
        process.stdout.close()
        assert process.stderr.read() == ""
        process.stderr.close()
        assert process.wait(60) == 141


UNSAFE = re.compile(r"\.write_(text|bytes)\(|\bnp\.save|savez|to_csv\(|json\.dump\(")


@cases.accepted("D12", "an output that is written in place")
def _(work):
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        text = path.read_text()
        found += [f"{path.name}: {one[0]}" for one in UNSAFE.finditer(text) if text[: one.start()][-7:] != "durable"]
        for node in ast.walk(ast.parse(text)):
            named = isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == "open"
            modes = [one.value for one in node.args if isinstance(one, ast.Constant)] if named else []
            found += [f"{path.name}: open {mode}" for mode in modes if mode in ("w", "wb", "a", "ab", "x", "xb")]
    # Entries of an archive that goes through durable; a photo in a folder that is renamed when it is whole.
    assert found == ["sorting.py: .write_bytes(", "arrays.py: open w"]


@cases.accepted("D12", "a model that could only half be written leaves the old one")
def _(work):
    model = LabelPropagationClassifier(12).fit(work.rows, work.codes)
    model.save("model.npz")
    with faulty(error_at(2, errno.ENOSPC, True)):
        failed = work.call(lambda: model.save("model.npz"))
    assert failed.code == "FL-D1"
    assert LabelPropagationClassifier.load("model.npz").transduction_.tolist() == model.transduction_.tolist()


@cases.accepted("D12", "a run folder tells whether it is whole")
def _(work):
    writer = RunWriter("run", "train", {})
    assert work.run(["verify", "run"]).code == "FL-K4"
    writer.finish()
    assert work.run(["verify", "run"]).status == 0
