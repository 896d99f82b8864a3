"""Notes of the stages of a run in a process of `children`; signals, and errors at calls that change the disk."""

import errno
import mmap
import os
import signal
import time

NAME = 64  # bytes for the name of a stage


class Stage:
    """The name of what the run is doing, in memory that outlives it; sends a signal where the job asks for one."""

    def __init__(self):
        self.memory = mmap.mmap(-1, NAME + 24)
        self.at, self.entered = None, 0

    def name(self):
        return self.memory[:NAME].rstrip(b"\0").decode()

    def enter(self, name):
        self.memory[:NAME] = name.encode().ljust(NAME, b"\0")
        if self.at is not None and name == self.at[0]:
            self.entered += 1
            if self.entered == self.at[1]:
                self.memory[NAME : NAME + 16] = f"{time.monotonic():.4f}".encode().ljust(16)
                os.kill(os.getpid(), self.at[2])

    def signalled(self):
        """When the signal was sent; None where it was not."""
        text = self.memory[NAME : NAME + 16].strip(b"\0 ")
        return float(text) if text else None

    def count(self):
        self.memory[NAME + 16 : NAME + 24] = f"{self.calls() + 1}".encode().ljust(8)

    def calls(self):
        return int(self.memory[NAME + 16 : NAME + 24].strip(b"\0 ") or 0)


def within(stage, owner, attribute, name):
    """Make the owner's function note that the run is in the named stage while it runs. name: or a function of its
    first argument.
    """
    call = getattr(owner, attribute)

    def noted(*arguments, **more):
        before = stage.name()
        stage.enter(name if isinstance(name, str) else name(arguments[0]))
        try:
            return call(*arguments, **more)
        finally:
            stage.memory[:NAME] = before.encode().ljust(NAME, b"\0")

    setattr(owner, attribute, noted)


def watched(stage):
    """Note every stage of a run."""
    from fewlabels.commands import training, watching
    from fewlabels.training import loop, targets
    from fewlabels.training.checkpoint import Checkpoints

    within(stage, training, "train", "between two steps")
    within(stage, loop._PhaseSteps, "take", lambda steps: f"step of phase {steps.position.phase}")
    within(stage, loop, "evaluate", "descriptors")
    within(stage, watching, "evaluate", "evaluation")
    within(stage, Checkpoints, "save", "checkpoint")
    within(stage, Checkpoints, "read_newest", "taking up")
    within(stage, training._Run, "_write", "writing")
    within(stage, training, "report_html", "report")
    for owner, name in ((targets, "propagation"), (training, "final propagation")):
        told(stage, owner, name)


def told(stage, owner, name):
    call = owner.propagate

    def noted(*arguments, on_progress, **more):
        def on_stage(part, share):
            stage.enter(f"{name}: {part}")
            on_progress(part, share)

        before = stage.name()
        found = call(*arguments, on_progress=on_stage, **more)
        stage.enter(before)
        return found

    owner.propagate = noted


def counted(stage, last, error):
    """Count calls that change the disk, and kill this process before the `last`-th. Flushing is left out, which nobody
    sees who keeps the machine running. error: (number of the call that fails, errno); where that is ENOSPC, every later
    call that needs room fails, too.
    """
    from fewlabels.storage import durable

    failing, code = error

    def fails(name):
        full = code == errno.ENOSPC and name in ("_create", "_write", "_make")
        return stage.calls() == failing or (full and stage.calls() > failing)

    def through(name, call):
        def wrapped(*arguments):
            stage.count()
            if stage.calls() == last:
                os.kill(os.getpid(), signal.SIGKILL)
            if failing and fails(name):
                raise OSError(code, os.strerror(code))
            return None if name == "_fsync" else call(*arguments)

        return wrapped

    for name in ("_create", "_open_to_append", "_write", "_fsync", "_rename", "_sync_folder", "_make", "_unlink"):
        setattr(durable, name, through(name, getattr(durable, name)))
    durable._remove = through("_remove", durable._remove)
