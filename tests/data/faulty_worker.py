"""The process that decodes images, with a decoder that does what the file says: "crash", "loop", "write /tmp/x", ..."""

import os
import signal
import time
from pathlib import Path

from fewlabels.data.images import decode_worker


def crash():
    os.kill(os.getpid(), signal.SIGSEGV)


def leave():
    os._exit(7)


def loop():
    while True:
        pass


def sleep():
    time.sleep(1000)


def memory():
    bytearray(1 << 31)


def write(path):
    Path(path).write_bytes(b"x")


def once(mark):
    """Be killed by somebody, but not a second time."""
    if not os.path.exists(mark):
        os.mkdir(mark)
        os.kill(os.getpid(), signal.SIGKILL)


ORDERS = {order.__name__: order for order in (crash, leave, loop, sleep, memory, write, once)}


def obeying(function):
    def obey(file, *rest):
        content = Path(file).read_bytes() if isinstance(file, str) else file
        order, _, argument = content.decode("latin-1").partition(" ")
        if order in ORDERS:
            ORDERS[order](*[argument] * bool(argument))
            file = None
        return function(file, *rest)

    return obey


decode_worker.decode = obeying(decode_worker.decode)
decode_worker.read_header = obeying(decode_worker.read_header)
decode_worker.small_png = obeying(decode_worker.small_png)
decode_worker.main()
