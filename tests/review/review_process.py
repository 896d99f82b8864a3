"""The review's server as a process of its own, to be stopped and killed."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

from tests import child_environment

ADDRESS = re.compile(r"(http://\S+:(\d+))/\?token=(\S+)")
ROWS = 500
SCRIPT = "from tests.review.review_fakes import main; main(*sys.argv[1:])"


class Server:
    """A server over a folder. address, port, token: as it printed them."""

    def __init__(self, folder, *, rows=ROWS, port=0, fault="", before="", inside=()):
        """before: Python that its process runs first. inside: words that a command begins with to run elsewhere."""
        self.folder = folder
        script = f"import sys\n{before}\n{SCRIPT}"
        command = [*inside, sys.executable, "-c", script, str(folder), str(rows), str(port), fault]
        self.log = (Path(folder).parent / f"{time.time_ns()}.log").open("ab")
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=self.log, text=True, env=child_environment()
        )
        found = ADDRESS.match(self.process.stdout.readline())
        if not found:
            self.process.wait()
            self.process.stdout.close()
            self.log.close()
            raise RuntimeError(self.errors())
        self.address, self.port, self.token = found[1], int(found[2]), found[3]

    def errors(self):
        return Path(self.log.name).read_text()

    def stop(self, number):
        """Send a signal and wait; the exit status."""
        self.process.send_signal(number)
        status = self.process.wait(30)
        self.process.stdout.close()
        self.log.close()
        return status
