"""Image files -> headers or pixels, decoded in processes that may die of a file without anybody else noticing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Timer
from types import TracebackType
from typing import NamedTuple

import numpy as np

from ...errors import StorageError
from .decode import FULL_RANGE, MAX_PIXELS, BadImage, Header, ImageFile, PixelRange, Resizing
from .decode_worker import (
    BUFFER,
    CODE,
    FACTS,
    ODD_SQUARE,
    READY,
    SMALL,
    SQUARE,
    Request,
    Wanted,
    read_answer,
    unpack_header,
    write_request,
)

COMMAND = [sys.executable, "-P", "-m", "fewlabels.data.images.decode_worker"]
SECONDS = 5.0  # of processor time for one file, and
ROOM = 1 << 30  # bytes of memory: in proportion more where larger images than MAX_PIXELS are wanted
PATIENCE = 120.0  # seconds that a process may keep silent: only one that is stuck does
MOST_PROCESSES = 8
FILES = 32  # in a request, and
BYTES = 1 << 20  # of content, whichever comes first


class OddSquare(NamedTuple):
    """The square of an image that something is odd about: code, of read.ODD, says what."""

    code: str
    pixels: np.ndarray


Answer = np.ndarray | OddSquare | Header | bytes | BadImage


class Decoders:
    """Processes that decode, started when there is work, kept until closed; a context. Threads may share it.

    A file that ends its process (a crash, more than 5 s of processor time) or asks for more than 1 GiB becomes a
    BadImage like any other; the process is started again. Answers come in the order of the files.
    """

    def __init__(self, *, accept_truncated: bool = False, max_pixels: int = MAX_PIXELS) -> None:
        """accept_truncated: a JPEG that is cut off is answered as an OddSquare (I2), instead of as a BadImage.

        max_pixels: an image with more is a BadImage. Where it is above MAX_PIXELS, time and memory grow with it.
        """
        self._accept_truncated, self._limits = accept_truncated, _limits(max_pixels)
        count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self._count = min(count, MOST_PROCESSES)
        self._threads = ThreadPoolExecutor(self._count)
        self._idle: SimpleQueue[_Process] = SimpleQueue()
        self._running: set[_Process] = set()
        self._closed = False

    def __enter__(self) -> Decoders:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the processes, also in the middle of their work."""
        self._closed = True
        for process in list(self._running):
            process.kill()
        self._threads.shutdown(cancel_futures=True)
        for process in self._running:
            process.wait()

    def answers(
        self,
        files: Iterable[ImageFile],
        size: int = 0,
        grey: bool = False,
        pixel_range: PixelRange = FULL_RANGE,
    ) -> Iterator[Answer]:
        """For each file its Header, or where a size is given its (size, size, 1 or 3) uint8 square; else a BadImage.

        pixel_range: what becomes 0 and 255 of pixels of more than 8 bits, where a file does not say how many it uses.
        Raises StorageError (I14) where no process can be started.
        """
        wanted = Wanted.HEADER if not size else Wanted.GREY if grey else Wanted.COLOUR
        waiting: deque[Future[list[Answer]]] = deque()
        for batch in _make_batches(files):
            request = Request(batch, wanted, size, self._accept_truncated, pixel_range)
            waiting.append(self._threads.submit(self._decode_each, request))
            if len(waiting) > 2 * self._count:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()

    def squares(
        self, files: list[ImageFile], size: int, pixel_range: PixelRange, resizing: Resizing
    ) -> Future[list[Answer]]:
        """The (size, size, 3) uint8 squares of a few files, or BadImages; they are decoded while the caller goes on."""
        request = Request(files, Wanted.COLOUR, size, self._accept_truncated, pixel_range, resizing)
        return self._threads.submit(self._decode_each, request)

    @property
    def count(self) -> int:
        """How many processes decode at a time."""
        return self._count

    def small_png(self, file: ImageFile, longest: int, pixel_range: PixelRange = FULL_RANGE) -> bytes:
        """The whole image as a PNG, as decode.small_png makes it. Raises BadImage, StorageError (I14)."""
        request = Request([file], Wanted.PICTURE, longest, self._accept_truncated, pixel_range)
        (answer,) = self._threads.submit(self._decode_each, request).result()
        if isinstance(answer, BadImage):
            raise answer
        assert isinstance(answer, bytes)
        return answer

    def _decode_each(self, request: Request) -> list[Answer]:
        found, _ = self._ask(request)
        for file in request.files[len(found) :]:  # each alone: it ends its process once more, or another file did
            answer, reason = self._ask(request._replace(files=[file]))
            found += answer or [BadImage(reason)]
        return found

    def _ask(self, request: Request) -> tuple[list[Answer], str]:
        """The answers; where they are fewer than the files, how the process ended."""
        process = self._process()
        found = process.answers(request)
        if len(found) == len(request.files):
            self._idle.put(process)
            return found, ""
        reason = process.wait()
        self._running.discard(process)
        return found, reason

    def _process(self) -> _Process:
        try:
            process = self._idle.get_nowait()
        except Empty:
            process = _Process(self._limits)
            self._running.add(process)
        if self._closed:  # asked after it is known to `__exit__`, which kills all that it knows: none is missed
            process.kill()
            raise InterruptedError("the decoders were closed")
        return process


def _make_batches(files: Iterable[ImageFile]) -> Iterator[list[ImageFile]]:
    batch: list[ImageFile] = []
    size = 0
    for file in files:
        batch.append(file)
        size += len(file) if isinstance(file, bytes) else 0
        if len(batch) == FILES or size > BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


class _Limits(NamedTuple):
    """What a process may take for one file, in the order of its arguments."""

    seconds: float
    room: int
    max_pixels: int


def _limits(max_pixels: int) -> _Limits:
    share = max(1.0, max_pixels / MAX_PIXELS)
    return _Limits(SECONDS * share, int(ROOM * share), max_pixels)


class _Process:
    """One process, ready to be asked."""

    def __init__(self, limits: _Limits) -> None:
        self._seconds = limits.seconds
        paths = os.pathsep.join(path for path in sys.path if path)
        one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        try:
            self._process = subprocess.Popen(
                [*COMMAND, *map(str, limits)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=BUFFER,
                stderr=subprocess.DEVNULL,  # decoders complain there, of files that are named anyway
                env=os.environ | one_thread | {"PYTHONPATH": paths},
                start_new_session=True,  # Ctrl-C is for us; our end is its end, as it reads no more
            )
        except OSError as problem:
            raise _not_started(problem.strerror or str(problem)) from problem
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._questions, self._answers = self._process.stdin, self._process.stdout
        if self._answers.read(len(READY)) != READY:
            raise _not_started(self.wait())

    def answers(self, request: Request) -> list[Answer]:
        """The answers in order; fewer than were asked for where the process ended."""
        found: list[Answer] = []
        timer = Timer(PATIENCE + self._seconds * len(request.files), self.kill)
        timer.start()
        try:
            write_request(self._questions, request)
            while len(found) < len(request.files) and (one := read_answer(self._answers)) is not None:
                found.append(_unpack(*one, request.size))
        except BrokenPipeError:
            pass
        finally:
            timer.cancel()
            timer.join()
        return found

    def kill(self) -> None:
        self._process.kill()

    def wait(self) -> str:
        """Wait for its end, which has begun, and say what it was."""
        with suppress(BrokenPipeError):
            self._questions.close()
        status = self._process.wait()
        self._answers.close()
        if status == -getattr(signal, "SIGPROF", 0):
            return f"decoding it took more than {self._seconds:g} s"
        return f"its decoder crashed ({_name(status)})"


def _unpack(kind: bytes, data: bytes, size: int) -> Answer:
    if kind in (SQUARE, ODD_SQUARE):
        code = data[:CODE].decode().strip() if kind == ODD_SQUARE else ""
        pixels = np.frombuffer(data, np.uint8, offset=CODE if code else 0).reshape(size, size, -1)
        return OddSquare(code, pixels) if code else pixels
    if kind == FACTS:
        return unpack_header(data)
    return data if kind == SMALL else BadImage(data.decode())


def _name(status: int) -> str:
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"exit status {status}"


def _not_started(reason: str) -> StorageError:
    do = "check the limits on processes and memory"
    return StorageError("I14", f"the process that decodes images cannot be started: {reason}", do=do)
