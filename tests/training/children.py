"""Training runs in processes of their own, which can be killed at any moment.

A server imports torch once and forks for every job, so that a hundred kills take a minute. Run as a program, this file
is that server: a JSON line in, a JSON line out. `Children` is its other end, for tests.
"""

import gc
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests import child_environment
from tests.training.child_faults import FAULTS
from tests.training.child_runs import noted, plain_network, settings_of, stripes
from tests.training.child_stages import Stage, counted, watched

LATEST = 100.0  # seconds after which a job is killed: it hangs


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
        self._command = [*inside, sys.executable, "-m", "tests.training.children"]

    def __enter__(self):
        self._jobs = 0
        self._server = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=child_environment(OMP_WAIT_POLICY="passive"),  # threads that spin starve on a busy machine
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
            kills itself. error: [number of the call that fails, errno]. What is left when all others have ended, and
            is stopped, is killed.
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


def trained(job, stage):
    """Do the job in this process. Returns the exit status, as the command would."""
    import torch

    from fewlabels.cli.main import _on_sigterm
    from fewlabels.commands import training
    from fewlabels.errors import FewlabelsError
    from fewlabels.training import distributed, evaluate

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


def wait_for(pids, began, rank_killed, moment):
    """(rank -> exit status, when each ended) of processes, one of which is killed `moment` seconds after they began."""
    size, status, last, stopped = len(pids), {}, [began] * len(pids), set()
    while len(status) < size:
        now = time.monotonic()
        if now - began >= moment and rank_killed is not None:
            if rank_killed not in status:
                os.kill(pids[rank_killed], signal.SIGKILL)
            rank_killed = None
        for rank in set(range(size)) - set(status):
            if now - began > LATEST or len(status) + len(stopped) == size:
                os.kill(pids[rank], signal.SIGKILL)
            found, how = os.waitpid(pids[rank], os.WNOHANG | os.WUNTRACED)
            if found and os.WIFSTOPPED(how):
                stopped.add(rank)
            elif found:
                stopped.discard(rank)
                status[rank], last[rank] = os.waitstatus_to_exitcode(how), time.monotonic()
        time.sleep(0.0005)
    return status, last


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
    status, last = wait_for(pids, began, *job.get("kill", (None, 0)))
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


LOADED = (
    *("torch", "multiprocessing.synchronize"),
    *("pandas", "pyarrow.pandas_compat", "PIL.BmpImagePlugin", "PIL.GifImagePlugin", "PIL.JpegImagePlugin"),
    *(
        "fewlabels.graph.compiled.rows",
        "fewlabels.commands.training",
        "fewlabels.report.pictures",
        "fewlabels.cli.main",
    ),
)


def serve():
    """Loads, and starts nothing: a process that has threads when it forks may hang in its children."""
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
