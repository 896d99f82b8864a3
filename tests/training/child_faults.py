"""Faulty variants of a training run, by name: functions that install them in the process. See `children`."""


def after_restoring(spoil):
    """A fault: what was restored is spoiled."""

    def install():
        from fewlabels.training import loop

        restore = loop.restore

        def restored(state, saved):
            restore(state, saved)
            spoil(state)

        loop.restore = restored

    return install


def events_kept():
    from fewlabels.runs import RunWriter

    reopen = RunWriter.reopen
    RunWriter.reopen = classmethod(lambda cls, folder, num_events=None: reopen(folder, None))


def dropout_by_a_running_number():
    """As a generator whose state no checkpoint has."""
    from fewlabels.training import loop

    make_step, drawn = loop.make_step, iter(range(10**9))

    def spoiled(*arguments):
        step = make_step(*arguments)
        return lambda number, seed: step(number, next(drawn))

    loop.make_step = spoiled


def teacher_without_buffers(state):
    for value in state.learner.teacher.state.buffers():
        value.zero_()


def graph_that_cannot_be():
    from fewlabels.errors import GraphError
    from fewlabels.training import targets

    def propagate(*arguments, **more):
        raise GraphError("G1", "a graph that cannot be")

    targets.propagate = propagate


RESUMING = {
    "momentum is not restored": after_restoring(lambda state: state.learner.optimizer.state.clear()),
    "the teacher's buffers are not restored": after_restoring(teacher_without_buffers),
    "targets are made again in the middle of an epoch": after_restoring(lambda s: setattr(s, "targets", None)),
    "losses of the epoch so far are forgotten": after_restoring(lambda s: setattr(s, "losses", None)),
    "events after the checkpoint are kept": events_kept,
    "dropout is drawn by a running number": dropout_by_a_running_number,
}


def signals_unheard():
    from fewlabels.training import interrupt

    interrupt.StopRequested._note = lambda self, number, frame: None


def stopped_at_once():
    from fewlabels.training import interrupt

    interrupt.StopRequested.__enter__ = lambda self: self


def stopped_unsaved():
    from fewlabels.training import loop

    loop._save = lambda run, state: None


def lock_left():
    from fewlabels.storage import lock

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

    from fewlabels.storage import durable

    @contextmanager
    def quiet(path):
        with suppress(OSError):
            yield

    durable.storage_errors = quiet


def errors_as_they_are():
    """No code, no status of its own."""
    from contextlib import nullcontext

    from fewlabels.storage import durable

    durable.storage_errors = nullcontext


WRITING = {
    "errors of the disk are kept quiet": errors_kept_quiet,
    "errors of the disk are told as they are": errors_as_they_are,
}
FAULTS = RESUMING | STOPPING | WRITING | {"the graph cannot be built": graph_that_cannot_be}
