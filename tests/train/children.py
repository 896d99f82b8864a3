"""Training runs in processes of their own, which can be killed at any moment.

A server imports torch once and forks for every job, so that a hundred kills take a minute. Run as a program, this file
is that server: a JSON line in, a JSON line out. `Children` is its other end, for tests.
"""

import errno
import gc
import hashlib
import importlib
import json
import mmap
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

LATEST = 100.0  # seconds after which a job is killed: it hangs
NAME = 64  # bytes for the name of a stage


@dataclass(frozen=True)
class Ended:
    """How a job's processes ended. status: of each, negative for a signal. errors: what each wrote to stderr.

    seconds: from their start to the last one's end. stage: that the first one was in. stopping: seconds from the signal
    that it sent itself to its end; None without one. calls: that change the disk, made by the first.
    """

    status: list[int]
    errors: list[str]
    seconds: float
    stage: str
    stopping: float | None
    calls: int


class Children:
    """The server, from a test's side; a context. inside: words that a command begins with to run elsewhere."""

    def __init__(self, inside=()):
        self._command = [*inside, sys.executable, __file__]

    def __enter__(self):
        self._jobs = 0
        self._server = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_WAIT_POLICY": "passive"},  # threads that spin starve on a busy machine
        )
        return self

    def __exit__(self, *error):
        self._server.stdin.close()
        self._server.wait(LATEST)
        self._server.stdout.close()

    def run(self, folder, **job):
        """Run a job to its end. folder: the run's.

        pair: names of two methods. save_every: seconds. resume, allow_inexact, threads, seed: of the run. mode: of the
            graph. rows: of the task. size: number of processes, which wait `timeout` seconds for each other.
        kill: [rank, seconds], SIGKILL then. at: [stage, number, signal], which the first process sends itself when it
            enters the stage for the number-th time. call: number of the call that changes the disk before which it
            kills itself. error: [number of the call that fails, errno]. patience: seconds after which all are killed.
        logs: where the processes' stderr is kept meanwhile; beside the folder without it.
        fault: a name of FAULTS. report: draw the real one. noted: tell hashes of weights and targets. plain: train a
            network without dropout and batch norm.
        """
        self._jobs += 1
        self._server.stdin.write(json.dumps(job | {"folder": str(folder), "job": self._jobs}) + "\n")
        self._server.stdin.flush()
        answer = json.loads(self._server.stdout.readline())
        while answer.pop("job") != self._jobs:  # of a job whose test ran out of time
            answer = json.loads(self._server.stdout.readline())
        return Ended(**answer)


def remains(folder, hidden=()):
    """name -> content of a sealed run folder, without what time and kills change; no other hidden name may be there."""
    from fewlabels.runs import verify_run

    assert verify_run(folder) == []
    names = {path.name for path in folder.iterdir() if path.name.startswith(".")}
    assert names == set(hidden), f"left behind: {names}"
    found = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    for name in ("run.json", "resumed.jsonl", "report.html", "manifest.json"):
        found.pop(name, None)
    events = [json.loads(line) for line in found["events.jsonl"].splitlines()]
    results = json.loads(found["results.json"])
    return found | {
        "events.jsonl": [{key: value for key, value in one.items() if key != "seconds"} for one in events],
        "results.json": {k: v for k, v in results.items() if k not in ("wall_seconds", "peak_memory_mib")},
    }


# From here on: the server and what it forks.


def stripes(num_rows):
    """Noisy 8 x 8 images of horizontal, vertical or no stripes, two labels each, and 20 to test on."""
    import numpy as np

    from fewlabels.jobs.task import Task

    rng = np.random.default_rng(0)
    truth = np.arange(num_rows + 20) % 3
    pattern = np.zeros((num_rows + 20, 8, 8, 1))
    pattern[truth == 0, ::2] = pattern[truth == 1, :, ::2] = 180
    pixels = (pattern + rng.integers(0, 70, pattern.shape)).astype(np.uint8)
    labels = np.full(num_rows, -1)
    labels[:6] = truth[:6]
    return Task(
        pixels=pixels[:num_rows],
        labels=labels,
        ids=[f"image {row}" for row in range(num_rows)],
        class_names=["rows", "columns", "plain"],
        title="stripes",
        test_pixels=pixels[num_rows:],
        test_truth=truth[num_rows:],
        truth=truth[:num_rows],
    )


def settings_of(job):
    """Two phases of two epochs, of two or three steps each, with dropout, random changes and two heads."""
    from fewlabels.data.settings import AugmentSettings
    from fewlabels.graph import GraphSettings
    from fewlabels.nets import NetworkSettings
    from fewlabels.train.settings import Phase, TrainSettings

    def phase(method):
        return Phase(method, 2, 0.05, 3, 0 if method == "supervised" else 19)

    return TrainSettings(
        phases=tuple(phase(method) for method in job["pair"]),
        graph=GraphSettings(n_neighbors=12, mode=job.get("mode", "paper")),
        augment=AugmentSettings(translate=1, flip=True, rotate=5),
        network=NetworkSettings(width=4, dropout=0.2, heads=2),
        seed=job.get("seed", 0),
    )


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
    from fewlabels.jobs import training, watching
    from fewlabels.train import loop, propagator
    from fewlabels.train.checkpoint import Checkpoints

    within(stage, training, "train", "between two steps")
    within(stage, loop._Track, "step", lambda track: f"step of phase {track.place.phase}")
    within(stage, loop, "evaluate", "descriptors")
    within(stage, watching, "evaluate", "evaluation")
    within(stage, Checkpoints, "save", "checkpoint")
    within(stage, Checkpoints, "newest", "taking up")
    within(stage, training._Run, "_write", "writing")
    within(stage, training, "report_html", "report")
    for owner, name in ((propagator, "propagation"), (training, "final propagation")):
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
    from fewlabels import durable

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


def after_restoring(spoil):
    """A fault: what was restored is spoiled."""

    def install():
        from fewlabels.train import loop

        restore = loop.restore

        def restored(state, saved):
            restore(state, saved)
            spoil(state)

        loop.restore = restored

    return install


def events_kept():
    from fewlabels.runs import RunWriter

    taken_up = RunWriter.taken_up
    RunWriter.taken_up = classmethod(lambda cls, folder, num_events=None: taken_up(folder, None))


def dropout_by_a_running_number():
    """As a generator whose state no checkpoint has."""
    from fewlabels.train import loop

    stepper, drawn = loop.stepper, iter(range(10**9))

    def spoiled(*arguments):
        step = stepper(*arguments)
        return lambda number, seed: step(number, next(drawn))

    loop.stepper = spoiled


def teacher_without_buffers(state):
    for value in state.learner.teacher.state.buffers():
        value.zero_()


def graph_that_cannot_be():
    from fewlabels.errors import GraphError
    from fewlabels.train import propagator

    def propagate(*arguments, **more):
        raise GraphError("G1", "a graph that cannot be")

    propagator.propagate = propagate


def noted():
    """Write to stderr, as JSON: hashes of the weights after each epoch, and of each epoch's targets."""
    from fewlabels.jobs.watching import Watcher
    from fewlabels.train import loop

    def digest(tensors):
        return hashlib.sha256(b"".join(one.numpy().tobytes() for one in tensors)).hexdigest()

    epoch, make_targets = Watcher._epoch, loop._make_targets

    def noting(self, report):
        networks = [one for one in (report.network, report.teacher) if one is not None]
        tensors = [value for one in networks for value in one.state_dict().values()]
        print(json.dumps({"weights": digest(tensors), "loss": report.loss}), file=sys.stderr)
        epoch(self, report)

    def noting_targets(run, state):
        make_targets(run, state)
        print(json.dumps({"targets": digest(state.targets.on("cpu"))}), file=sys.stderr)

    Watcher._epoch, loop._make_targets = noting, noting_targets


def plain_network():
    """A network without dropout and batch norm, whose output for a row does not depend on the others."""
    import torch

    from fewlabels.jobs import training
    from fewlabels.nets import Output

    class Plain(torch.nn.Module):
        def __init__(self, num_classes):
            super().__init__()
            self.inside, self.outside = torch.nn.Linear(64, 8), torch.nn.Linear(8, 2 * num_classes)

        def forward(self, images):
            descriptor = torch.tanh(self.inside(images.float().flatten(1) / 255))
            first, second = self.outside(descriptor).chunk(2, dim=1)
            return Output(first, descriptor, second)

    training.build_network = lambda settings, image_input, num_classes: Plain(num_classes)


RESUMING = {
    "momentum is not restored": after_restoring(lambda state: state.learner.optimizer.state.clear()),
    "the teacher's buffers are not restored": after_restoring(teacher_without_buffers),
    "targets are made again in the middle of an epoch": after_restoring(lambda s: setattr(s, "targets", None)),
    "losses of the epoch so far are forgotten": after_restoring(lambda s: setattr(s, "losses", None)),
    "events after the checkpoint are kept": events_kept,
    "dropout is drawn by a running number": dropout_by_a_running_number,
}


def signals_unheard():
    from fewlabels.train import interrupt

    interrupt.StopRequested._note = lambda self, number, frame: None


def stopped_at_once():
    from fewlabels.train import interrupt

    interrupt.StopRequested.__enter__ = lambda self: self


def stopped_unsaved():
    from fewlabels.train import loop

    loop._save = lambda run, state: None


def lock_left():
    from fewlabels.runs import lock

    lock.RunLock.__exit__ = lambda self, *error: None


STOPPING = {
    "a signal is not heard": signals_unheard,
    "a signal ends the run at once": stopped_at_once,
    "nothing is saved at a signal": stopped_unsaved,
    "the folder stays locked": lock_left,
}


def errors_kept_quiet():
    """What cannot be written is taken for written."""
    from contextlib import contextmanager, suppress

    from fewlabels import durable

    @contextmanager
    def quiet(path):
        with suppress(OSError):
            yield

    durable.storage_errors = quiet


def errors_as_they_are():
    """No code, no status of its own."""
    from contextlib import nullcontext

    from fewlabels import durable

    durable.storage_errors = nullcontext


WRITING = {
    "errors of the disk are kept quiet": errors_kept_quiet,
    "errors of the disk are told as they are": errors_as_they_are,
}
FAULTS = RESUMING | STOPPING | WRITING | {"the graph cannot be built": graph_that_cannot_be}


def trained(job, stage):
    """Do the job in this process. Returns the exit status, as the command would."""
    import torch

    from fewlabels.errors import FewlabelsError
    from fewlabels.jobs import training
    from fewlabels.main import _on_sigterm
    from fewlabels.train import distributed, evaluate

    signal.signal(signal.SIGTERM, _on_sigterm)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
    torch.set_num_threads(job.get("threads", 1))
    evaluate.BATCH = 16  # so that there are several
    if "timeout" in job:
        distributed.TIMEOUT = job["timeout"]
    if not job.get("report"):
        training.report_html = lambda folders: "drawing takes longer than all the rest"
    installed = [FAULTS[job["fault"]]] if "fault" in job else []
    for install in installed + [noted] * job.get("noted", False) + [plain_network] * job.get("plain", False):
        install()
    stage.at = job.get("at")
    stage.enter("start or end")
    watched(stage)
    counted(stage, job.get("call"), job.get("error", (0, 0)))
    options = training.RunOptions(
        save_every=job.get("save_every", 0.0),
        resume=job.get("resume", True),
        allow_inexact=job.get("allow_inexact", False),
        quiet=True,
    )
    try:
        training.run_training(stripes(job.get("rows", 60)), settings_of(job), job["folder"], options)
    except FewlabelsError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        return 130
    except SystemExit as ended:
        return ended.code
    return 0


def forked(job, rank, stage, errors, port):
    """The process id of a new process that does the job."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666), 2)
        sys.stdin.close()
        if "size" in job:
            os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(job["size"])}
            os.environ |= {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
        status = trained(job, stage)
    except BaseException:  # noqa: BLE001  whatever it is, the parent's code must not run on here
        import traceback

        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def free_port():
    with socket.socket() as one:
        one.bind(("localhost", 0))
        return one.getsockname()[1]


def attended(job):
    """Start a job's processes, kill one if that was asked for, and wait for all."""
    size, stages = job.get("size", 1), []
    port = free_port() if "size" in job else 0
    logs = [f"{job.get('logs', job['folder'])}-{rank}.err" for rank in range(size)]
    for log in logs:
        Path(log).touch()
    began, pids = time.monotonic(), []
    for rank in range(size):
        stages.append(Stage())
        pids.append(forked(job if rank == 0 else job | {"at": None, "call": None}, rank, stages[-1], logs[rank], port))
    rank_killed, moment = job.get("kill", (None, 0))
    status: dict[int, int] = {}
    last = [began] * size
    while len(status) < size:
        now = time.monotonic()
        if now - began >= moment and rank_killed is not None:
            if rank_killed not in status:
                os.kill(pids[rank_killed], signal.SIGKILL)
            rank_killed = None
        for rank in set(range(size)) - set(status):
            if now - began > job.get("patience", LATEST):
                os.kill(pids[rank], signal.SIGKILL)
            found, how = os.waitpid(pids[rank], os.WNOHANG)
            if found:
                status[rank], last[rank] = os.waitstatus_to_exitcode(how), time.monotonic()
        time.sleep(0.0005)
    sent = stages[0].signalled()
    errors = [Path(log).read_text() for log in logs]
    for log in logs:
        os.unlink(log)
    return Ended(
        [status[rank] for rank in range(size)],
        errors,
        max(last) - began,
        stages[0].name(),
        None if sent is None else last[0] - sent,
        stages[0].calls(),
    )


LOADED = ("torch", "pandas", "fewlabels.jobs.training", "fewlabels.report.pictures", "fewlabels.main")


def serve():
    for name in LOADED:
        importlib.import_module(name)
    torch = sys.modules["torch"]
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(False)  # loads what a run would load
    origin = sys.modules["fewlabels.runs.origin"]
    origin.commit, origin._package = cache(origin.commit), cache(origin._package)
    origin.versions()  # asks git and the packages, once
    gc.freeze()
    for line in sys.stdin:
        job = json.loads(line)
        print(json.dumps(vars(attended(job)) | {"job": job["job"]}), flush=True)


if __name__ == "__main__":
    serve()
