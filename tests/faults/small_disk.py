"""A real file system of a few MiB, which can be filled, emptied and made read-only: a tmpfs that only its users see.

It is mounted in a mount namespace of its own, by root or, where the kernel allows that, by anybody.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

MIB = 1 << 20
UNSHARE = ["unshare", "--mount"] if hasattr(os, "geteuid") and os.geteuid() == 0 else ["unshare", "-r", "--mount"]


class SmallDisk:
    """A context. path: of the disk, for commands that begin with `inside`. seen: the same folder, for everybody else.

    Skips the test where the kernel refuses.
    """

    def __init__(self, path, megabytes=4, inodes=1000):
        self.path, self._options = Path(path), f"size={megabytes}m,nr_inodes={inodes}"

    def __enter__(self):
        if sys.platform != "linux" or not all(map(shutil.which, ("unshare", "nsenter", "mount"))):
            pytest.skip("a small file system is mounted by unshare, nsenter and mount, as Linux has them")
        self.path.mkdir(parents=True, exist_ok=True)
        mounting = f"mount -t tmpfs -o {self._options} fewlabels {self.path} && echo mounted && exec cat"
        self._holder = subprocess.Popen(  # the namespace and the disk are gone when this ends, however the tests end
            [*UNSHARE, "sh", "-c", mounting],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        if self._holder.stdout.readline() != "mounted\n":
            reason = self._holder.stderr.read().strip()
            self.__exit__()
            pytest.skip(f"the kernel mounts no tmpfs here ({reason})")
        self.seen = Path(f"/proc/{self._holder.pid}/root{self.path}")
        whose = ["--user", "--preserve-credentials"] if "-r" in UNSHARE else []
        self.inside = ["nsenter", f"--target={self._holder.pid}", *whose, "--mount", f"--wd={os.getcwd()}"]
        return self

    def __exit__(self, *error):
        self._holder.communicate("")

    def run(self, *command):
        """Run a command that sees the disk: its exit status, stdout and stderr."""
        done = subprocess.run([*self.inside, *command], capture_output=True, text=True, timeout=900)
        return done.returncode, done.stdout, done.stderr

    def fill(self, left):
        """Leave so many bytes free, in pages of 4 KiB."""
        self.empty()
        place = os.statvfs(self.seen)
        with open(self.seen / "filler", "wb") as file:
            file.write(bytes(max(0, place.f_bavail * place.f_frsize - left)))

    def fill_inodes(self, left):
        """Leave room for so many more files, and much room in them."""
        self.empty()
        (self.seen / "fillers").mkdir()
        for number in range(os.statvfs(self.seen).f_favail - left):
            (self.seen / "fillers" / str(number)).touch()

    def empty(self):
        """Take away what fills it."""
        (self.seen / "filler").unlink(missing_ok=True)
        shutil.rmtree(self.seen / "fillers", ignore_errors=True)

    def remount(self, how):
        """how: "ro" or "rw"."""
        status, _, err = self.run("mount", "-o", f"remount,{how}", str(self.path))
        assert status == 0, err


def files(folder):
    """name -> bytes of all files of a folder but those that fill the disk, hidden ones, too."""
    found = (path for path in Path(folder).rglob("*") if path.is_file() and not path.name.startswith("filler"))
    names = ((path.relative_to(folder).as_posix(), path) for path in found)
    return {name: path.read_bytes() for name, path in names if not name.startswith("filler")}
